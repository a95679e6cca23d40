"""MPLS: an interface that does not take it, labels without a route, and what cannot be sent on."""

from dataclasses import replace
from typing import NamedTuple

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import Step
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.host.routers.mpls import Mpls
from dropwatch.model.culprits import Sysctl
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.frame import frame_header

_PLACE = "mpls_forward"
_ETHERTYPE = b"\x88\x47"
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
        id="routing.mpls-ttl-expired",
        title="the TTL of the MPLS label is used up",
        why="""
There is a route for the label, and its TTL was 1 or 0. Labels lead in a loop, the path has more routers than the
one who pushed the label allowed for, or somebody traces a route: the first router copies the TTL of IP into the label,
or sets 255. Linux sends no ICMP for it: a traceroute shows nothing of this router.
""",
        confirm="""
The TTL of the label:
$ tcpdump -c 3 -evni DEV mpls
$ ip -f mpls route
"errors" of MPLS under RX rises:
$ ip -s -f mpls stats show dev DEV
""",
        fix=(
            Fix("look for a loop: see to which router the label leads", "ip -f mpls route"),
            Step(
                "where the label is pushed: hide the routers of MPLS from the TTL of IP, with a TTL of its own",
                "sysctl -w net.mpls.ip_ttl_propagate=0",
                elsewhere=True,
            ),
            _SEE,
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=(_PLACE,),
    ),
    Cause(
        id="routing.mpls-too-big",
        title="the MPLS packet is too big for the next link",
        why="""
There is a route for the label, and its TTL is not used up. With the labels that it is to get, the packet is longer than
the MTU of the interface by which it should leave: each label takes 4 bytes. Linux sends no ICMP for it: large packets
vanish, and TCP does not learn of it. The same happens where that interface is down.
""",
        confirm="""
The length of the packets, and the interface by which they should leave:
$ tcpdump -c 3 -evni DEV mpls
$ ip -f mpls route
"errors" of MPLS under TX of that interface rises:
$ ip -s -f mpls stats show
""",
        fix=(
            Fix("set a larger MTU on the links between routers: 4 bytes more for each label"),
            Fix("see the interface by which the label leaves, and that it is up", "ip -f mpls route"),
            _SEE,
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
        scenario="Here each label comes by Ethernet, where the one that was taken off stands before the packet.",
    ),
)


class _Label(NamedTuple):
    """`is_popped`: what is read is what stood behind it. `is_top`: it is not, as the header before it says."""

    number: int
    is_popped: bool
    is_top: bool


def input_off(drop: Drop, host: Host) -> Verdict | None:
    """It is looked at before anything else (mpls_forward)."""
    known = _known(drop, host)
    if known is None or known.input != 0:
        return None
    name = f"net.mpls.conf.{known.name.replace('.', '/')}.input"
    said = kernel_word.certain(drop, Evidence(_SYSCTL, f"{name} = 0", "proof"))
    return _blamed(said, drop, host, Sysctl(f"{name} = 0", name, 0))


def no_route(drop: Drop, host: Host) -> Verdict | None:
    """Certain where it is the top label, and no route has changed. Else it may be the one behind that."""
    label, known = _label(drop), _known(drop, host)
    if label is None or known is None or label.is_popped or known.routed or _is_for_another(drop, host):
        return None
    labels = known.labels
    if label.number < labels:
        fact = f"asked again, the kernel finds no route for label {label.number}"
        changed = pinned.doubts(drop, host, pinned.Source("routes", None), pinned.Source("sysctls", None))
        say = kernel_word.certain if label.is_top and not changed else kernel_word.likely
        return pinned.doubted(say(drop, Evidence(_ROUTE, fact, "proof")), changed)
    fact = f"the packet has label {label.number}, and {_PLATFORM_LABELS} is {labels}"
    sure = label.is_top or not labels
    said = (kernel_word.certain if sure else kernel_word.likely)(drop, Evidence(_SYSCTL, fact, "proof"))
    return _blamed(said, drop, host, Sysctl(f"{_PLATFORM_LABELS} = {labels}", _PLATFORM_LABELS, labels))


def ttl_expired(drop: Drop, host: Host) -> Verdict | None:
    """It is looked at right after the label has been taken off."""
    taken = _taken(drop)
    if taken is None or taken & 0xFF > 1:
        return None
    fact = f"label {taken >> 12} has been taken off, and its TTL is {taken & 0xFF}"
    return kernel_word.certain(drop, Evidence("packet", fact))


def too_big(drop: Drop, host: Host) -> Verdict | None:
    """What else can happen then: its interface is down, or memory is short."""
    taken = _taken(drop)
    if taken is None or taken & 0xFF <= 1:
        return None
    fact = (
        f"label {taken >> 12} has been taken off, its TTL is {taken & 0xFF}, and {drop.event.length:,} bytes are left: "
        "too big with its new labels, or the interface by which it should leave is down"
    )
    return kernel_word.likely(drop, Evidence("packet", fact))


def not_sent(drop: Drop, host: Host) -> Verdict | None:
    """What is behind the last label stands at the front."""
    del host
    label = _label(drop)
    if label is None or not label.is_popped:
        return None
    fact = f"its last label has been taken off, so it has a route; the packet is {drop.event.length:,} bytes long"
    return kernel_word.likely(drop, Evidence("packet", fact))


def _taken(drop: Drop) -> int | None:
    """The label with its TTL that stands between the header of Ethernet and what was read (bpf/expression.c)."""
    link = drop.event.link
    if kernel_word.place(drop) != _PLACE or not kernel_word.gave_no_reason(drop):
        return None
    return int.from_bytes(link[14:], "big") if len(link) == 18 and link[12:14] == _ETHERTYPE else None


def _label(drop: Drop) -> _Label | None:
    """The first 20 bits. What ends where an IP header says that it does is IP, and has no label any more."""
    data, link = drop.event.packet, drop.event.link
    if kernel_word.place(drop) != _PLACE or not kernel_word.gave_no_reason(drop) or len(data) < 4:
        return None
    totals = {4: int.from_bytes(data[2:4], "big"), 6: 40 + int.from_bytes(data[4:6], "big")}
    is_popped = _taken(drop) is not None or totals.get(data[0] >> 4) == drop.event.length
    is_top = not is_popped and len(link) == 14 and any(link[:12])
    return _Label(int.from_bytes(data[:3], "big") >> 4, is_popped, is_top)


def _known(drop: Drop, host: Host) -> Mpls | None:
    label = _label(drop)
    if label is None:
        return None
    return host.mpls(drop.event.netns, drop.event.ifindex, label.number, drop.event.monotonic_ns)


def _is_for_another(drop: Drop, host: Host) -> bool:
    """Its frame is for another station, and a sniffer had the interface take it."""
    header = frame_header(drop.event.link)
    here = host.link(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    if header is None or here is None or not any(header.destination):
        return False
    return header.destination.hex(":") != here.mac


def _blamed(said: Verdict, drop: Drop, host: Host, setting: Sysctl) -> Verdict:
    changed = pinned.doubts(drop, host, pinned.Source("sysctls", None))
    return pinned.doubted(replace(said, culprit=setting), changed)
