"""Neighbour discovery: whether a message that was freed had done its work, was invalid, or was not accepted."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ipv6 import Ipv6Interface
from dropwatch.host.route import Route
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop, Event, Frame, Interface, Where
from dropwatch.packet.checksum import folded
from dropwatch.packet.parse import parse
from tests.unit.told_host import ToldHost

OWN, OTHER, PEER = (IPv6Address(f"fd00::{n}") for n in (2, 3, 1))
LINK = IPv6Address("fe80::1")
NOBODY = IPv6Address("::")
ALL, GROUP = IPv6Address("ff02::1"), IPv6Address("ff02::1:ff00:2")
RS, RA, NS, NA, REDIRECT = range(133, 138)
HARDWARE = bytes.fromhex("01017a3b1c5d6e00")


def host(**settings: Any) -> ToldHost:
    values: dict[str, Any] = {
        "forwarding": 0,
        "accept_ra": 1,
        "accept_redirects": 1,
        "drop_unsolicited_na": 0,
        "addresses": frozenset({OWN}),
        "tentative": frozenset(),
    }
    return ToldHost(ipv6=Ipv6Interface(**values | settings), route_back=Route("eth0", str(LINK)))


def message(
    kind: int,
    source: IPv6Address = LINK,
    to: IPv6Address = OWN,
    target: IPv6Address | None = None,
    flags: int = 0,
    options: bytes = b"",
    ttl: int = 255,
    code: int = 0,
) -> bytes:
    """An IPv6 packet with a right checksum."""
    body = bytes((flags, 0, 0, 0))
    if kind == RA:
        body += bytes(8)
    if target is not None:
        body += target.packed
    if kind == REDIRECT:
        body += PEER.packed
    body += options
    length = 4 + len(body)
    ends = source.packed + to.packed
    covered = ends + length.to_bytes(4, "big") + bytes((0, 0, 0, 58, kind, code, 0, 0)) + body
    checksum = 0xFFFF - folded(covered)
    header = b"\x60\0\0\0" + length.to_bytes(2, "big") + bytes((58, ttl)) + ends
    return header + bytes((kind, code)) + checksum.to_bytes(2, "big") + body


SOUND = {
    RS: message(RS, options=HARDWARE),
    RA: message(RA, to=ALL, options=HARDWARE),
    NS: message(NS, to=GROUP, target=OWN, options=HARDWARE),
    NA: message(NA, target=PEER, flags=0x60, options=HARDWARE),
    REDIRECT: message(REDIRECT, target=LINK),
}


@pytest.fixture
def freed(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    def build(data: bytes, reason: str | None = None, notes: frozenset[str] = frozenset()) -> Drop:
        place = Frame("icmpv6_rcv", 0x10, None, 0xFFFFFFFF81000000)
        return make_drop(
            event=make_event(packet=data, protocol=0x86DD, notes=notes),
            packet=parse(data, 0x86DD, len(data), 0),
            reason=reason,
            where=Where(place, None, None),
            stack=(place,),
            iface=Interface(2, "eth0"),
        )

    return build


def judged(drop: Drop, asked: ToldHost) -> tuple[str, str]:
    cause, verdict = diagnose(drop, asked)
    return (cause.id if cause is not None else "unknown"), verdict.confidence


HARMLESS = "benign.neighbour-probe", "certain"
INVALID = "ipv6.ndp-invalid", "certain"
BOTH = pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])


@BOTH
@pytest.mark.parametrize("kind", [RS, RA, NA, REDIRECT])
def test_a_sound_message_that_no_setting_refuses_is_no_loss(
    freed: Callable[..., Drop], kind: int, reason: str | None
) -> None:
    assert judged(freed(SOUND[kind], reason), host()) == HARMLESS


@BOTH
def test_a_question_for_an_own_address_is_no_loss_if_it_was_answered(
    freed: Callable[..., Drop], reason: str | None
) -> None:
    answered = frozenset({"answered"})
    assert judged(freed(SOUND[NS], reason, answered), host()) == HARMLESS
    assert judged(freed(SOUND[NS], reason), host()) == ("unknown", "unknown")
    tentative = host(tentative=frozenset({OWN}))
    assert judged(freed(SOUND[NS], reason), tentative) == ("ipv6.message-refused", "likely")


@BOTH
def test_questions_that_are_not_for_us_are_no_loss(freed: Callable[..., Drop], reason: str | None) -> None:
    assert judged(freed(message(NS, to=GROUP, target=OTHER), reason), host()) == HARMLESS
    is_free = message(NS, source=NOBODY, to=GROUP, target=OWN)
    assert judged(freed(is_free, reason), host()) == HARMLESS


BROKEN = {
    "hop limit": (message(NS, target=OWN, ttl=64), "hop limit 64"),
    "code": (message(NS, target=OWN, code=7), "code 7"),
    "option of length 0": (message(NS, to=GROUP, target=OWN, options=b"\x01\0" + bytes(6)), "of length 0"),
    "option too long": (message(NA, target=PEER, options=b"\x02\x02" + bytes(6)), "longer than the message"),
    "half an option": (message(RA, to=ALL, options=b"\x01"), "longer than the message"),
    "short": (message(NS), "8 bytes long"),
    "target": (message(NS, target=ALL), "a multicast address"),
    "DAD to one": (message(NS, source=NOBODY, target=OWN), "instead of the group"),
    "DAD with hardware address": (
        message(NS, source=NOBODY, to=GROUP, target=OWN, options=HARDWARE),
        "its source is ::",
    ),
    "asked for, to all": (message(NA, to=ALL, target=PEER, flags=0x40), "sent to a multicast group"),
    "router from afar": (message(RA, source=PEER, to=ALL), "only a link-local address"),
    "redirect from afar": (message(REDIRECT, source=PEER, target=LINK), "only a link-local address"),
}


@BOTH
@pytest.mark.parametrize("name", BROKEN)
def test_a_message_that_breaks_a_rule_is_invalid_whatever_else_is_so(
    freed: Callable[..., Drop], name: str, reason: str | None
) -> None:
    data, words = BROKEN[name]
    drop = freed(data, reason)
    assert judged(drop, host()) == INVALID
    assert words in diagnose(drop, host())[1].evidence[0].text


REFUSED = [
    (RA, {"accept_ra": 0}, "accept_ra = 0", "accept_ra=1"),
    (RA, {"accept_ra": 0, "forwarding": 1}, "accept_ra = 0", "accept_ra=2"),
    (RA, {"accept_ra_defrtr": 0}, "accept_ra_defrtr = 0", "accept_ra_defrtr=1"),
    (RA, {"accept_ra_pinfo": 0}, "accept_ra_pinfo = 0", "accept_ra_pinfo=1"),
    (REDIRECT, {"accept_redirects": 0}, "accept_redirects = 0", "accept_redirects=1"),
    (REDIRECT, {"forwarding": 1}, "forwarding = 1", "forwarding=0"),
]


@BOTH
@pytest.mark.parametrize(("kind", "settings", "text", "fix"), REFUSED)
def test_what_a_setting_refuses_is_told_with_it(
    freed: Callable[..., Drop], kind: int, settings: dict[str, int], text: str, fix: str, reason: str | None
) -> None:
    drop = freed(SOUND[kind], reason)
    cause, verdict = diagnose(drop, host(**settings))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("ipv6.message-refused", "likely")
    assert verdict.culprit is not None
    assert verdict.culprit.text == f"net.ipv6.conf.eth0.{text}"
    assert fix in (verdict.fix[0].command or "")


def test_an_advertisement_that_nobody_asked_for(freed: Callable[..., Drop]) -> None:
    unasked = message(NA, to=ALL, target=PEER, flags=0x20)
    assert judged(freed(unasked), host()) == HARMLESS
    assert judged(freed(unasked), host(drop_unsolicited_na=1)) == ("ipv6.message-refused", "likely")
    assert judged(freed(SOUND[NA]), host(drop_unsolicited_na=1)) == HARMLESS


def test_an_answer_in_a_namespace_that_is_gone(freed: Callable[..., Drop]) -> None:
    """Nobody can be asked there: the message itself has to tell."""
    gone, unknown = ToldHost(), ("unknown", "unknown")
    assert judged(freed(SOUND[NA]), gone) == HARMLESS
    assert judged(freed(message(NA, to=ALL, target=PEER, flags=0x20)), gone) == unknown
    assert judged(freed(message(NA, target=PEER, flags=0x20)), gone) == unknown
    assert judged(freed(message(NA, target=OWN, flags=0x60)), gone) == unknown


def test_two_hosts_with_one_address(freed: Callable[..., Drop]) -> None:
    ours = message(NA, to=ALL, target=OWN, flags=0x20)
    assert judged(freed(ours), host()) == ("ipv6.message-refused", "certain")


def test_a_router_takes_no_advertisement(freed: Callable[..., Drop]) -> None:
    ignored = ("benign.router-advertisement-ignored", "certain")
    assert judged(freed(SOUND[RA]), host(forwarding=1)) == ignored
    assert judged(freed(SOUND[RA]), host(forwarding=1, accept_ra=2)) == HARMLESS


def test_what_cannot_be_read_is_not_hidden(freed: Callable[..., Drop]) -> None:
    unknown = ("unknown", "unknown")
    assert judged(freed(SOUND[RA]), ToldHost()) == unknown
    bad_sum = SOUND[RA][:42] + b"\0\0" + SOUND[RA][44:]
    assert judged(freed(bad_sum), host()) == ("malformed.icmp-checksum", "likely")
    long = message(RA, to=ALL, options=(b"\x05\x01" + bytes(6)) * 40)
    drop = freed(long[:256])
    assert judged(drop, host()) == unknown
    assert judged(freed(SOUND[RA], "ICMP_CSUM"), host())[0] == "malformed.icmp-checksum"
    assert ip_address("fd00::2") == OWN


@BOTH
def test_a_question_for_an_address_of_another_interface_waits_in_vain(
    freed: Callable[..., Drop], reason: str | None
) -> None:
    asked = message(NS, target=OTHER)
    both = frozenset({OWN, OTHER})
    assert judged(freed(asked, reason), host(addresses=both, own=both)) == ("unknown", "unknown")
    elsewhere = host(addresses=both, own=frozenset({OWN}))
    for word in (reason, "IPV6_NDISC_NS_OTHERHOST"):
        assert judged(freed(asked, word), elsewhere) == ("ipv6.message-refused", "likely")
    assert judged(freed(asked, "IPV6_NDISC_NS_OTHERHOST"), host()) == HARMLESS
    assert judged(freed(asked, reason, frozenset({"answered"})), elsewhere) == HARMLESS


def test_a_group_that_nobody_joins_for_an_address_without_a_link(freed: Callable[..., Drop]) -> None:
    place = Frame("ip6_mc_input", 0x10, None, 0xFFFFFFFF81000000)
    asked = freed(message(NS, to=IPv6Address("ff02::1:ff00:3"), target=OTHER), "NOT_SPECIFIED")
    drop = replace(asked, where=Where(place, None, None), stack=(place,))
    both = frozenset({OWN, OTHER})
    assert judged(drop, host(addresses=both, own=frozenset({OWN}))) == ("benign.multicast-noise", "certain")
    aside = host(addresses=both, own=frozenset({OWN}), aside=frozenset({OTHER}))
    assert judged(drop, aside) == ("ipv6.message-refused", "likely")


@BOTH
def test_an_advertisement_of_an_own_address(freed: Callable[..., Drop], reason: str | None) -> None:
    drop = freed(message(NA, to=ALL, target=OWN, flags=0x20), reason)
    assert judged(drop, host(own=frozenset({OWN}))) == ("ipv6.message-refused", "certain")
    assert judged(drop, host(own=frozenset())) == HARMLESS, "of another interface, which may have sent it"
    changed = ToldHost(ipv6=host(own=frozenset({OWN})).ipv6(1, "eth0", 0), last_change=1 << 62)
    assert judged(drop, changed) == ("ipv6.message-refused", "likely")


@BOTH
@pytest.mark.parametrize(
    ("way", "expected"),
    [(Route("eth0", str(LINK)), HARMLESS), (Route("eth0", "fe80::9"), ("ipv6.message-refused", "likely"))],
)
def test_a_redirect_is_harmless_where_it_is_followed(
    freed: Callable[..., Drop], way: Route, expected: tuple[str, str], reason: str | None
) -> None:
    asked = ToldHost(ipv6=host().ipv6(1, "eth0", 0), route_back=way)
    assert judged(freed(SOUND[REDIRECT], reason), asked) == expected


def test_what_a_proxy_has_answered_after_a_while_is_no_loss(freed: Callable[..., Drop]) -> None:
    place = Frame("neigh_proxy_process", 0x10, None, 0xFFFFFFFF81000000)
    asked = freed(message(NS, target=OTHER), "NOT_SPECIFIED", frozenset({"answered"}))
    assert judged(replace(asked, where=Where(place, None, None), stack=(place,)), host()) == HARMLESS


def test_a_question_whether_an_address_is_still_here_is_no_loss_where_it_is_gone(
    freed: Callable[..., Drop],
) -> None:
    place = Frame("ip6_forward", 0x10, None, 0xFFFFFFFF81000000)
    tried = [(OTHER, "IP_INADDRERRORS", HARMLESS), (OTHER, None, HARMLESS)]
    for to, reason, expected in (*tried, (PEER, "IP_INADDRERRORS", ("unknown", "unknown"))):
        asked = freed(message(NS, to=to, target=OTHER), reason)
        assert judged(replace(asked, where=Where(place, None, None), stack=(place,)), host()) == expected


def test_a_question_for_an_address_that_came_after_it_is_no_loss(freed: Callable[..., Drop]) -> None:
    """One that was here all the time, and is in another table, is not harmless."""
    place = Frame("ip6_forward", 0x10, None, 0xFFFFFFFF81000000)
    asked = replace(
        freed(message(NS, to=OWN, target=OWN), "IP_INADDRERRORS"),
        where=Where(place, None, None),
        stack=(place,),
    )
    here = host().ipv6(1, "eth0", 0)
    assert judged(asked, ToldHost(ipv6=here, last_change=1 << 62)) == HARMLESS
    assert judged(asked, ToldHost(ipv6=here, last_change=0))[0] == "unknown"


def last(what: Change, time: int) -> Callable[..., int]:
    """Of all else nothing has changed."""
    return lambda inode, kind, read_at_ns: time if kind == what else 0


def went(what: IPv6Address | int, time: int) -> Callable[..., int]:
    """An address, or the interface of this number; nothing else has gone."""
    return lambda inode, address, ifindex: time if what in (address, ifindex) else 0


@pytest.mark.parametrize(
    ("data", "settings", "what"),
    [
        (SOUND[RA], {}, "sysctls"),
        (SOUND[RA], {"forwarding": 1}, "sysctls"),
        (message(NA, to=ALL, target=PEER, flags=0x20), {}, "sysctls"),
        (SOUND[REDIRECT], {}, "routes"),
    ],
)
def test_what_was_read_proves_nothing_where_it_changed_since(
    freed: Callable[..., Drop], data: bytes, settings: dict[str, Any], what: Change
) -> None:
    here = host(**settings)
    drop = freed(data)
    then = drop.event.monotonic_ns
    for time, is_hidden in ((then - 1, True), (then + 1, False)):
        asked = ToldHost(
            ipv6=here.ipv6(1, "eth0", 0), route_back=Route("eth0", str(LINK)), last_change=last(what, time)
        )
        assert judged(drop, asked)[0].startswith("benign.") == is_hidden


@pytest.mark.parametrize(("gone", "proves"), [(OTHER, False), (GROUP, True), (2, True)])
@pytest.mark.parametrize("reason", ["NOT_SPECIFIED", "IPV6_NDISC_NS_OTHERHOST"])
def test_what_was_read_proves_nothing_where_the_address_went_since(
    freed: Callable[..., Drop], gone: IPv6Address | int, proves: bool, reason: str
) -> None:
    """An interface takes its addresses with it, one by one."""
    drop = replace(freed(message(NS, to=GROUP, target=OTHER)), reason=reason)
    for time, is_hidden in ((drop.event.monotonic_ns - 1, True), (drop.event.monotonic_ns + 1, proves)):
        asked = ToldHost(
            ipv6=host().ipv6(1, "eth0", 0),
            last_departure=went(gone, time),
            last_change=last("departures", time),
        )
        assert judged(drop, asked)[0].startswith("benign.") == is_hidden


def test_an_older_recording_says_only_that_something_went(freed: Callable[..., Drop]) -> None:
    drop = freed(message(NS, to=GROUP, target=OTHER))
    for time, is_hidden in ((drop.event.monotonic_ns - 1, True), (drop.event.monotonic_ns + 1, False)):
        told = ToldHost(ipv6=host().ipv6(1, "eth0", 0), last_change=last("departures", time))
        assert judged(drop, told)[0].startswith("benign.") == is_hidden


def test_a_reply_to_a_solicitation_is_refused_by_no_setting(freed: Callable[..., Drop]) -> None:
    asked = ToldHost(ipv6=host().ipv6(1, "eth0", 0), last_change=1 << 62)
    assert judged(freed(SOUND[NA]), asked) == HARMLESS


@pytest.mark.parametrize("place", ["ip6_mc_input", "ip6_pkt_discard"])
def test_a_question_to_a_group_proves_nothing_where_its_address_went_since(
    freed: Callable[..., Drop], place: str
) -> None:
    frame = Frame(place, 0x10, None, 0xFFFFFFFF81000000)
    asked = freed(message(NS, to=IPv6Address("ff02::1:ff00:3"), target=OTHER), "NOT_SPECIFIED")
    drop = replace(asked, where=Where(frame, None, None), stack=(frame,))
    for time, is_hidden in ((0, True), (drop.event.monotonic_ns + 1, False)):
        told = ToldHost(
            ipv6=host().ipv6(1, "eth0", 0),
            groups=frozenset(),
            last_departure=went(OTHER, time),
            last_change=last("departures", time),
        )
        assert judged(drop, told)[0].startswith("benign.") == is_hidden
