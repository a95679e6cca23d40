"""Steps of packets become journeys: order, words, what changed, calls inside each other, and the end."""

import socket
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.aggregate.journeys import Journeys
from dropwatch.aggregate.step_names import StepNames
from dropwatch.model.drop import Event, Finding, Frame
from dropwatch.model.journey import Journey, RawStep

MS = 1_000_000
BUFFER, COPY = 0xFFFF_8880_0000_1000, 0xFFFF_8880_0000_2000
FUNCTIONS = {
    1: "ip_rcv",
    2: "ip_local_deliver",
    3: "udp_rcv",
    4: "nft_do_chain",
    5: "ipt_do_table",
    6: "icmp_rcv",
}
FUNCTIONS |= {10: "skb_gro_receive", 11: "napi_gro_receive"}
FUNCTIONS |= {7: "consume_skb", 8: "skb_consume_udp", 9: "__udp_enqueue_schedule_skb"}


def udp(saddr: str = "10.9.0.1", daddr: str = "10.9.0.2", sport: int = 4000, dport: int = 5000) -> bytes:
    return header(saddr, daddr, 17, 8) + struct.pack("!HHHH", sport, dport, 8, 0)


def esp(saddr: str = "10.9.0.1", daddr: str = "10.9.0.2", spi: int = 0x1001) -> bytes:
    return header(saddr, daddr, 50, 32) + struct.pack("!II", spi, 1) + bytes(24)


def header(saddr: str, daddr: str, proto: int, length: int) -> bytes:
    ends = socket.inet_aton(saddr) + socket.inet_aton(daddr)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, proto, 0) + ends


def raw(kind: str, ms: float, **more: object) -> RawStep:
    step = RawStep(
        monotonic_ns=int(ms * MS),
        journey=1,
        kind=kind,  # type: ignore[arg-type]
        buffer=BUFFER,
        fits=True,
        function=0,
        sp=0,
        value=0,
        cpu=0,
        pid=7,
        comm="nginx",
        is_task=False,
        netns=0,
        ifindex=2,
        ifname="va",
        route_ifindex=0,
        route_ifname="",
        length=28,
        mark=0,
        protocol=0x0800,
        hook=0,
        family=0,
        table="",
        chain="",
        callers=(),
        fields=(),
        packet=udp(),
    )
    return replace(step, **more)  # type: ignore[arg-type]


def made(*steps: RawStep, **fields: object) -> Journeys:
    names = StepNames(
        frame=lambda address: Frame(FUNCTIONS.get(address), 16, None, address),
        netns=lambda inode: f"n{inode}",
        answers=lambda name: name != "udp_rcv",
        fields=fields,  # type: ignore[arg-type]
    )
    journeys = Journeys(names, time_of=lambda ns: ns / 1e9)
    for step in steps:
        journeys.step(step)
    return journeys


def only(journeys: Journeys) -> Journey:
    (found,) = journeys.rest()
    return found


def event(skb: int, ms: float, journey: int = 0, location: int = 0) -> Event:
    first = (int(ms * MS), "kfree_skb", skb, location, None, 0x0800, 28, 0, 2, "va", 0, 0, 0, "", 0, False)
    return Event(*first, stack=(), packet=udp(), journey=journey)


def test_steps_are_in_order_with_their_times() -> None:
    found = only(made(raw("call", 3, function=1), raw("receive", 1), raw("call", 4.5, function=2)))
    assert [(step.kind, step.frame.function) for step in found.steps] == [
        ("receive", None),
        ("call", "ip_rcv"),
        ("call", "ip_local_deliver"),
    ]
    assert [round(step.seconds * 1000, 3) for step in found.steps] == [0, 2, 3.5]
    assert [round(step.since * 1000, 3) for step in found.steps] == [0, 2, 1.5]
    assert found.steps[1].text == "received by IP"
    assert found.steps[0].tap
    assert not found.steps[1].tap
    assert found.time == 0.001
    assert (found.packet.dport, found.number) == (5000, 1)


def test_a_packet_that_never_fits_is_not_told() -> None:
    carrier = raw("receive", 1, fits=False)
    assert made(carrier).rest() == []
    assert len(made(carrier, raw("call", 2, function=1)).rest()) == 1


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (udp(daddr="10.8.0.1", dport=80), "rewritten: now 10.9.0.1:4000 > 10.8.0.1:80 udp"),
        (esp(), "IPsec applied: now 10.9.0.1 > 10.9.0.2 esp SPI 0x00001001"),
        (udp(), None),
        (b"\x00" * 20, None),  # no IP header there for the moment
    ],
)
def test_what_changed(after: bytes, words: str | None) -> None:
    found = only(
        made(raw("receive", 1), raw("call", 2, function=1, packet=after), raw("transmit", 3, packet=after))
    )
    assert [step.changed for step in found.steps] == [None, words, None]


