"""Members of struct sk_buff by name: read out of bytes that the C compiler would have written."""

from pathlib import Path

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.kernel import btf, skb_fields
from dropwatch.kernel.btf import Member
from dropwatch.kernel.skb_fields import SkbField, names, resolve


@pytest.fixture(autouse=True)
def _kernel_with_btf() -> None:
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("feature BTF: this kernel has none")


USUAL = [
    *("len", "mark", "ip_summed", "pkt_type", "gso_size", "gso_segs", "gso_type"),
    *("protocol", "priority", "hash", "nr_frags", "users"),
]


def test_what_people_ask_for() -> None:
    fields = {field.name: field for field in resolve(USUAL)}
    assert list(fields) == USUAL
    assert {name for name, field in fields.items() if field.is_shared} == {
        *("gso_size", "gso_segs", "gso_type", "nr_frags")
    }
    assert (fields["pkt_type"].bits, fields["ip_summed"].bits) == (3, 2)
    assert (fields["len"].bits, fields["gso_size"].bits, fields["users"].bits) == (32, 16, 32)
    assert [name for name, field in fields.items() if field.network_order] == ["protocol"]
    assert set(USUAL) <= set(names())


def test_offsets_are_those_of_the_other_way_to_find_them() -> None:
    kernel, tried = btf.vmlinux(), 0
    for name in names():
        (field,) = resolve([name])
        offset = kernel.offset("skb_shared_info" if field.is_shared else "sk_buff", (name,))
        assert 0 < field.bits <= 64 - field.bit_offset
        if offset is not None:
            assert (field.byte_offset, field.bit_offset) == (offset, 0), name
            tried += 1
    assert tried > 30


def test_every_member_lies_in_its_struct() -> None:
    kernel = btf.vmlinux()
    for struct in ("sk_buff", "skb_shared_info"):
        size = kernel.size(struct)
        assert size is not None
        members = kernel.members(struct)
        assert len(members) > 8
        assert all(member.bit_offset + member.bits <= size * 8 for member in members.values())
    assert kernel.members("no_such_struct") == {}


@pytest.mark.parametrize(
    ("field", "little", "big"),
    [
        (SkbField("", False, 0, 0, 32, False), 0x11111111_00000005, 0x00000005_11111111),
        (SkbField("", False, 0, 5, 2, False), 0xFFFFFF3F, 0xF9FF_FFFF_FFFF_FFFF),
        (SkbField("", False, 0, 0, 16, False, True), 0xFFFF_0008, 0x0800_FFFF_FFFF_FFFF),
        (SkbField("", False, 0, 0, 32, True), 0xFFFFFFFE, 0xFFFFFFFE_00000000),
        (SkbField("", False, 0, 0, 64, False), 1 << 63, 1 << 63),
    ],
)
def test_out_of_eight_bytes(field: SkbField, little: int, big: int) -> None:
    expected = {"32 False": 5, "2 False": 1, "16 False": 0x0800, "32 True": -2, "64 False": 1 << 63}
    if field.bits == 2:
        big = 0b1111_1011 << 56 | (1 << 56) - 1  # bits 5 and 6 from the left: 01
    wanted = expected[f"{field.bits} {field.signed}"]
    assert (field.value(little, "little"), field.value(big, "big")) == (wanted, wanted)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("gsosize", "has a member 'gsosize'", "gso_size"),
        ("xyzzy", "has a member 'xyzzy'", "len"),
        ("dev", "is a pointer", "gso_type"),
        ("cb", "not a single number", "mark"),
        ("frags", "of struct skb_shared_info is not a single", "mark"),
    ],
)
def test_what_cannot_be_shown(name: str, message: str, hint: str) -> None:
    with pytest.raises(WrongUsage) as raised:
        resolve(["len", name])
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert name not in names()


def test_how_many() -> None:
    assert [field.name for field in resolve(["mark", "len", "mark"])] == ["mark", "len"]
    assert resolve([]) == ()
    assert len(resolve(names()[:16])) == 16
    with pytest.raises(WrongUsage, match="17 members"):
        resolve(names()[:17])


def test_a_bitfield_that_does_not_fit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"across": (False, Member(4, 64, "number")), "fits": (False, Member(12, 60, "number", True))}
    monkeypatch.setattr(skb_fields, "_members", lambda: made)
    assert names() == ["fits"]
    assert resolve(["fits"]) == (SkbField("fits", False, 1, 4, 60, True),)
