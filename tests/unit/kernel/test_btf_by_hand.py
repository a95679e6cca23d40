"""The search for an enum without a name, on BTF files written by hand: nothing that only looks alike is taken."""

import struct
from pathlib import Path

from dropwatch.kernel import btf_enums


class Raw:
    """A BTF file written by hand: types in the order of add(), strings as they are needed."""

    def __init__(self) -> None:
        self.types, self.strings = b"", b"\0"

    def name(self, text: str) -> int:
        at = self.strings.find(b"\0" + text.encode() + b"\0") + 1
        if not at:
            at = len(self.strings)
            self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: int, name_off: int, size: int, entries: list[bytes]) -> None:
        self.types += struct.pack("=III", name_off, kind << 24 | len(entries), size) + b"".join(entries)

    def enum(self, values: dict[str, int], name: str | None = None) -> None:
        entries = [struct.pack("=Ii", self.name(key), value) for key, value in values.items()]
        self.add(6, self.name(name) if name else 0, 4, entries)

    def write(self, path: Path) -> Path:
        head = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        path.write_bytes(head + self.types + self.strings)
        return path


VALUES = {"FIRST_ZERO": 0, "FIRST_NEXT": 7, "FIRST_NEGATIVE": -1, "__FIRST_MAX": 8}
FOUND = {"FIRST_ZERO": 0, "FIRST_NEXT": 7, "FIRST_NEGATIVE": -1}


def test_a_member_whose_type_has_the_number_of_the_name(tmp_path: Path) -> None:
    """The bytes of the enumerator (name, 0) are also those of a first member's (type, offset 0)."""
    raw = Raw()
    trap = raw.name("FIRST_ZERO")
    raw.add(4, raw.name("some_struct"), 8, [struct.pack("=III", raw.name("member"), trap, 0)])
    raw.enum(VALUES)
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", raw.write(tmp_path / "btf")) == FOUND


def test_an_enum_with_a_name_is_another(tmp_path: Path) -> None:
    raw = Raw()
    raw.enum(VALUES, "named")
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", raw.write(tmp_path / "btf")) == {}
    raw.enum(VALUES)
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", raw.write(tmp_path / "btf")) == FOUND


def test_a_name_that_another_ends_or_begins_with(tmp_path: Path) -> None:
    raw = Raw()
    raw.enum({"NOT_FIRST_ZERO": 0, "FIRST_ZERO_NOT": 0})
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", raw.write(tmp_path / "btf")) == {}


def test_the_last_type_of_the_file(tmp_path: Path) -> None:
    raw = Raw()
    raw.enum(VALUES)
    whole = raw.write(tmp_path / "btf")
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", whole) == FOUND
    raw.types = raw.types[:-8]  # the head promises one more than there is
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", raw.write(tmp_path / "short")) == {}


def test_no_btf_no_names(tmp_path: Path) -> None:
    assert btf_enums.anonymous_enum("FIRST_ZERO", "FIRST_", tmp_path / "none") == {}