def test_decrypted() -> None:
    found = only(made(raw("receive", 1, packet=esp()), raw("call", 2, function=3)))
    assert found.steps[1].changed == "IPsec removed: now 10.9.0.1:4000 > 10.9.0.2:5000 udp"
    assert found.packet.proto == "esp"


def test_calls_inside_each_other() -> None:
    found = only(
        made(
            raw("call", 1, function=1, sp=0x4800),
            raw("call", 2, function=2, sp=0x4700),
            raw("return", 4, function=2, sp=0x4700, value=0xFFFF_FFFF_FFFF_FFF2),
            raw("call", 5, function=3, sp=0x4700),
            raw("return", 7, function=1, sp=0x4800, value=1),
            raw("call", 8, function=6, sp=0x4800),
        )
    )
    calls = [step for step in found.steps if step.kind == "call"]
    assert [(step.frame.function, step.depth) for step in calls] == [
        ("ip_rcv", 0),
        ("ip_local_deliver", 1),
        ("udp_rcv", 1),
        ("icmp_rcv", 0),
    ]
    assert [step.duration and round(step.duration * 1000) for step in calls] == [6, 2, None, None]
    assert [step.returned for step in calls] == [1, -14, None, None]


def test_a_function_that_jumps_to_another_at_its_end() -> None:
    """Both stand at the same place of the stack, and the last one returns first."""
    found = only(
        made(
            raw("call", 1, function=1, sp=0x4800),
            raw("call", 2, function=2, sp=0x4800),
            raw("return", 4, function=2, sp=0x4800),
            raw("return", 4.5, function=1, sp=0x4800),
            raw("call", 5, function=6, sp=0x4800),
        )
    )
    calls = [step for step in found.steps if step.kind == "call"]
    assert [(step.frame.function, step.depth) for step in calls] == [
        ("ip_rcv", 0),
        ("ip_local_deliver", 1),
        ("icmp_rcv", 0),
    ]
    assert [step.duration for step in calls] == [0.0035, 0.002, None]


def test_a_return_that_was_missed_does_not_hold_what_follows_inside() -> None:
    found = only(made(raw("call", 1, function=1, sp=0x4800), raw("call", 2, function=2, sp=0x4800)))
    assert [step.depth for step in found.steps] == [0, 0]


@pytest.mark.parametrize(
    ("function", "family", "hook", "value", "told"),
    [
        (4, 1, 1, 1, ("nftables", "inet", "filter", "in", "input", "accept")),
        (4, 5, 0, 0, ("nftables", "netdev", "filter", "in", "ingress", "drop")),
        (5, 2, 4, 1, ("iptables", "ip", "filter", "POSTROUTING", "postrouting", "accept")),
        (4, 99, 99, 3 | 5 << 16, ("nftables", None, "filter", "in", None, "queue")),
    ],
)
def test_what_netfilter_answered(
    function: int, family: int, hook: int, value: int, told: tuple[object, ...]
) -> None:
    step = raw(
        "verdict", 1, function=function, family=family, hook=hook, value=value, table="filter", chain="in"
    )
    (found,) = only(made(step)).steps
    answer = found.answer
    assert answer is not None
    assert (answer.engine, answer.family, answer.table, answer.chain, answer.hook, answer.verdict) == told


def test_delivered_to_who_reads() -> None:
    found = only(
        made(
            raw("receive", 1),
            raw("call", 2, function=9),
            raw("call", 3, function=8, is_task=True),
            raw("consumed", 4, is_task=True, pid=812, comm="nginx"),
        )
    )
    assert (found.end, found.end_text) == ("delivered", "nginx[812] read it")
    assert found.process is not None
    assert found.process.pid == 812


def test_used_by_the_kernel_itself() -> None:
    found = only(made(raw("receive", 1), raw("call", 2, function=6), raw("consumed", 3, callers=(7, 6))))
    assert (found.end, found.end_text) == ("consumed", "icmp_rcv() consumed it")


def test_joined_to_another_packet() -> None:
    found = only(made(raw("transmit", 1), raw("call", 2, function=10), raw("consumed", 3, callers=(7, 11))))
    assert (found.end, found.steps[-1].frame.function) == ("consumed", "napi_gro_receive")
    assert found.end_text == "merged into an earlier packet of its flow by skb_gro_receive()"


def test_a_segment_that_gro_holds_is_not_waited_for() -> None:
    journeys = made(
        raw("copied", 1, value=COPY),
        raw("transmit", 2, buffer=COPY),
        raw("call", 3, function=10, buffer=COPY),
        raw("call", 4, function=9),
        raw("consumed", 5, is_task=True),
    )
    assert [one.end for one in journeys.ended(int(1000 * MS))] == ["delivered"]


def test_sent() -> None:
    found = only(made(raw("call", 1, function=1), raw("transmit", 2), raw("consumed", 3)))
    assert (found.end, found.end_text) == ("sent", "sent via va")


