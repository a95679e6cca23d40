"""Layouts and enumerators, compared with what bpftool reads out of the same BTF."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from dropwatch.kernel import btf, btf_enums

VMLINUX = Path("/sys/kernel/btf/vmlinux")
TRANSPARENT = ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG")


@dataclass
class Type:
    kind: str
    name: str
    fields: dict[str, str]
    members: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class Witness:
    """`bpftool btf dump ... format raw`, parsed without a thought of how ours does it."""

    def __init__(self, text: str) -> None:
        self.types: dict[int, Type] = {}
        current = Type("", "", {})
        for line in text.splitlines():
            words = dict(re.findall(r"(\w+)=(\S+)", line))
            if line.startswith("["):
                number, kind, name = re.match(r"\[(\d+)\] (\w+) '([^']*)'", line).groups()  # type: ignore[union-attr]
                current = self.types[int(number)] = Type(kind, name, words)
            else:
                current.members.append((line.split("'")[1] if "'" in line else "", words))

    @cached_property
    def structs(self) -> dict[str, Type]:
        found: dict[str, Type] = {}
        for type_ in self.types.values():
            if type_.kind == "STRUCT":
                found.setdefault(type_.name, type_)
        return found

    def resolved(self, number: str) -> Type:
        type_ = self.types.get(int(number), Type("VOID", "", {}))
        while type_.kind in TRANSPARENT:
            type_ = self.types.get(int(type_.fields["type_id"]), Type("VOID", "", {}))
        return type_

    def paths(self, type_: Type, start: int = 0) -> Iterator[tuple[str, int, Type, bool]]:
        """(member, bits from the start, its type, is it a bitfield), those of anonymous members as if our own."""
        for name, words in type_.members:
            inner, at = self.resolved(words["type_id"]), start + int(words["bits_offset"])
            if name == "(anon)":
                yield from self.paths(inner, at)
            else:
                yield name, at, inner, "bitfield_size" in words

    def anonymous_enum(self, first: str) -> dict[str, int]:
        for type_ in self.types.values():
            if type_.kind == "ENUM" and type_.members and type_.members[0][0] == first:
                return {name: int(words["val"]) for name, words in type_.members}
        return {}


@pytest.fixture(scope="module")
def witness() -> Witness:
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    if shutil.which("bpftool") is None:
        pytest.skip("feature bpftool: not installed")
    command = ["bpftool", "btf", "dump", "file", str(VMLINUX), "format", "raw"]
    return Witness(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def kernel() -> btf.Btf:
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    return btf.vmlinux()


STRUCTS = ("sk_buff", "net_device", "net", "ns_common", "dst_entry", "sock", "xfrm_state", "skb_ext", "iphdr")


@pytest.mark.parametrize("name", STRUCTS)
def test_every_member_of_the_struct(name: str, kernel: btf.Btf, witness: Witness) -> None:
    """Also through anonymous structs and unions; a bitfield has no offset in bytes."""
    seen = set()
    for member, bits, _, is_bitfield in witness.paths(witness.structs[name]):
        if member in seen:
            continue
        seen.add(member)
        assert kernel.offset(name, (member,)) == (None if is_bitfield else bits // 8), f"{name}.{member}"
    assert len(seen) > 3


@pytest.mark.parametrize("name", ["xfrm_state", "net", "sock", "sk_buff"])
def test_every_member_of_its_members(name: str, kernel: btf.Btf, witness: Witness) -> None:
    tried = 0
    for outer, start, inner, _ in witness.paths(witness.structs[name]):
        if inner.kind not in ("STRUCT", "UNION"):
            continue
        for member, bits, _, is_bitfield in witness.paths(inner, start):
            expected = None if is_bitfield else bits // 8
            assert kernel.offset(name, (outer, member)) == expected, f"{name}.{outer}.{member}"
            tried += 1
    assert tried > 4


def test_the_witness_knows_what_is_hard(witness: Witness) -> None:
    """That the comparisons above meet an anonymous union, a nested struct and a bitfield."""
    direct = [name for name, _ in witness.structs["sk_buff"].members]
    within = {member: is_bitfield for member, _, _, is_bitfield in witness.paths(witness.structs["sk_buff"])}
    assert "mark" not in direct
    assert within["mark"] is False
    assert within["pkt_type"] is True
    identity = next(
        inner for name, _, inner, _ in witness.paths(witness.structs["xfrm_state"]) if name == "id"
    )
    assert "spi" in [name for name, _ in identity.members]


def test_deep_paths(kernel: btf.Btf) -> None:
    """offset() of a path is the sum of its steps."""
    start = kernel.offset("sock", ("__sk_common",))
    assert start == 0
    assert kernel.offset("sock", ("__sk_common", "skc_net")) == kernel.offset("sock_common", ("skc_net",))
    statistics = kernel.offset("netns_mib", ("xfrm_statistics",))
    start = kernel.offset("net", ("mib",))
    assert start is not None
    assert statistics is not None
    assert kernel.offset("net", ("mib", "xfrm_statistics")) == start + statistics


def test_sizes(kernel: btf.Btf, witness: Witness) -> None:
    for name in STRUCTS:
        assert kernel.size(name) == int(witness.structs[name].fields["size"])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("no_such_struct", ("mark",)),
        ("sk_buff", ("no_such_member",)),
        ("sk_buff", ("mark", "no_such_member")),
        ("sk_buff", ("no_such_member", "mark")),
        ("xfrm_state", ("id", "no_such_member")),
        ("sk_buff", ("dev", "ifindex")),  # behind a pointer is another object
        ("net_device", ("name", "x")),
        ("sk_buff", ("pkt_type",)),  # a bitfield
    ],
)
def test_what_has_no_offset(name: str, path: tuple[str, ...], kernel: btf.Btf) -> None:
    assert kernel.offset(name, path) is None


def test_what_has_no_size(kernel: btf.Btf) -> None:
    assert kernel.size("no_such_struct") is None
    assert kernel.size("skb_ext_id") is None


def test_enums(kernel: btf.Btf, witness: Witness) -> None:
    """Every named enum of this kernel up to 32 bits; of several with one name the first, for both."""
    expected: dict[str, dict[str, int]] = {}
    for type_ in witness.types.values():
        if type_.kind == "ENUM" and type_.name != "(anon)" and type_.members:
            values = {name: int(words["val"]) & 0xFFFFFFFF for name, words in type_.members}
            expected.setdefault(type_.name, values)
    assert len(expected) > 500
    assert {name: kernel.enum(name) for name in expected} == expected


def test_enums_of_64_bits(kernel: btf.Btf, witness: Witness) -> None:
    named = {type_.name: type_ for type_ in witness.types.values() if type_.kind == "ENUM64"}
    for name in named.keys() - {"(anon)"}:
        found = kernel.enum(name)
        assert found is not None
        for enumerator, words in named[name].members:
            assert found[enumerator] == int(re.sub(r"ULL$", "", words["val"]), 0) & 0xFFFFFFFFFFFFFFFF


def test_there_is_no_such_enum(kernel: btf.Btf) -> None:
    assert kernel.enum("no_such_enum") is None
    assert kernel.enum("sk_buff") is None


@pytest.mark.parametrize(
    ("first", "prefix"), [("LINUX_MIB_XFRMNUM", "LINUX_MIB_XFRM"), ("XFRM_STATE_VOID", "XFRM_STATE_")]
)
def test_enums_without_a_name(first: str, prefix: str, witness: Witness) -> None:
    expected = {
        name: value for name, value in witness.anonymous_enum(first).items() if name.startswith(prefix)
    }
    assert len(expected) > 5
    assert btf_enums.anonymous_enum(first, prefix) == expected


def test_every_enum_without_a_name(witness: Witness) -> None:
    """Those that begin with 0, and whose first name begins no other enum."""
    firsts = [
        type_.members[0][0]
        for type_ in witness.types.values()
        if type_.kind == "ENUM" and type_.name == "(anon)" and type_.members[0][1]["val"] == "0"
    ]
    chosen = [first for first in firsts if firsts.count(first) == 1][::37]
    assert len(chosen) > 5
    for first in chosen:
        assert btf_enums.anonymous_enum(first, "") == witness.anonymous_enum(first), first


def test_tracepoint_arguments(kernel: btf.Btf) -> None:
    """What comes first are the packet and the place, on every kernel; then it differs."""
    arguments = kernel.tracepoint_arguments("kfree_skb")
    assert arguments is not None
    assert arguments[:2] == ["sk_buff", ""]
    assert kernel.tracepoint_arguments("no_such_tracepoint") is None


def test_tracepoint_arguments_as_bpftool_has_them(kernel: btf.Btf, witness: Witness) -> None:
    tried = 0
    for type_ in list(witness.types.values()):
        if not (type_.kind == "TYPEDEF" and type_.name.startswith("btf_trace_")):
            continue
        prototype = witness.types[int(witness.types[int(type_.fields["type_id"])].fields["type_id"])]
        expected = []
        for _, words in prototype.members[1:]:
            argument = witness.types.get(int(words["type_id"]))
            while argument is not None and argument.kind in (
                "PTR",
                "CONST",
                "VOLATILE",
                "RESTRICT",
                "TYPE_TAG",
            ):
                argument = witness.types.get(int(argument.fields["type_id"]))
            expected.append("" if argument is None or argument.name == "(anon)" else argument.name)
        assert kernel.tracepoint_arguments(type_.name.removeprefix("btf_trace_")) == expected, type_.name
        tried += 1
    assert tried > 50


def test_a_module_that_is_not_there() -> None:
    assert btf.module("no_such_module") is None
    assert btf.module("../../../etc") is None


def test_what_a_function_takes(kernel: btf.Btf) -> None:
    assert kernel.parameters("nf_hook_slow") == [
        "sk_buff",
        "nf_hook_state",
        "nf_hook_entries",
        "unsigned int",
    ]
    assert kernel.parameters("no_such_function") is None
