"""Parts of a summary as short phrases, for the tables and for the full screen."""

import time
from collections.abc import Iterable, Sequence

from dropwatch.model.culprits import ChainPolicy, Culprit, EbtablesRule, IptablesRule, NftRule
from dropwatch.model.drop import Netns
from dropwatch.model.summary import FlowCount, Outside, Summary, SummaryRow
from dropwatch.render.finding import phrases

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = ".:-=+*%#"
_PORTS = 3
_TOOLS = {"ip6": "ip6tables", "arp": "arptables"}
_KINDS = {"nic": "in the NIC", "driver": "in the driver of", "qdisc": "in the queue of"}


def number(count: int) -> str:
    """`1,234,567`."""
    return f"{count:,}"


def rate(per_second: float) -> str:
    """`1,234`, and below ten one digit more, so that one in five seconds is not none."""
    return f"{per_second:,.0f}" if per_second >= 10 or not per_second else f"{per_second:.1f}"


def clock(seconds: float) -> str:
    """Local time of day; seconds since 1970."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def duration(seconds: float) -> str:
    """`12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def sparkline(history: Sequence[int], width: int, *, blocks: bool = True) -> str:
    """The history in `width` columns, the newest right; several numbers in one column are added. Nothing is a blank.

    Shorter histories stand at the right. The highest bar is the highest number of this history.
    """
    each = max(1, -(-len(history) // width))
    padded = [0] * (-len(history) % each) + list(history)
    columns = [sum(padded[at : at + each]) for at in range(0, len(padded), each)]
    most = max(columns, default=0)
    bars = _BARS if blocks else _PLAIN_BARS
    text = "".join(bars[(count * len(bars) - 1) // most] if count else " " for count in columns)
    return text.rjust(width)[-width:]


def what(row: SummaryRow) -> str:
    """The rule that did it (`nft rule ip filter input handle 4: ...`), else what happened, to which ports, by what.

    It says "probably" where that is all that is known.
    """
    text = "" if row.culprit is None else _rule(row.culprit)
    if not text:
        parts = (_ports(row), row.title, "" if row.culprit is None else object_of(row.culprit))
        text = ": ".join(part for part in parts if part)
    text = f"probably {text}" if row.confidence == "likely" else text
    return f"{text}, and others" if row.also else text


def object_of(culprit: Culprit) -> str:
    """`SA src 10.9.0.1 dst ...`."""
    return f"{phrases.object_words(culprit.kind)} {culprit.text}"


def _rule(culprit: Culprit) -> str:
    """A rule or a policy by its place, then as it is listed; nothing for another object."""
    match culprit:
        case NftRule():
            handle = f"handle {culprit.handle}" if culprit.handle is not None else ""
            return _placed(("nft rule", culprit.family, culprit.table, culprit.chain, handle), culprit.text)
        case IptablesRule() | EbtablesRule():
            tool = "ebtables" if isinstance(culprit, EbtablesRule) else _TOOLS.get(culprit.family, "iptables")
            number = str(culprit.number) if culprit.number is not None else ""
            text = culprit.text.removeprefix(f"-A {culprit.chain} ")
            return _placed((f"{tool} rule", culprit.table, culprit.chain, number), text)
        case ChainPolicy():
            verdict = culprit.policy or culprit.target or culprit.text
            return _placed(("policy of chain", culprit.family, culprit.table, culprit.chain), verdict)
    return ""


def _placed(parts: Iterable[str | None], text: str) -> str:
    return f"{' '.join(part for part in parts if part)}: {text}"


def _ports(row: SummaryRow) -> str:
    """`udp port 5000`, `udp 53, udp 5000, ...`: there may be others where not every packet was looked at."""
    if not row.ports:
        return ""
    named = row.ports[:_PORTS]
    text = named[0].replace(" ", " port ") if len(named) == 1 else ", ".join(named)
    return f"{text}, ..." if len(row.ports) > _PORTS or row.samples < row.packets else text


def where(row: SummaryRow, own_netns: int | None) -> str:
    """`vb (netns b), nft_do_chain+0x1c [nf_tables], NETFILTER_DROP`."""
    parts = [interface(row, own_netns), phrases.place(row.where), row.reason or ""]
    return ", ".join(part for part in parts if part)


def interface(row: SummaryRow, own_netns: int | None) -> str:
    """`vb (netns b)`."""
    name = (row.iface.name or f"interface {row.iface.index}") if row.iface is not None else ""
    return f"{name}{_in_netns(row.netns, own_netns)}".strip()


def _in_netns(netns: Netns | None, own_netns: int | None) -> str:
    if netns is None or (netns.name is None and netns.inode == own_netns):
        return ""
    return f" (netns {netns.name or netns.inode})"


def cause(row: SummaryRow) -> str:
    """`netfilter.nft-rule`, `unknown`, `ipsec.no-state, also ipsec.replay`."""
    return f"{row.cause_id}, also {', '.join(row.also)}" if row.also else row.cause_id


def flow(found: FlowCount) -> str:
    """`udp 10.9.0.1 > 10.9.0.2:5000`."""
    target = f"[{found.daddr}]" if found.family == 6 and found.dport is not None else str(found.daddr)
    port = "" if found.dport is None else f":{found.dport}"
    return f"{found.proto} {found.saddr} > {target}{port}"


def outside(found: Outside, own_netns: int | None) -> str:
    """`212 lost in the NIC eth0: rx_missed_errors (the card had no room...)`."""
    counter = found.counter
    what = "lost" if counter.loss else "time" if found.count == 1 else "times"
    place = f"{_KINDS[counter.kind]} {counter.device}" if counter.kind in _KINDS else ""
    if counter.kind == "softnet":
        place = "in the queues of the CPUs"
    place += _in_netns(found.netns, own_netns)
    text = f" ({counter.text})" if counter.text else ""
    return " ".join(f"{number(found.count)} {what} {place}: {counter.name}{text}".replace(" :", ":").split())


def beside(found: Iterable[Outside]) -> tuple[list[Outside], list[Outside]]:
    """Losses that no row can hold, and those counters that may count what is in the rows as well, or no losses."""
    hidden: list[Outside] = []
    others: list[Outside] = []
    for one in found:
        (hidden if one.counter.loss and not one.counter.overlap else others).append(one)
    return hidden, others


def headline(summary: Summary) -> str:
    """`1,234 dropped in 20 s, 500 new (50/s)`, or that nothing was."""
    total, new = sum(row.packets for row in summary.rows), sum(row.new for row in summary.rows)
    elapsed = duration(summary.time - summary.since)
    if not total:
        return f"nothing dropped here in {elapsed}"
    per_second = rate(sum(row.rate for row in summary.rows))
    return f"{number(total)} dropped in {elapsed}, {number(new)} new ({per_second}/s)"