def test_delivered_and_not_read_yet() -> None:
    journeys = made(raw("receive", 1), raw("call", 2, function=9))
    (found,) = journeys.ended(int(5000 * MS))
    assert (found.end, found.end_text) == ("delivered", "in a socket's queue, not yet read")
    journeys.step(raw("call", 6000, function=8))
    journeys.step(raw("consumed", 6000.1))
    assert journeys.rest() == []  # it was told already


def test_a_packet_without_a_device_is_still_in_its_namespace() -> None:
    found = only(made(raw("receive", 1, netns=7), raw("consumed", 2, netns=0, ifindex=0, function=2)))
    assert [step.netns and step.netns.inode for step in found.steps] == [7, 7]


def test_an_interface_of_which_only_the_index_was_seen() -> None:
    found = only(
        made(
            raw("receive", 1, netns=7, ifindex=3, ifname="eth0"),
            raw("call", 2, netns=7, ifindex=3, ifname=""),
        )
    )
    assert [step.iface and step.iface.name for step in found.steps] == ["eth0", "eth0"]


def test_still_on_its_way() -> None:
    found = only(made(raw("call", 1, function=1)))
    assert found.end == "open"
    assert "last in ip_rcv" in found.end_text


def test_dropped_without_being_asked_for() -> None:
    journeys = made(raw("receive", 1))
    journeys.dropped(event(BUFFER, 2, journey=1), None)
    assert only(journeys).end == "dropped"


def test_a_death_of_nobody_who_is_followed() -> None:
    journeys = made(raw("receive", 1))
    journeys.dropped(event(BUFFER, 2), None)
    assert only(journeys).end == "open"


def test_the_next_packet_has_the_buffer_before_the_death_of_the_first_is_heard_of(
    make_finding: Callable[..., Finding],
) -> None:
    first, second = make_finding(cause_id="netfilter.nft-rule"), make_finding(cause_id="udp.rcvbuf-full")
    journeys = made(*(raw("receive", at, journey=at) for at in (1, 3, 5)))
    journeys.dropped(event(BUFFER, 2, journey=1), first)
    journeys.dropped(event(BUFFER, 4, journey=3), second)
    assert [(one.end, one.finding) for one in journeys.rest()] == [
        ("dropped", first),
        ("dropped", second),
        ("open", None),
    ]


def test_nothing_but_its_death_was_seen(make_finding: Callable[..., Finding]) -> None:
    journeys = made()
    journeys.dropped(event(BUFFER, 2), make_finding())
    found = only(journeys)
    assert (found.end, found.steps) == ("dropped", ())


def test_a_chain_that_frees_what_it_drops() -> None:
    """nft_do_chain since 6.9: it returns NF_STOLEN after the packet's death."""
    journeys = made(
        raw("receive", 1, netns=7, fields=(84,)),
        raw(
            "verdict",
            3,
            function=4,
            value=2,
            family=2,
            table="gate",
            chain="c",
            packet=b"",
            fields=(0,),
            netns=0,
            ifindex=0,
        ),
        len=lambda value: value,
    )
    journeys.dropped(event(BUFFER, 2, journey=1, location=4), None)
    found = only(journeys)
    receive, verdict = found.steps
    assert verdict.answer is not None
    assert (verdict.answer.chain, verdict.answer.verdict) == ("c", "drop")
    assert (verdict.packet, verdict.netns, verdict.iface) == (receive.packet, receive.netns, receive.iface)
    assert (receive.fields, verdict.fields) == ((("len", 84),), (("len", None),))
    assert found.end == "dropped"


def test_a_flood_is_told_as_far_as_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropwatch.aggregate.journeys._MOST_OPEN", 2)
    journeys = made(*(raw("receive", at, journey=at) for at in (1, 2, 3, 4)))
    assert [one.number for one in journeys.ended(int(5 * MS))] == [1, 2]
    assert [one.number for one in journeys.rest()] == [3, 4]


def test_a_copy_goes_on() -> None:
    journeys = made(
        raw("receive", 1),
        raw("copied", 2, value=COPY),
        raw("consumed", 3),
        raw("call", 4, function=1, buffer=COPY),
    )
    assert journeys.ended(int(1000 * MS)) == []  # the copy is on its way
    journeys.step(raw("consumed", 5, buffer=COPY))
    (found,) = journeys.ended(int(1000 * MS))
    assert [step.copy for step in found.steps] == [0, 0, 0, 1, 1]
    assert journeys.rest() == []


def test_over_when_nothing_comes_for_long() -> None:
    journeys = made(raw("receive", 1))
    assert journeys.ended(int(2000 * MS)) == []
    (found,) = journeys.ended(int(5000 * MS))
    assert found.end == "open"


def test_fields_that_were_asked_for() -> None:
    step = raw("receive", 1, fields=(84, 0xFF00, 0))
    found = only(made(step, len=lambda value: value, flags=lambda value: value >> 8))
    assert found.steps[0].fields == (("len", 84), ("flags", 255))
