"""Signs of a destination that routing refuses: what the kernel answers when it is asked the same again."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.causes.routing.forwarding import is_off
from dropwatch.causes.routing.policy import Refuser, asked_of, who_refused
from dropwatch.host.host import Host
from dropwatch.host.route import Route as Answer
from dropwatch.model import forwarding
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

_SOURCE = "netlink route, after the drop"
_IPV4 = frozenset({"ip_error"})
_IPV6 = frozenset(
    {
        *(
            "ip6_pkt_discard",
            "ip6_pkt_discard_out",
            "ip6_pkt_drop",
            "ip6_pkt_prohibit",
            "ip6_pkt_prohibit_out",
        ),
        *("dst_discard", "dst_discard_out"),
    }
)
_NO_ROUTE = "the network is unreachable"
_KINDS = {f"the route is of type {kind}": kind for kind in ("prohibit", "blackhole", "unreachable")}
_LOST = frozenset({"IP_INNOROUTES", "IP_OUTNOROUTES"})
_FENCE = "it may be a fence, and packets go where the next route leads"


def refused(drop: Drop, host: Host) -> Judgement | None:
    """Nothing where the kernel would find a route by now, or answers what does not fit the reason that it gave."""
    place = kernel_word.place(drop)
    if place not in _IPV4 | _IPV6 or (not kernel_word.gave_no_reason(drop) and drop.reason not in _LOST):
        return None
    if place in _IPV4 and drop.reason is None:
        off = is_off(drop, host)
        if off is not None:
            return "routing.forwarding-off", off
    answer = answer_again(drop, host)
    if answer is None or answer.refusal is None or not _fits(drop, answer.refusal):
        return None
    kind = _KINDS.get(answer.refusal, "unreachable")
    refuser = _refuser(drop, host, kind)
    culprit = refuser.route if refuser is not None else None
    changed = pinned.doubts(drop, host, pinned.Source("routes", None))
    if refuser is not None and not refuser.is_sure:
        changed = (*changed, Evidence("netlink rule", "the rule asks for something that is not known here"))
    if answer.refusal == _NO_ROUTE and culprit is None:
        cause_id = "routing.no-route-in" if drop.event.skb_iif else "routing.no-route-out"
        fact = Evidence(
            _SOURCE, f"asked again, the kernel finds no route to {drop.packet.daddr}{_asked(drop)}", "proof"
        )
        return cause_id, _told(drop, fact, None, changed)
    what = culprit.text if culprit is not None else answer.refusal.removeprefix("the ")
    fact = Evidence(
        _SOURCE, f"asked again, the kernel answers for {drop.packet.daddr}{_asked(drop)}: {what}", "proof"
    )
    return f"routing.{kind}", _told(drop, fact, culprit, changed)


def answer_again(drop: Drop, host: Host) -> Answer | None:
    """What a lookup for this packet says after the drop."""
    packet, event = drop.packet, drop.event
    if packet.daddr is None:
        return None
    if not event.skb_iif:
        return host.route_out(event.netns, packet.daddr, packet.saddr, packet.mark, event.monotonic_ns)
    if packet.saddr is None:
        return None
    return host.route_on(
        event.netns, packet.daddr, packet.saddr, event.skb_iif, packet.mark, event.monotonic_ns
    )


def _fits(drop: Drop, refusal: str) -> bool:
    """IPv4 gives a reason where there is no route, none where a route refuses; IPv6 for all but a blackhole."""
    if drop.reason is None:
        return True
    if drop.packet.family == 4:
        return (drop.reason in _LOST) == (refusal == _NO_ROUTE)
    return (drop.reason in _LOST) == (refusal != "the route is of type blackhole")


def _refuser(drop: Drop, host: Host, kind: str) -> Refuser | None:
    asked = asked_of(drop, host)
    known = host.rules(drop.event.netns, drop.packet.family or 4, drop.event.monotonic_ns)
    return None if known is None or asked is None else who_refused(kind, known.rules, known.refusals, asked)


def _told(
    drop: Drop, fact: Evidence, culprit: forwarding.Route | None, changed: tuple[Evidence, ...]
) -> Verdict:
    said = kernel_word.likely(drop, fact, *changed) if changed else kernel_word.certain(drop, fact)
    return said if culprit is None else replace(said, culprit=culprit, fix=remedies(drop, culprit))


def remedies(drop: Drop, culprit: forwarding.Route) -> tuple[Fix, ...]:
    """What to do about the route or rule that refuses."""
    look = of_catalogue((Fix("ask the kernel for the route", "ip route get DADDR from SADDR iif DEV"),), drop)
    six = "-6 " if drop.packet.family == 6 else ""
    if culprit.rule is not None:
        gone = Fix(
            "delete this rule, if it is not wanted",
            f"ip {six}rule del priority {culprit.rule}",
            weakens=_FENCE,
        )
    else:
        route = f"{culprit.type} {quoted(culprit.destination or '')} table {culprit.table}"
        gone = Fix("delete this route, if it is not wanted", f"ip {six}route del {route}", weakens=_FENCE)
    better = Fix("or add a more specific route", "ip route add DADDR via GATEWAY")
    return (*look, *of_catalogue((better,), drop), gone)


def _asked(drop: Drop) -> str:
    """What beside the destination decides."""
    words = f" from {drop.packet.saddr}" if drop.packet.saddr is not None else ""
    if drop.event.skb_iif and drop.iface is not None and drop.iface.name:
        words += f" iif {drop.iface.name}"
    return words + (f" mark {drop.packet.mark:#x}" if drop.packet.mark else "")
