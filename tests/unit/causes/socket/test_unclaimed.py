"""A packet that no socket took, beside the sockets that have its port: how surely, whom it blames, what it says."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import Device, PortSocket, PortSockets
from dropwatch.host.steering import LookupProgram
from dropwatch.model.culprits import BpfProgram, Socket
from dropwatch.model.drop import Drop, Frame, Process, Verdict, Where
from tests.unit.told_host import ToldHost

DROPPED = 5_000
BEFORE, AFTER = DROPPED - 1, DROPPED + 1
OWNER = Process(812, "named")
ON_LOOPBACK = PortSocket(ip_address("127.0.0.1"), None, 0, 0, False, 4711, 7, BEFORE)
FOR_ALL = replace(ON_LOOPBACK, address=ip_address("0.0.0.0"), cookie=8, inode=4712)
ELSEWHERE = replace(FOR_ALL, bound_ifindex=4, cookie=9, inode=4713)
DEVICES = {2: Device("vb"), 4: Device("dummy")}

Unclaimed = Callable[..., Drop]


@pytest.fixture
def unclaimed(
    make_drop: Callable[..., Drop], make_packet: Callable[..., object], make_event: Callable[..., object]
) -> Unclaimed:
    def build(function: str = "__udp4_lib_rcv", reason: str | None = "NO_SOCKET", **packet: object) -> Drop:
        notes = packet.pop("notes", frozenset())
        drop = make_drop(make_packet(**packet), make_event(monotonic_ns=DROPPED, notes=notes))
        frame = Frame(function, 1, None, 0)
        return replace(drop, where=Where(frame, "udp", "in"), stack=(frame,), reason=reason)

    return build


def judged(
    drop: Drop,
    *sockets: PortSocket,
    count: int | None = None,
    programs: tuple[LookupProgram, ...] = (),
) -> tuple[str, Verdict]:
    told = PortSockets(sockets, len(sockets) if count is None else count, DEVICES, programs=programs)
    cause, verdict = diagnose(drop, ToldHost(sockets_at=told, socket_holder=OWNER))
    return cause.id if cause is not None else "unknown", verdict


def texts(verdict: Verdict) -> list[str]:
    return [fact.text for fact in verdict.evidence if fact.source == "netlink sock_diag"]


SYN = {"function": "tcp_v4_rcv", "proto": "tcp", "tcp_flags": "S"}
PROTOCOLS = pytest.mark.parametrize(
    ("packet", "alone"), [({}, "socket.udp-no-listener"), (SYN, "socket.tcp-no-listener")], ids=["udp", "tcp"]
)


@PROTOCOLS
def test_nobody_has_the_port(unclaimed: Unclaimed, packet: dict[str, str], alone: str) -> None:
    cause, verdict = judged(unclaimed(**packet))
    assert (cause, verdict.confidence, verdict.culprit, texts(verdict)) == (alone, "certain", None, [])


@PROTOCOLS
def test_what_was_not_read_leaves_a_doubt(unclaimed: Unclaimed, packet: dict[str, str], alone: str) -> None:
    cause, verdict = diagnose(unclaimed(**packet), ToldHost())
    assert cause is not None
    assert (cause.id, verdict.confidence) == (alone, "likely")
    assert "were not read" in texts(verdict)[0]


@PROTOCOLS
@pytest.mark.parametrize(("since", "confidence"), [(BEFORE, "certain"), (AFTER, "likely")])
def test_a_socket_elsewhere(
    unclaimed: Unclaimed, packet: dict[str, str], alone: str, since: int, confidence: str
) -> None:
    cause, verdict = judged(unclaimed(**packet), replace(ELSEWHERE, since_ns=since))
    assert (cause, verdict.confidence, verdict.owner) == ("socket.bound-elsewhere", confidence, OWNER)
    proto = packet.get("proto", "udp")
    when = "before and after the drop" if since == BEFORE else "after the drop"
    assert texts(verdict) == [
        f"{when}: {proto} 0.0.0.0:5000 of named (pid 812) is bound to interface dummy, and the packet came "
        "in through vb"
    ]
    blamed = verdict.culprit
    assert isinstance(blamed, Socket)
    assert blamed.text == f'{proto} 0.0.0.0:5000 *:* users:(("named",pid=812))'
    assert (blamed.proto, blamed.bound_ifindex, blamed.inode, blamed.queued) == (proto, 4, 4713, None)
    assert "named (pid 812)" in verdict.fix[1].text


@PROTOCOLS
@pytest.mark.parametrize("since", [BEFORE, AFTER])
def test_one_that_fits_by_now(unclaimed: Unclaimed, packet: dict[str, str], alone: str, since: int) -> None:
    cause, verdict = judged(unclaimed(**packet), ON_LOOPBACK, replace(FOR_ALL, since_ns=since))
    assert (cause, verdict.confidence) == (alone if since == AFTER else "socket.steered-away", "likely")
    (fact,) = texts(verdict)
    assert f"drop: {packet.get('proto', 'udp')} 0.0.0.0:5000 of named (pid 812) matches the packet" in fact


def test_membership_may_keep_a_datagram_to_many_away(unclaimed: Unclaimed) -> None:
    cause, verdict = judged(unclaimed(daddr="224.9.9.9"), FOR_ALL)
    assert (cause, verdict.confidence) == ("socket.udp-no-listener", "likely")
    assert "membership" in texts(verdict)[0]


@pytest.mark.parametrize(
    ("since", "words"), [(BEFORE, "before and after the drop"), (AFTER, "it was opened")]
)
@pytest.mark.parametrize("place", ["__udp4_lib_mcast_deliver", "__udp4_lib_rcv"])
def test_a_broadcast_has_no_members_and_asks_no_program(
    unclaimed: Unclaimed, place: str, since: int, words: str
) -> None:
    drop = unclaimed(place, None, daddr="10.9.0.255", notes=frozenset({"to-many"}))
    there, program = replace(FOR_ALL, since_ns=since), LookupProgram(77, "tubular")
    cause, verdict = judged(drop, there, programs=(program,))
    assert (cause, verdict.confidence) == ("socket.udp-no-listener", "likely")
    assert words in verdict.evidence[0].text
    assert not any("membership" in fact.text or "BPF" in fact.text for fact in verdict.evidence)
    cause, verdict = judged(drop, ELSEWHERE, programs=(program,))
    certain = place == "__udp4_lib_mcast_deliver"
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "certain" if certain else "likely")


def test_udplite_asks_no_program(unclaimed: Unclaimed) -> None:
    program = LookupProgram(77, "tubular")
    cause, verdict = judged(unclaimed(proto="udplite"), programs=(program,))
    assert (cause, verdict.confidence) == ("socket.udp-no-listener", "certain")
    cause, verdict = judged(unclaimed(proto="udplite"), FOR_ALL, programs=(program,))
    assert (cause, type(verdict.culprit)) == ("socket.steered-away", Socket)


def test_two_sockets_of_a_group_are_both_told(unclaimed: Unclaimed) -> None:
    two = [replace(ON_LOOPBACK, cookie=cookie, inode=cookie) for cookie in (20, 21)]
    cause, verdict = judged(unclaimed(), *two)
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "certain")
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.inode == 20
    assert len(texts(verdict)) == 2


@pytest.mark.parametrize(
    ("one", "daddr"),
    [
        (replace(ELSEWHERE, address=ip_address("fe80::2")), "fe80::2"),
        (replace(FOR_ALL, address=ip_address("fe80::3"), bound_ifindex=2), "fe80::2"),
    ],
)
def test_a_link_local_address_is_bound_with_its_interface(
    unclaimed: Unclaimed, one: PortSocket, daddr: str
) -> None:
    drop = unclaimed("__udp6_lib_rcv", family=6, saddr="fe80::1", daddr=daddr)
    cause, verdict = judged(drop, one)
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "certain")
    assert f"bind to fe80::2%{drop.iface.name if drop.iface else None} as well" in verdict.fix[1].text


def test_the_nearest_is_blamed_and_a_few_are_told(unclaimed: Unclaimed) -> None:
    connected = [
        replace(FOR_ALL, peer=ip_address("10.9.0.8"), peer_port=9, cookie=100 + each) for each in range(5)
    ]
    cause, verdict = judged(unclaimed(), *connected, ON_LOOPBACK, ELSEWHERE)
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "certain")
    assert isinstance(verdict.culprit, Socket)
    assert verdict.culprit.inode == 4713
    facts = texts(verdict)
    assert [fact.rpartition(" is ")[0].rpartition("udp ")[2][:9] for fact in facts[:3]] == [
        "0.0.0.0:5",
        "127.0.0.1",
        "0.0.0.0:5",
    ]
    assert facts[3:] == ["and 4 more sockets with this port"]


def test_of_more_sockets_than_were_read_one_may_fit(unclaimed: Unclaimed) -> None:
    cause, verdict = judged(unclaimed(), ELSEWHERE, count=1_065)
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "likely")
    assert texts(verdict)[1] == "and 1,064 more sockets with this port"


def test_what_this_host_sends_to_itself_may_be_bound_to_the_interface(
    unclaimed: Unclaimed, make_event: Callable[..., object]
) -> None:
    drop = unclaimed()
    drop = replace(drop, event=replace(drop.event, skb_iif=1, ifindex=1))
    cause, verdict = judged(drop, ELSEWHERE)
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "likely")


@pytest.mark.parametrize("flags", ["S", "A"])
def test_what_time_wait_has_reset_is_not_nobodys(unclaimed: Unclaimed, flags: str) -> None:
    drop = unclaimed("tcp_v4_rcv", proto="tcp", tcp_flags=flags, notes=frozenset({"time-wait"}))
    assert judged(drop)[0] not in {"socket.tcp-no-listener", "tcp.no-connection"}


def test_a_segment_that_is_no_syn_asks_for_no_listener(unclaimed: Unclaimed) -> None:
    cause, _ = judged(unclaimed("tcp_v4_rcv", proto="tcp", tcp_flags="A"), ELSEWHERE)
    assert cause == "tcp.no-connection"


def test_a_vrf_is_told_with_what_opens_it(unclaimed: Unclaimed) -> None:
    drop = unclaimed()
    told = PortSockets((FOR_ALL,), 1, {2: Device("red", 2)}, l3mdev_accept=False)
    cause, verdict = diagnose(drop, ToldHost(sockets_at=told))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("socket.bound-elsewhere", "certain")
    assert "VRF red: net.ipv4.udp_l3mdev_accept is 0" in texts(verdict)[0]
    assert any("sysctl -w net.ipv4.udp_l3mdev_accept=1" in (fix.command or "") for fix in verdict.fix)
    assert "weakens security" in verdict.fix[-1].text


@PROTOCOLS
@pytest.mark.parametrize(
    ("sockets", "expected"),
    [
        ((), None),
        ((ELSEWHERE,), "socket.bound-elsewhere"),
        ((replace(FOR_ALL, since_ns=AFTER),), None),
        ((FOR_ALL,), "socket.steered-away"),
    ],
)
def test_a_program_that_is_asked_first_may_have_said_drop(
    unclaimed: Unclaimed,
    packet: dict[str, str],
    alone: str,
    sockets: tuple[PortSocket, ...],
    expected: str | None,
) -> None:
    cause, verdict = judged(unclaimed(**packet), *sockets, programs=(LookupProgram(77, "tubular"),))
    assert (cause, verdict.confidence) == (expected or alone, "likely")
    assert verdict.evidence[0].source == "bpf sk_lookup of the namespace"
    assert "id 77 name tubular is attached" in verdict.evidence[0].text
    if cause == "socket.steered-away":
        where = "the namespace's sk_lookup"
        wanted = BpfProgram(f"id 77 name tubular at {where}", 77, "tubular", attached_to=where)
        assert verdict.culprit == wanted
        assert "matches the packet" in texts(verdict)[0]


def test_of_two_programs_none_is_blamed(unclaimed: Unclaimed) -> None:
    two = (LookupProgram(77, "tubular"), LookupProgram(78, None))
    cause, verdict = judged(unclaimed(), FOR_ALL, programs=two)
    assert (cause, type(verdict.culprit)) == ("socket.steered-away", Socket)
    assert "id 77 name tubular and id 78 is attached" in verdict.evidence[0].text


UNHANDLED: dict[str, Any] = {
    "function": "ip_protocol_deliver_rcu",
    "reason": "IP_NOPROTO",
    "proto": "ospf",
    "sport": None,
    "dport": None,
}


@pytest.mark.parametrize(
    ("one", "daddr", "expected", "confidence", "words"),
    [
        (
            ELSEWHERE,
            "10.9.0.2",
            "bound-elsewhere",
            "certain",
            "raw 0.0.0.0:89 of named (pid 812) is bound to",
        ),
        (ON_LOOPBACK, "10.9.0.2", "bound-elsewhere", "certain", "raw 127.0.0.1:89 of named"),
        (
            replace(FOR_ALL, peer=ip_address("10.9.0.7"), peer_port=9),
            "10.9.0.2",
            "bound-elsewhere",
            "certain",
            "is connected to 10.9.0.7, and the packet is from 10.9.0.1",
        ),
        (FOR_ALL, "10.9.0.2", "protocol-unhandled", "likely", "raw 0.0.0.0:89 has the protocol"),
        (
            replace(FOR_ALL, peer=ip_address("10.9.0.1"), peer_port=9),
            "10.9.0.2",
            "protocol-unhandled",
            "likely",
            "has the protocol",
        ),
        (ELSEWHERE, "224.0.0.5", "bound-elsewhere", "certain", "is bound to interface dummy"),
        (FOR_ALL, "224.0.0.5", "protocol-unhandled", "likely", "its multicast membership refuses this"),
        (replace(FOR_ALL, address=ip_address("::")), "10.9.0.2", "protocol-unhandled", "certain", None),
    ],
)
def test_a_raw_socket_that_has_the_protocol(
    unclaimed: Unclaimed, one: PortSocket, daddr: str, expected: str, confidence: str, words: str | None
) -> None:
    cause, verdict = judged(unclaimed(**UNHANDLED, daddr=daddr), one)
    assert (cause, verdict.confidence) == (f"socket.{expected}", confidence)
    assert (words in texts(verdict)[0]) if words else not texts(verdict)
    if expected == "bound-elsewhere":
        assert isinstance(verdict.culprit, Socket)
        assert (verdict.culprit.proto, verdict.culprit.port) == ("raw", 89)
        assert verdict.fix[0].command is not None
        assert "ss -anwp 'sport = :89'" in verdict.fix[0].command
    assert judged(unclaimed(**UNHANDLED, daddr=daddr))[0] == "socket.protocol-unhandled"


def test_a_kernel_without_reasons_says_it_by_the_place(unclaimed: Unclaimed) -> None:
    without = UNHANDLED | {"reason": None}
    cause, verdict = judged(unclaimed(**without))
    assert (cause, verdict.confidence) == ("socket.protocol-unhandled", "likely")
    assert texts(judged(unclaimed(**without), ON_LOOPBACK)[1])[0].startswith(
        "before and after the drop: raw 127"
    )
    assert judged(unclaimed(**without | {"proto": "icmp"}))[0] == "unknown"
    assert judged(unclaimed(**without | {"reason": "NOT_SPECIFIED"}))[0] == "unknown"


def test_a_raw_socket_of_ipv6_may_have_joined_a_group_beside_its_address(unclaimed: Unclaimed) -> None:
    ends = {"family": 6, "saddr": "fe80::1", "daddr": "ff02::5", "function": "ip6_protocol_deliver_rcu"}
    drop = unclaimed(**UNHANDLED | ends)
    one = replace(FOR_ALL, address=ip_address("fe80::2"))
    cause, verdict = judged(drop, one)
    assert (cause, verdict.confidence) == ("socket.protocol-unhandled", "likely")
    cause, verdict = judged(drop, replace(one, address=ip_address("::"), bound_ifindex=4))
    assert (cause, verdict.confidence) == ("socket.bound-elsewhere", "certain")


@PROTOCOLS
def test_a_socket_that_is_gone_by_the_reading_leaves_a_doubt(
    unclaimed: Unclaimed, packet: dict[str, str], alone: str
) -> None:
    cause, verdict = diagnose(unclaimed(**packet), ToldHost(sockets_at=PortSockets(gone=1)))
    assert cause is not None
    assert (cause.id, verdict.confidence) == (alone, "likely")
    assert "seen at an earlier drop" in texts(verdict)[0]
