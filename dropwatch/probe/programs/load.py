"""Gives a program to the kernel, which verifies it. The commands and layouts are UAPI: linux/bpf.h (union bpf_attr)."""

import ctypes
import os
import struct
from enum import IntEnum
from typing import Any

from dropwatch.kernel import system_calls
from dropwatch.probe.programs.compiled import Filled
from dropwatch.probe.programs.function_types import infos, types

_PROG_LOAD, _BTF_LOAD = 5, 18
_TRACE_FEXIT = 25  # enum bpf_attach_type
_NAME_BYTES = 16  # BPF_OBJ_NAME_LEN
_LOG_BYTES = 1 << 20


class Kind(IntEnum):
    """enum bpf_prog_type"""

    KPROBE = 2
    RAW_TRACEPOINT = 17
    TRACING = 26


def load_program(program: str, kind: Kind, code: bytes, function: int = 0) -> int:
    """Only a refusal is worth the verifier's log, for which the program is loaded again."""
    try:
        return _try_to_load(program, kind, code, function, None)
    except OSError as refused:
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return _try_to_load(program, kind, code, function, log)
        except OSError as error:
            raise OSError(error.errno, _words(log.value) or refused.strerror) from None


def load_with_functions(program: str, kind: Kind, filled: Filled) -> int:
    """One with functions behind it whose addresses a helper is told. Raises OSError."""
    described = ctypes.create_string_buffer(types())
    size = len(described) - 1
    known = system_calls.bpf(_BTF_LOAD, struct.pack("=QQI", ctypes.addressof(described), 0, size))
    try:
        return _try_to_load(program, kind, filled.code, types_of=known, functions=infos(filled.functions))
    finally:
        os.close(known)


def _try_to_load(
    program: str,
    kind: Kind,
    code: bytes,
    function: int = 0,
    log: Any = None,
    *,
    types_of: int = 0,
    functions: bytes = b"",
) -> int:
    """prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
    prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size, func_info, func_info_cnt, line_info_rec_size,
    line_info, line_info_cnt, attach_btf_id
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    described = ctypes.create_string_buffer(functions, len(functions)) if functions else None
    of_functions = (
        (8, ctypes.addressof(described), len(functions) // 8) if described is not None else (0, 0, 0)
    )
    told = (1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)
    attr = struct.pack(
        f"=IIQQIIQII{_NAME_BYTES}sIIIIQI",
        kind,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        *told,
        0,
        0,
        program.encode()[: _NAME_BYTES - 1],
        0,
        _TRACE_FEXIT if function else 0,
        types_of,
        *of_functions,
    )
    if function:
        attr += struct.pack("=IQII", 0, 0, 0, function)
    return system_calls.bpf(_PROG_LOAD, attr)


def _words(log: bytes) -> str:
    """The end of a verifier's log, without its statistics."""
    lines = [line.strip() for line in log.decode(errors="replace").splitlines()]
    return " ".join([line for line in lines if line and not line.startswith("processed ")][-2:])
