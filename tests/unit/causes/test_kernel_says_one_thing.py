"""Words of the kernel that stand for two causes: what tells them apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.tunnel.vxlan import Vxlan
from dropwatch.model.drop import Drop, Event, Frame, Interface, Where
from dropwatch.packet.parse import parse
from tests.unit.told_host import ToldHost

IPV6_UDP = bytes.fromhex("6000000000101140" + "fd09000000000000" * 4 + "9c4016b400100000") + b"datagram"
VXLAN = bytes.fromhex(
    "4500003400010000401100000a0900010a090002" + "9c4012b500200000" + "0800000000000200"
) + bytes(16)
CHANGED = 1 << 62
# Of IPV6_UDP: over its addresses, length and protocol alone, and over everything.
UNFINISHED, RIGHT = 0xF448, 0xB70F

Died = Callable[..., Drop]


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Died:
    def build(place: str, reason: str | None, data: bytes = b"", protocol: int = 0x86DD) -> Drop:
        frame = Frame(place, 1, None, 0)
        drop = make_drop(event=make_event(packet=data, protocol=protocol), iface=Interface(2, "vb"))
        packet = parse(data, protocol, len(data), 0) if data else drop.packet
        return replace(drop, packet=packet, where=Where(frame, None, None), stack=(frame,), reason=reason)

    return build


def judged(drop: Drop, **answers: Any) -> tuple[str, str]:
    cause, verdict = diagnose(drop, ToldHost(**answers))
    return (cause.id if cause is not None else "unknown"), verdict.confidence


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_an_interface_without_ipv6(died: Died, reason: str | None) -> None:
    drop = died("ip6_rcv_core", reason)
    assert judged(drop, mtu=1200) == ("ipv6.mtu-too-small", "certain")
    assert judged(drop, mtu=1200, last_change=CHANGED) == ("ipv6.mtu-too-small", "likely")
    assert judged(drop, mtu=1280) == judged(drop) == ("unknown", "unknown")
    assert judged(died("ip6_rcv_core", "IPV6DISABLED"), mtu=1200) == ("ipv6.disabled", "certain")


def test_a_checksum_that_is_wrong_or_none(died: Died) -> None:
    none = died("__udp6_lib_rcv", "UDP_CSUM", IPV6_UDP)
    assert judged(none) == ("malformed.udp-zero-checksum", "certain")
    wrong = died("__udp6_lib_rcv", "UDP_CSUM", IPV6_UDP[:46] + b"\x12\x34" + IPV6_UDP[48:])
    assert judged(wrong) == ("malformed.udp-checksum", "certain")


def with_sum(checksum: int) -> bytes:
    return IPV6_UDP[:46] + checksum.to_bytes(2, "big") + IPV6_UDP[48:]


def test_a_checksum_that_its_sender_left_to_the_hardware(died: Died) -> None:
    _, verdict = diagnose(died("__udp6_lib_rcv", "UDP_CSUM", with_sum(UNFINISHED)), ToldHost())
    assert verdict.title is not None
    assert "to the hardware" in verdict.title
    assert verdict.confidence == "certain"
    # a card would have finished it: it says nothing where the kernel does not name the checksum
    assert judged(died("__udp6_lib_rcv", None, with_sum(UNFINISHED)))[0] != "malformed.udp-checksum"


def test_a_wrong_checksum_without_the_kernels_word(died: Died) -> None:
    wrong = died("__udp6_lib_rcv", None, with_sum(0x1234))
    assert judged(wrong) == ("malformed.udp-checksum", "likely")
    assert f"{RIGHT:#06x} would be right" in diagnose(wrong, ToldHost())[1].evidence[0].text
    assert judged(died("__udp6_lib_rcv", None, with_sum(RIGHT)))[0] != "malformed.udp-checksum"
    assert judged(died("ip6_forward", None, with_sum(0x1234)))[0] != "malformed.udp-checksum"


def test_a_verdict_of_xdp_or_a_redirect_that_failed(died: Died) -> None:
    for place, words in (("do_xdp_generic", "redirects it, and that fails"), ("tun_get_user", None)):
        cause, verdict = diagnose(died(place, "XDP"), ToldHost())
        assert cause is not None
        assert (cause.id, verdict.confidence) == ("bpf.xdp-generic", "certain")
        assert (words is None) == (verdict.title is None or "redirects" not in verdict.title)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((Vxlan("vx2", 2, up=False),), ("device.down", "likely")),
        ((Vxlan("vx2", 2, up=True),), ("tunnel.vxlan-unknown-vni", "certain")),
        ((Vxlan("vx3", 3, up=False),), ("tunnel.vxlan-unknown-vni", "certain")),
        (None, ("tunnel.vxlan-unknown-vni", "certain")),
    ],
)
def test_a_network_that_is_unknown_or_down(
    died: Died, there: tuple[Vxlan, ...] | None, expected: tuple[str, str]
) -> None:
    assert judged(died("vxlan_rcv", "VXLAN_VNI_NOT_FOUND", VXLAN, 0x0800), vxlans=there) == expected
