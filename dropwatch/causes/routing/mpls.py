"""MPLS: an interface that does not take it, labels without a route, and what cannot be sent on."""

from dataclasses import replace
from typing import NamedTuple

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.host.routers.mpls import Mpls
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.frame import frame_header

_PLACE = "mpls_forward"
_SEE = Fix("see the labels of the packets", "tcpdump -c 3 -evni DEV mpls")
_ROUTES = Fix("see which labels have a route", "ip -f mpls route")
_SYSCTL, _ROUTE = "sysctl, after the drop", "netlink route, after the drop"
_PLATFORM_LABELS = "net.mpls.platform_labels"

MPLS = (
    Cause(
        id="routing.mpls-input-off",
        title="the interface does not accept MPLS",
        why="""
An MPLS packet came in on an interface for which net.mpls.conf.DEV.input is 0, which is the default: whoever can send a
labelled packet could reach what the labels lead to, past the rules for IP. Each interface on which labels
are expected must be enabled by itself, also after it was created anew. Nobody is told of the drop.
""",
        confirm="""
$ sysctl net.mpls.conf.DEV.input net.mpls.platform_labels
"dropped" of MPLS under RX rises:
$ ip -s -f mpls stats show dev DEV
""",
        fix=(
            Fix(
                "accept MPLS on this interface",
                "sysctl -w net.mpls.conf.DEV.input=1",
                weakens="whoever sends on this link chooses labels, and passes by rules for IP",
            ),
            _SEE,
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(_PLACE,),
    ),
    Cause(
        id="routing.mpls-no-route",
        title="no route for this MPLS label",
        why="""
The top label of the packet has no route here, or none whose interface is up. The other end sends a label that this
router has not announced or has withdrawn (LDP, BGP or IS-IS session down, a static label that is wrong at one end),
or net.mpls.platform_labels, which is 0 by default, is not larger than the label: then no route for it can be added.
Nobody is told of the drop.
""",
        confirm="""
$ ip -f mpls route
$ sysctl net.mpls.platform_labels
"noroute" of MPLS under RX rises:
$ ip -s -f mpls stats show dev DEV
""",
        fix=(
            _SEE,
            _ROUTES,
            Fix("allow labels up to the largest one", f"sysctl -w {_PLATFORM_LABELS}=1048575"),
            Fix("have the routing daemon announce the label, or add a route for it"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(_PLACE,),
    ),
    Cause(
        id="routing.mpls-not-sent",
        title="the TTL of the MPLS label is used up, or the packet is too big for the next link",
        why="""
There is a route for the label, and it has been taken off. Then the packet is dropped when the label's TTL was 1 (a
loop of labels, or a traceroute that the first router copied into the label), or when with its new labels it is
longer than the MTU of the interface by which it should leave. Linux sends no ICMP for either of them: large packets
vanish, and TCP does not learn of it.
""",
        confirm="""
The TTL of the label, and the length:
$ tcpdump -c 3 -evni DEV mpls
$ ip -f mpls route
"errors" of MPLS rises, under RX for the TTL, under TX of the other interface for the length:
$ ip -s -f mpls stats show
""",
        fix=(
            _SEE,
            Fix("set a larger MTU on the links between routers: 4 bytes more for each label"),
            Fix("look for a loop: see to which router the label leads", "ip -f mpls route"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(_PLACE,),
    ),
)


class _Label(NamedTuple):
    number: int
    is_popped: bool  # what is read is what stood behind it


def input_off(drop: Drop, host: Host) -> Verdict | None:
    """It is looked at before anything else (mpls_forward)."""
    known = _known(drop, host)
    if known is None or known.input != 0:
        return None
    name = f"net.mpls.conf.{known.name.replace('.', '/')}.input"
    said = kernel_word.certain(drop, Evidence(_SYSCTL, f"{name} = 0", "proof"))
    return _blamed(said, drop, host, Sysctl(f"{name} = 0", name, 0))


def no_route(drop: Drop, host: Host) -> Verdict | None:
    """Certain only where no label at all can have a route. Else what looks like the top label may be the one behind it,
    and no probe sees how routes of MPLS change.
    """
    label, known = _label(drop), _known(drop, host)
    if label is None or known is None or label.is_popped or known.routed or _is_for_another(drop, host):
        return None
    labels = known.labels
    if label.number < labels:
        fact = f"asked again, the kernel finds no route for label {label.number}"
        return kernel_word.likely(drop, Evidence(_ROUTE, fact, "proof"))
    fact = f"the packet has label {label.number}, and {_PLATFORM_LABELS} is {labels}"
    said = (kernel_word.likely if labels else kernel_word.certain)(drop, Evidence(_SYSCTL, fact, "proof"))
    return _blamed(said, drop, host, Sysctl(f"{_PLATFORM_LABELS} = {labels}", _PLATFORM_LABELS, labels))


def not_sent(drop: Drop, host: Host) -> Verdict | None:
    """What is behind the last label stands at the front."""
    del host
    label = _label(drop)
    if label is None or not label.is_popped:
        return None
    fact = f"its last label has been taken off, so it has a route; the packet is {drop.event.length:,} bytes long"
    return kernel_word.likely(drop, Evidence("packet", fact))


def _label(drop: Drop) -> _Label | None:
    """The first 20 bits. What ends where an IP header says that it does is IP, and has no label any more."""
    data = drop.event.packet
    if kernel_word.place(drop) != _PLACE or not kernel_word.gave_no_reason(drop) or len(data) < 4:
        return None
    totals = {4: int.from_bytes(data[2:4], "big"), 6: 40 + int.from_bytes(data[4:6], "big")}
    is_popped = totals.get(data[0] >> 4) == drop.event.length
    return _Label(int.from_bytes(data[:3], "big") >> 4, is_popped)


def _known(drop: Drop, host: Host) -> Mpls | None:
    label = _label(drop)
    if label is None:
        return None
    return host.mpls(drop.event.netns, drop.event.ifindex, label.number, drop.event.monotonic_ns)


def _is_for_another(drop: Drop, host: Host) -> bool:
    """Its frame is for another station, and a sniffer had the interface take it."""
    header = frame_header(drop.event.link)
    here = host.link(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    return header is not None and here is not None and header.destination.hex(":") != here.mac


def _blamed(said: Verdict, drop: Drop, host: Host, setting: Sysctl) -> Verdict:
    changed = pinned.doubts(drop, host, pinned.Source("sysctls", None))
    return pinned.doubted(replace(said, culprit=setting), changed)
