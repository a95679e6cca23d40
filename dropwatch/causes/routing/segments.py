"""Segment routing over IPv6 (SRv6): not accepted, not what the action of a segment takes, and a VRF that is missing."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.layer import Layer
from dropwatch.packet.walk import walk_event

_ACCEPTING = ("ipv6_rthdr_rcv", "ipv6_srh_rcv")
# What goes on to the next segment, and what takes out what the packet carries.
_ON = tuple(f"input_action_end{name}" for name in ("", "_core", "_x", "_x_core", "_t"))
_FRAMES = "input_action_end_dx2"  # which also ends what its interface cannot send
_OUT = {
    **{f"input_action_end_{name}": (4,) for name in ("dx4", "dt4")},
    **{f"input_action_end_{name}": (41,) for name in ("dx6", "dt6")},
    _FRAMES: (143,),
    "input_action_end_dt46": (4, 41),
}
_VRF = ("end_dt_vrf_core",)
_SEGMENTS = 4  # the type of a segment routing header, RFC 8754
_HEADER = 8
_ACTIONS = Fix(
    "see the segments of this host and their actions", "ip -6 route show table all | grep seg6local"
)
_SEE = Fix("see the packets with their routing headers", "tcpdump -c 3 -vni DEV ip6 and host DADDR")

SEGMENTS = (
    Cause(
        id="routing.srv6-action",
        title="the packet is not what the SRv6 action of its segment takes",
        why="""
The destination is a segment of this host (`ip route ... encap seg6local`). End, End.X and End.T go on to the next
segment, so the packet must have a segment routing header with one left. End.D* take out what it carries, so none may
be left, and inside there must be what the action is for: IPv4 for End.DT4, IPv6 for End.DT6, an Ethernet frame for
End.DX2. Where the header has an HMAC, it must be right. The sender's list of segments is not the one that this
segment is made for, or a router before took the header off too early.
""",
        confirm="""
$ ip -6 route show table all | grep seg6local
$ tcpdump -c 3 -vni DEV ip6 and host DADDR
""",
        fix=(
            _ACTIONS,
            _SEE,
            Fix(
                "have the sender's list of segments end in an End.D* action, and go through End actions before"
            ),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(*_ON, *_OUT),
    ),
    Cause(
        id="routing.srv6-no-vrf",
        title="no VRF has the table of this SRv6 segment",
        why="""
The destination is a segment of this host with the action End.DT4, End.DT6 or End.DT46 and a vrftable. What the packet
carries is looked up in the VRF that has this table, and at the moment there is none: it was deleted, or created anew
with another table. The kernel looks for it with each packet.
""",
        confirm="""
$ ip -6 route show table all | grep seg6local
$ ip -d link show type vrf
$ sysctl net.vrf.strict_mode
""",
        fix=(
            _ACTIONS,
            Fix("see which VRF has which table", "ip vrf show"),
            Fix("create a VRF with the vrftable of the segment"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=_VRF,
    ),
)


def not_accepted(drop: Drop, host: Host) -> Verdict | None:
    """A segment routing header for an address of this host itself: all and the interface must say 1 (ipv6_srh_rcv)."""
    if not _died_at(drop, _ACCEPTING) or drop.iface is None or drop.iface.name is None:
        return None
    header = _header(drop)
    if header is None:
        return None
    found = host.seg6_enabled(drop.event.netns, drop.iface.name, drop.event.monotonic_ns)
    if found is None or (found.all and found.here):
        return None
    device = drop.iface.name.replace(".", "/")
    setting = f"net.ipv6.conf.{device if found.all else 'all'}.seg6_enabled"
    values = f"seg6_enabled: all = {found.all}, {drop.iface.name} = {found.here}, both must be 1"
    facts = Evidence("sysctl, after the drop", values, "proof"), _words(header)
    said = replace(kernel_word.certain(drop, *facts), culprit=Sysctl(f"{setting} = 0", setting, 0))
    return pinned.doubted(said, pinned.doubts(drop, host, pinned.Source("sysctls", None)))


def other_action(drop: Drop, host: Host) -> Verdict | None:
    """Certain where the packet shows it; else an HMAC is wrong. What has been taken out already has another cause."""
    del host
    if not _died_at(drop, (*_ON, *_OUT)) or drop.packet.family != 6:
        return None
    return _not_on(drop) if kernel_word.place(drop) in _ON else _not_out(drop)


def _not_on(drop: Drop) -> Verdict:
    header = _header(drop)
    if header is None:
        return kernel_word.certain(drop, Evidence("packet", "it has no segment routing header", "proof"))
    if header.number(3, 1):
        return kernel_word.likely(drop, _words(header))
    fact = f"{_words(header).text}, so there is no next one to go on to"
    return kernel_word.certain(drop, Evidence("packet", fact, "proof"))


def _not_out(drop: Drop) -> Verdict | None:
    """Without its header what was carried looks the same as what carries."""
    header, carried, place = _header(drop), _carried(drop), kernel_word.place(drop) or ""
    if header is not None and header.number(3, 1):
        at_end = f"{_words(header).text}, and the action takes only what is at its end"
        return kernel_word.certain(drop, Evidence("packet", at_end, "proof"))
    if carried is not None and carried not in _OUT[place]:
        fact = Evidence(
            "packet", f"it carries protocol {carried}, which the action does not take out", "proof"
        )
        return (kernel_word.certain if header is not None else kernel_word.likely)(drop, fact)
    return kernel_word.likely(drop, _words(header)) if header is not None and place != _FRAMES else None


def no_vrf(drop: Drop, host: Host) -> Verdict | None:
    del host
    if not _died_at(drop, _VRF):
        return None
    return kernel_word.certain(drop, Evidence("place", "this function ends what finds no VRF for its table"))


def _died_at(drop: Drop, places: tuple[str, ...]) -> bool:
    return kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in places


def _header(drop: Drop) -> Layer | None:
    """The segment routing header of the packet itself."""
    layers = [layer for layer in walk_event(drop.event).layers if layer.depth == 0]
    routing = next((layer for layer in layers if layer.kind == "routing"), None)
    if routing is None or routing.room < _HEADER or routing.number(2, 1) != _SEGMENTS:
        return None
    return routing


def _carried(drop: Drop) -> int | None:
    """The protocol behind the header of IPv6 and its extensions, None where they were not captured."""
    found = None
    for layer in walk_event(drop.event).layers:
        if layer.depth or layer.problem is not None:
            break
        if layer.kind == "ipv6":
            found = layer.number(6, 1)
        elif layer.kind in ("hop-by-hop", "routing", "destination", "fragment"):
            found = layer.number(0, 1)
        else:
            break
    return found


def _words(header: Layer) -> Evidence:
    left = header.number(3, 1)
    return Evidence("packet", f"it has a segment routing header with {left or 'no'} segments left")
