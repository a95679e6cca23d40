"""L2TP: no session for the packet, and a wrong cookie."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.cause import Cause
from dropwatch.causes.tunnel.overlay import BRING_UP
from dropwatch.host.host import Host
from dropwatch.host.tunnel.l2tp import L2tpSession
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Device
from dropwatch.packet.payload import transport, udp_payload

_IP = ("l2tp_ip_recv", "l2tp_ip6_recv")
_SESSION = "l2tp_recv_common"
_TO_INTERFACE = "l2tp_eth_dev_recv"
_SOURCE = "L2TP sessions, after the drop"
_VERSION_3 = 3
_SESSIONS = Fix("see the sessions here, and compare them with the other end's", "ip l2tp show session")
_SHOWN = 3

L2TP = (
    Cause(
        id="tunnel.l2tp-unknown-session",
        title="no L2TP session here has the number in this packet",
        why="""
Each packet of L2TPv3 over IP begins with the number of its session on this side. No session of this namespace has
it: session_id and peer_session_id of the two ends do not belong together, the session was deleted here only, the host
was restarted, or it is in another namespace. A number of 0 is a control message, for an L2TP daemon that has no
socket for its tunnel.
""",
        confirm="""
$ ip l2tp show session
$ ip l2tp show tunnel
The number is the first four bytes behind the IP header:
$ tcpdump -c 3 -xni DEV ip proto 115 and host SADDR
""",
        fix=(
            _SESSIONS,
            Fix("have both ends use each other's numbers: session_id here is peer_session_id there"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=_IP,
    ),
    Cause(
        id="tunnel.l2tp-cookie",
        title="the L2TP packet does not have the cookie of its session",
        why="""
The session requires a cookie in each packet, 4 or 8 bytes that nobody can guess, and this packet has another one or
none. The cookie of one end must be the peer_cookie of the other. Where both agree, somebody else sends
packets with this session's number.
""",
        confirm="""
$ ip l2tp show session
"rx errors" rises:
$ ip -s link show type l2tp
""",
        fix=(
            _SESSIONS,
            Fix("have both ends use each other's cookies: peer_cookie here is cookie there"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(*_IP, _SESSION),
    ),
)


def unknown_session(drop: Drop, host: Host) -> Verdict | None:
    """Sessions may have come and gone since: no probe sees that."""
    number = _of_ip(drop)
    if number is None or not _died_at(drop, *_IP):
        return None
    sessions = _sessions(drop, host)
    if any(one.session == number for one in sessions):
        return None
    if not number:
        fact = "it is a control message, and no program has a socket for its tunnel"
    else:
        there = ", ".join(_words(one) for one in sessions[:_SHOWN]) or "none"
        more = f" and {len(sessions) - _SHOWN:,} more" if len(sessions) > _SHOWN else ""
        fact = f"the packet is for session {number}; there are here: {there}{more}"
    return kernel_word.likely(drop, Evidence(_SOURCE, fact, "proof"))


def wrong_cookie(drop: Drop, host: Host) -> Verdict | None:
    """The last call of l2tp_ip_recv is a jump, so that what dies in l2tp_recv_common seems to have died there."""
    if not _died_at(drop, *_IP, _SESSION):
        return None
    one = _session(drop, host)
    if one is None or not one.cookie:
        return None
    fact = f"{_words(one)} requires a cookie of {one.cookie} bytes"
    said = kernel_word.likely(drop, Evidence(_SOURCE, fact, "proof"))
    return replace(said, culprit=_culprit(one, f"peer_cookie of {one.cookie} bytes"))


def down(drop: Drop, host: Host) -> Verdict | None:
    """An interface of L2TP is down until it is set up, and takes no packet then (is_skb_forwardable)."""
    if not kernel_word.gave_no_reason(drop) or _TO_INTERFACE not in kernel_word.way(drop):
        return None
    one = _session(drop, host)
    link = host.link(drop.event.netns, one.interface, drop.event.monotonic_ns) if one is not None else None
    if one is None or link is None or link.up:
        return None
    fact = f"after the drop: {one.interface}, the interface of L2TP session {one.session}, is down"
    said = kernel_word.certain(drop, Evidence("netlink route", fact, "proof"))
    fix = of_catalogue(BRING_UP, drop, {"DEV": one.interface})
    said = replace(said, culprit=_culprit(one, "down"), fix=fix)
    return pinned.doubted(said, pinned.doubts(drop, host, pinned.Source("links", None)))


def _died_at(drop: Drop, *places: str) -> bool:
    return kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in places


def _sessions(drop: Drop, host: Host) -> tuple[L2tpSession, ...]:
    return host.l2tp_sessions(drop.event.netns, drop.event.monotonic_ns) or ()


def _session(drop: Drop, host: Host) -> L2tpSession | None:
    number = _of_ip(drop)
    number = _of_udp(drop) if number is None else number
    return next((one for one in _sessions(drop, host) if one.session == number), None)


def _of_ip(drop: Drop) -> int | None:
    header = transport(drop, "l2tp-ip")
    return header.number(0, 4) if header is not None and header.room >= 4 else None


def _of_udp(drop: Drop) -> int | None:
    """RFC 3931, 4.1.2.1: flags and version, 2 bytes that are reserved, the session."""
    data = udp_payload(drop)
    if data is None or len(data) < 8 or data[1] & 0xF != _VERSION_3:
        return None
    return int.from_bytes(data[4:8], "big")


def _words(one: L2tpSession) -> str:
    return f"session {one.session} in tunnel {one.tunnel}" + (f" ({one.interface})" if one.interface else "")


def _culprit(one: L2tpSession, setting: str) -> Device:
    return Device(f"{one.interface} l2tp session {one.session}", one.interface, "l2tp", setting)
