"""Pairs of veth, queues of macvlan and ipvlan, and tags that no interface has."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.link import Link
from dropwatch.host.stacked import Stacked
from dropwatch.model.drop import Drop, Frame, Where
from dropwatch.model.forwarding import Device
from dropwatch.packet.frame import BROADCAST
from tests.unit.told_host import ToldHost

OWN = "02:00:00:00:00:5a"
TO = bytes.fromhex(OWN.replace(":", ""))
LINK = Link("v 0", 9000, "UP", True, True, "veth", OWN)
MACVLAN = Stacked("mv 0", "macvlan", True, "02:00:00:00:00:01", queue=1000)
CHANGED = 1 << 62  # after every drop
Died = Callable[..., Drop]


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Died:
    def build(
        *way: str,
        reason: str | None = "NOT_SPECIFIED",
        to: bytes = TO,
        notes: frozenset[str] = frozenset(),
        protocol: int = 0x0800,
    ) -> Drop:
        frames = tuple(Frame(name, 1, None, 0) for name in way)
        link = to + bytes.fromhex("020000000002") + b"\x08\0"
        event = make_event(link=link, notes=notes, protocol=protocol)
        drop = make_drop(event=event, reason=reason)
        return replace(drop, where=Where(frames[0], "device", "out"), stack=frames)

    return build


def judged(drop: Drop, **told: object) -> tuple[str | None, str]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return cause.id if cause is not None else None, verdict.confidence


@pytest.mark.parametrize(
    ("reason", "confidence"), [(None, "likely"), ("NOT_SPECIFIED", "likely"), ("DEV_READY", "certain")]
)
def test_a_vlan_interface_that_is_down(died: Died, reason: str | None, confidence: str) -> None:
    assert judged(died("vlan_do_receive", reason=reason)) == ("device.down", confidence)
    assert judged(died("vlan_do_receive", reason="NOMEM"))[0] != "device.down"


@pytest.mark.parametrize("place", ["__dev_forward_skb", "__dev_forward_skb2"])
@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_the_other_end_of_a_pair(died: Died, place: str, reason: str | None) -> None:
    drop = died(place, "veth_xmit", reason=reason, notes=frozenset({"no-carrier"}))
    assert judged(drop, link=LINK) == ("device.veth-peer-down", "certain")
    cause, verdict = diagnose(died(place, "veth_xmit", reason=reason), ToldHost(link=LINK))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("device.too-big-for-peer", "certain")
    assert "and v 0 sends up to 9000" in verdict.evidence[0].text


def test_what_another_device_hands_over(died: Died) -> None:
    assert judged(died("__dev_forward_skb", "ipvlan_queue_xmit"), link=LINK) == (None, "unknown")
    assert judged(died("__dev_forward_skb", "veth_xmit", reason="NOMEM"), link=LINK) == (None, "unknown")


def test_the_queue_of_macvlan(died: Died) -> None:
    drop = died("macvlan_handle_frame", reason="MACVLAN_BROADCAST_BACKLOG", to=BROADCAST)
    cause, verdict = diagnose(drop, ToldHost(stacked=(MACVLAN,)))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("device.macvlan-broadcast-full", "certain")
    text = "mv 0 macvlan bcqueuelen 1000"
    assert verdict.culprit == Device(text, "mv 0", "macvlan", "bcqueuelen 1000")
    wanted = "ip netns exec b ip link set 'mv 0' type macvlan bcqueuelen 10000"
    assert verdict.fix[0].command == wanted
    later = judged(drop, stacked=(MACVLAN,), last_change=CHANGED)
    assert later == ("device.macvlan-broadcast-full", "likely")
    assert judged(drop, stacked=None) == ("device.macvlan-broadcast-full", "certain")


@pytest.mark.parametrize("there", [(), (MACVLAN,), (replace(MACVLAN, queue=0),)])
def test_the_queue_of_macvlan_where_the_kernel_says_nothing(died: Died, there: tuple[Stacked, ...]) -> None:
    drop = died("macvlan_handle_frame", reason=None, to=BROADCAST)
    assert judged(drop, stacked=there) == ("device.macvlan-broadcast-full", "likely")
    assert judged(drop, stacked=(*there, replace(MACVLAN, by_source=True))) == (None, "unknown")


def test_the_queue_of_ipvlan(died: Died) -> None:
    drop = died("ipvlan_multicast_enqueue", reason=None, to=BROADCAST)
    assert judged(drop) == ("device.ipvlan-multicast-full", "certain")
    assert judged(died("ipvlan_handle_frame", to=BROADCAST)) == ("device.ipvlan-multicast-full", "certain")
    assert judged(died("ipvlan_handle_frame")) == (None, "unknown")
    pause = died("ipvlan_multicast_enqueue", protocol=0x8808, to=BROADCAST)
    assert judged(pause) == (None, "unknown")
    said = died("ipvlan_multicast_enqueue", reason="IPVLAN_MULTICAST_BACKLOG", to=BROADCAST)
    assert judged(said) == ("device.ipvlan-multicast-full", "certain")


@pytest.mark.parametrize("place", ["ip_rcv_core", "ip6_rcv_core"])
def test_a_tag_that_no_interface_has(died: Died, place: str) -> None:
    drop = died(place, reason="OTHERHOST")
    cause, verdict = diagnose(drop, ToldHost(link=LINK, stacked=()))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("device.vlan-unknown", "likely")
    assert verdict.culprit == Device(f"v 0 address {OWN}", "v 0", "veth", mtu=9000, state="UP")
    for other in (None, replace(LINK, mac="02:00:00:00:00:5b"), replace(LINK, mac="")):
        assert judged(drop, link=other, stacked=()) == ("routing.not-for-us", "likely")


def test_a_virtio_header_is_told_by_the_reason_of_a_tap_device(died: Died) -> None:
    assert judged(died("tap_get_user", reason="DEV_HDR")) == ("device.virtio-header", "certain")
    assert judged(died("tap_get_user")) == (None, "unknown")
    assert judged(died("start_xmit", reason="DEV_HDR")) == (None, "unknown")


@pytest.mark.parametrize("place", ["tun_get_user", "tun_xdp_one", "tun_sendmsg"])
@pytest.mark.parametrize(("reason", "confidence"), [("NOT_SPECIFIED", "certain"), (None, "likely")])
def test_a_virtio_header_that_tun_refuses(
    died: Died, place: str, reason: str | None, confidence: str
) -> None:
    """What the device had taken already died of something else."""
    written = frozenset({"as-written"})
    assert judged(died(place, reason=reason, notes=written)) == ("device.virtio-header", confidence)
    assert judged(died(place, reason=reason)) == (None, "unknown")
    assert judged(died(place, reason="SKB_UCOPY_FAULT", notes=written))[0] != "device.virtio-header"
    assert judged(died("tun_net_xmit", reason=reason, notes=written))[0] != "device.virtio-header"


@pytest.mark.parametrize(
    ("protocol", "packet", "expected"),
    [
        (0, "00000800", ("device.tun-not-ip", "likely")),
        (0, "4500", ("device.virtio-header", "certain")),
        (0, "6000", ("device.virtio-header", "certain")),
        (0x0806, "0001", ("device.virtio-header", "certain")),
        (0, "", ("device.virtio-header", "certain")),
    ],
)
def test_what_is_written_to_tun_and_is_no_ip(
    died: Died, protocol: int, packet: str, expected: tuple[str, str]
) -> None:
    drop = died("tun_get_user", notes=frozenset({"as-written"}), protocol=protocol)
    drop = replace(drop, event=replace(drop.event, packet=bytes.fromhex(packet)))
    assert judged(drop) == expected
