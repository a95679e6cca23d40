"""Compiles the programs with bcc: for a release, and where what the release carries does not fit.

A child does it: clang takes 80 MiB, writes to the descriptors 1 and 2, and looks for headers in the current directory.
bcc makes the maps while it compiles, which takes the right to.
"""

import ctypes
import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import system_calls
from dropwatch.probe.programs.bcc_package import find_bcc
from dropwatch.probe.programs.compiled import (
    PLACEHOLDERS,
    Compiled,
    MapShape,
    immediate,
    map_uses,
    pack,
    set_immediate,
    unpack,
)
from dropwatch.probe.programs.text import CALL, CALLBACKS, Text

# The compiler knows nothing of the number: each use of it becomes one instruction that moves an immediate.
_OPAQUE = '-DOPAQUE(number)=({u64 opaque_;asm volatile("%0 = " #number:"=r"(opaque_));opaque_;})'
# An address of code, in an instruction of its own: the loader's.
_OPAQUE_CODE = (
    '-DOPAQUE_CODE(number)=({u64 opaque_;asm volatile("%0 = " #number " ll":"=r"(opaque_));opaque_;})'
)
# A call of a helper of that number, which no kernel has.
_OPAQUE_CALL = "-DOPAQUE_CALL(number,argument)=(((u64 (*)(void *))number)(argument))"
_MAP_INFO = struct.Struct("=IIIIII")
# Nothing of the caller's, as root: clang and bcc have variables of their own.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
# Those that a release is compiled for, by their names for uname(2) and bcc. They differ in the registers of a kprobe.
MACHINES = {"x86_64": "x86", "aarch64": "arm64"}
_MOST_SECONDS = 900  # an emulated host takes a minute


def compile_here(
    texts: Sequence[Text],
    *,
    flags: Sequence[str] = (),
    placeholders: int = PLACEHOLDERS,
    machine: str | None = None,
) -> dict[str, Compiled]:
    """By mode. `flags` are the compiler's, `machine` is one of MACHINES; None: this one. Raises CannotRunHere when
    there is no bcc, or it does not take the text.
    """
    found = find_bcc()
    if found.problem is not None:
        raise CannotRunHere(found.problem, found.todo or "run whydrop check")
    request = [
        {
            "mode": text.mode,
            "text": text.text,
            "names": text.names,
            "flags": [*text.flags, *flags],
            "directory": str(text.directory),
            "digest": text.digest,
            "placeholders": placeholders,
        }
        for text in texts
    ]
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-m", __name__],
            input=json.dumps(request).encode(),
            capture_output=True,
            check=False,
            env=_ENVIRONMENT if machine is None else {**_ENVIRONMENT, "ARCH": MACHINES[machine]},
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRunHere(
            f"the BPF programs are not compiled after {_MOST_SECONDS // 60} minutes",
            "this host may have too little memory for clang: it takes 80 MiB",
        ) from error
    said = ran.stderr.decode(errors="replace")
    if ran.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        told = [line for line in lines if "error:" in line][:2] or lines[-1:]
        raise CannotRunHere(
            f"the BPF programs do not compile: {' '.join(told) or f'exit code {ran.returncode}'}",
            "this is a bug, or a bcc older than 0.26: please report the output of whydrop check",
        )
    try:
        return unpack(ran.stdout)
    except (ValueError, zlib.error) as error:
        raise CannotRunHere(f"the compiler's output cannot be read: {error}", "please report this") from error


def main() -> None:
    """The child: a request comes on stdin, what pack() makes of it goes to stdout. What clang says goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    modes = {wanted["mode"]: _compile(wanted) for wanted in request}
    with os.fdopen(answer, "wb") as out:
        out.write(pack(modes))


def _compile(wanted: dict[str, Any]) -> Compiled:
    from bcc import BPF

    names: list[str] = wanted["names"]
    directory = wanted["directory"]
    # The stand-in headers instead of the kernel's; and no file of the caller's directory is ever included.
    os.environ["BCC_KERNEL_SOURCE"] = directory
    os.chdir(directory)
    numbered = [_defined(name, wanted["placeholders"] + at) for at, name in enumerate(names)]
    page = f"-DPAGE_SIZE={resource.getpagesize()}"  # of the ring buffer that bcc makes, and nobody uses
    flags = [f"-I{directory}", *wanted["flags"], *numbered, _OPAQUE, _OPAQUE_CODE, _OPAQUE_CALL, page]
    with_maps = BPF(text=wanted["text"].encode(), cflags=flags)
    shapes, indexes = _maps(with_maps)
    programs = {}
    for name, code in _programs(with_maps):
        for at in map_uses(code):
            set_immediate(code, at, indexes[immediate(code, at)])
        programs[name] = bytes(code)
    return Compiled(wanted["digest"], tuple(names), shapes, programs)


def _defined(name: str, placeholder: int) -> str:
    if name == CALL:
        return f"-D{name}(argument)=OPAQUE_CALL({placeholder}, argument)"
    return f"-D{name}={'OPAQUE_CODE' if name in CALLBACKS else 'OPAQUE'}({placeholder})"


def _maps(compiled: Any) -> tuple[tuple[MapShape, ...], dict[int, int]]:
    """In the order of their names; and their places in it by the descriptors that the instructions have."""
    from bcc.libbcc import lib

    module = ctypes.c_void_p(compiled.module)
    lib.bpf_table_name.restype = ctypes.c_char_p  # bcc itself asks for the tables that it knows by name
    lib.bpf_table_name.argtypes = [ctypes.c_void_p, ctypes.c_ulonglong]
    names = [lib.bpf_table_name(module, at) for at in range(lib.bpf_num_tables(module))]
    found = {name.decode(): lib.bpf_table_fd(module, name) for name in names}
    shapes = tuple(_shape(name, found[name]) for name in sorted(found))
    return shapes, {found[shape.name]: at for at, shape in enumerate(shapes)}


def _shape(name: str, descriptor: int) -> MapShape:
    """struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags."""
    info = system_calls.object_info(descriptor, _MAP_INFO.size)
    kind, _, key_bytes, value_bytes, entries, flags = _MAP_INFO.unpack(info)
    return MapShape(name, kind, key_bytes, value_bytes, entries, flags)


def _programs(compiled: Any) -> Iterator[tuple[str, bytearray]]:
    from bcc.libbcc import lib

    module = compiled.module
    for at in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, at)
        start, size = lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)
        yield name.decode(), bytearray(ctypes.string_at(start, size))


if __name__ == "__main__":
    main()
