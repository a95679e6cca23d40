"""Functions that take a packet, compared with what bpftool reads out of the same BTF; the hard cases by hand."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dropwatch.kernel.btf_functions import SkbFunction, functions_taking

VMLINUX = Path("/sys/kernel/btf/vmlinux")
INT, PTR, STRUCT, FWD, TYPEDEF, CONST, FUNC, FUNC_PROTO = 1, 2, 4, 7, 8, 10, 12, 13
TYPE_TAG, ENUM64, UNKNOWN = 18, 19, 29


class File:
    """A BTF file written by hand; add() gives the type's number. A module's goes on where `base` ends."""

    def __init__(self, base: "File | None" = None) -> None:
        self.base = base
        self.types, self.strings = b"", b"" if base else b"\0"
        self.first: int = base.first + base.count if base else 1
        self.count: int = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings) + (len(self.base.strings) if self.base else 0)
        self.strings += text.encode() + b"\0"
        return at

    def add(
        self, kind: int, name: str = "", target: int = 0, words: tuple[int, ...] = (), vlen: int = 0
    ) -> int:
        self.types += struct.pack("=III", self.name(name), kind << 24 | vlen, target)
        self.types += struct.pack(f"={len(words)}I", *words)
        self.count += 1
        return self.first + self.count - 1

    def function(self, name: str, *arguments: int, returned: int = 0) -> None:
        words = tuple(word for argument in arguments for word in (0, argument))
        prototype = self.add(FUNC_PROTO, "", returned, words, len(arguments))
        self.add(FUNC, name, prototype)

    def write(self, path: Path) -> Path:
        sizes = (24, 0, len(self.types), len(self.types), len(self.strings))
        path.write_bytes(struct.pack("=HBBIIIII", 0xEB9F, 1, 0, *sizes) + self.types + self.strings)
        return path


class Kernel(File):
    def __init__(self) -> None:
        super().__init__()
        self.int = self.add(INT, "int", 4, (0x01000020,))
        self.skb = self.add(STRUCT, "sk_buff", 8, (self.name("len"), self.int, 0), 1)
        self.skb_pointer = self.add(PTR, "", self.skb)


def found(directory: Path) -> dict[str, tuple[int, str | None]]:
    functions = functions_taking(directory=directory)
    assert all(name == function.name for name, function in functions.items())
    return {name: (function.argument, function.module) for name, function in functions.items()}


def test_which_argument(tmp_path: Path) -> None:
    kernel = Kernel()
    tag = kernel.add(TYPE_TAG, "user", kernel.add(CONST, "", kernel.skb))
    of_const = kernel.add(CONST, "", kernel.add(PTR, "", tag))
    kernel.function("first", kernel.skb_pointer, kernel.skb_pointer)
    kernel.function("fifth", *[kernel.int] * 4, of_const)
    kernel.function("sixth", *[kernel.int] * 5, kernel.skb_pointer)
    kernel.function("pointer_to_pointer", kernel.add(PTR, "", kernel.skb_pointer))
    kernel.function("none", kernel.int)
    kernel.function("nothing")
    kernel.write(tmp_path / "vmlinux")
    assert found(tmp_path) == {"first": (1, None), "fifth": (5, None)}


def test_what_is_passed_by_value_may_fill_two_registers(tmp_path: Path) -> None:
    kernel = Kernel()
    small, large = kernel.add(STRUCT, "small", 8), kernel.add(STRUCT, "large", 16)
    huge = kernel.add(STRUCT, "huge", 24)
    wide = kernel.add(TYPEDEF, "u128", kernel.add(INT, "__int128", 16, (128,)))
    kernel.function("behind_small", small, kernel.skb_pointer)
    kernel.function("behind_large", large, kernel.skb_pointer)
    kernel.function("behind_wide", wide, kernel.skb_pointer)
    kernel.function("before_large", kernel.skb_pointer, large)
    kernel.function("returns_large", kernel.skb_pointer, returned=large)
    kernel.function("returns_huge", kernel.skb_pointer, returned=huge)
    kernel.write(tmp_path / "vmlinux")
    assert found(tmp_path) == {
        "behind_small": (2, None),
        "before_large": (1, None),
        "returns_large": (1, None),
    }


def test_a_module_goes_on_counting(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.function("taken", kernel.skb_pointer)
    shared = kernel.first + kernel.count - 2
    kernel.write(tmp_path / "vmlinux")
    one = File(kernel)
    one.function("in_one", kernel.int, kernel.skb_pointer)
    one.function("with_const", one.add(PTR, "", one.add(CONST, "", kernel.skb)))
    one.add(FUNC, "kernel_prototype", shared)
    one.write(tmp_path / "one")
    other = File(kernel)
    other.function("with_its_own", other.add(PTR, "", other.add(FWD, "sk_buff")))
    other.write(tmp_path / "other")
    assert found(tmp_path) == {
        "taken": (1, None),
        "in_one": (2, "one"),
        "with_const": (1, "one"),
        "kernel_prototype": (1, "one"),
        "with_its_own": (1, "other"),
    }


def test_names_that_are_not_unique(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.function("alike", kernel.skb_pointer)
    kernel.function("alike", kernel.skb_pointer)
    kernel.function("unlike", kernel.skb_pointer)
    kernel.function("unlike", kernel.int, kernel.skb_pointer)
    kernel.function("elsewhere", kernel.skb_pointer)
    kernel.write(tmp_path / "vmlinux")
    module = File(kernel)
    module.function("elsewhere", kernel.skb_pointer)
    module.write(tmp_path / "module")
    assert found(tmp_path) == {"alike": (1, None)}


def test_a_kind_that_is_not_known(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.function("taken", kernel.skb_pointer)
    kernel.write(tmp_path / "vmlinux")
    module = File(kernel)
    module.function("in_module", kernel.skb_pointer)
    module.add(UNKNOWN)
    module.write(tmp_path / "module")
    assert found(tmp_path) == {"taken": (1, None)}
    kernel.add(UNKNOWN)
    newer = tmp_path / "newer"
    newer.mkdir()
    kernel.write(newer / "vmlinux")
    with pytest.raises(ValueError, match="kind 29"):
        functions_taking(directory=newer)


def test_every_kind_is_walked_over(tmp_path: Path) -> None:
    """What follows the head, by kind, as include/uapi/linux/btf.h has it."""
    kernel = Kernel()
    for kind, words, vlen in (
        *((3, (1, 1, 4), 0), (5, (0, 1, 0), 1), (6, (0, 1, 0, 2), 2), (7, (), 0), (14, (1,), 0)),
        *((15, (1, 0, 4), 1), (16, (), 0), (17, (0,), 0), (ENUM64, (0, 1, 0, 0, 2, 0), 2)),
    ):
        kernel.add(kind, "", 4, words, vlen)
    kernel.function("behind_all", kernel.skb_pointer)
    kernel.write(tmp_path / "vmlinux")
    assert found(tmp_path) == {"behind_all": (1, None)}


@pytest.mark.parametrize("broken", [b"", b"\x9f\xeb", b"\0" * 64, b"\xeb\x9f\1\0" + b"\0" * 60])
def test_what_is_not_btf(broken: bytes, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(broken)
    with pytest.raises(ValueError, match="not BTF"):
        functions_taking(directory=tmp_path)


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.function("taken", kernel.skb_pointer)
    kernel.types = kernel.types[:-8]
    kernel.write(tmp_path / "vmlinux")
    with pytest.raises(ValueError, match="within a type"):
        functions_taking(directory=tmp_path)


def test_no_btf_no_functions(tmp_path: Path) -> None:
    assert functions_taking(directory=tmp_path / "none") == {}


def test_every_function_of_this_kernel() -> None:
    """Nothing more and nothing less than bpftool shows; what is passed by value in front is not looked at."""
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    if shutil.which("bpftool") is None:
        pytest.skip("feature bpftool: not installed")
    command = ["bpftool", "btf", "dump", "file", str(VMLINUX), "format", "raw"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kinds: dict[str, tuple[str, str, str]] = {"0": ("VOID", "", "")}
    takes: dict[str, list[str]] = {}
    current = ""
    for line in dump.splitlines():
        if head := re.match(r"\[(\d+)\] (\w+) '([^']*)'", line):
            current, kind, name = head.groups()
            target = re.search(r" type_id=(\d+)", line)
            kinds[current] = (kind, name, target.group(1) if target else "")
        elif kinds[current][0] == "FUNC_PROTO":
            takes.setdefault(current, []).append(line.split("type_id=")[1])

    def stripped(number: str) -> tuple[str, str, str]:
        while kinds[number][0] in ("CONST", "VOLATILE", "RESTRICT", "TYPE_TAG", "TYPEDEF"):
            number = kinds[number][2]
        return kinds[number]

    def is_packet(number: str) -> bool:
        outer = stripped(number)
        return outer[0] == "PTR" and stripped(outer[2])[:2] == ("STRUCT", "sk_buff")

    expected: dict[str, set[int]] = {}
    for kind, name, prototype in list(kinds.values()):
        if kind == "FUNC":
            places = [at for at, number in enumerate(takes.get(prototype, [])[:5], 1) if is_packet(number)]
            if places:
                expected.setdefault(name, set()).add(places[0])
    assert len(expected) > 500
    ours = {name: function for name, function in functions_taking().items() if function.module is None}
    assert {name: {function.argument} for name, function in ours.items()}.items() <= expected.items()
    missing = {name for name in expected.keys() - ours.keys() if len(expected[name]) == 1}
    assert len(missing) < 10, sorted(missing)
    assert ours["ip_rcv"] == SkbFunction("ip_rcv", 1, None, answers=True)
    assert ours["ip_output"].argument == 3
