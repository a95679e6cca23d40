"""What was observed of a packet's death, before any judgement: pairs of a name and words."""

from collections.abc import Iterator
from datetime import datetime

from dropwatch.model.drop import Finding
from dropwatch.names import symbols
from dropwatch.render.finding.phrases import tenant


def observed(finding: Finding) -> Iterator[tuple[str, str]]:
    """The fields of the event in words; times are local, with the offset from UTC."""
    drop, event = finding.drop, finding.drop.event
    time = datetime.fromtimestamp(drop.time).astimezone()
    yield "time", f"{time:%Y-%m-%d %H:%M:%S.%f %z}, monotonic {event.monotonic_ns / 1e9:.9f} s"
    yield "seen by", event.source
    yield "reason", _reason(finding)
    yield "interface", _interface(finding)
    if drop.netns is not None:
        name = f" ({drop.netns.name})" if drop.netns.name else ""
        whose = f", of {tenant(drop.netns.tenant)}" if drop.netns.tenant is not None else ""
        yield "netns", f"inode {drop.netns.inode}{name}{whose}"
    else:
        yield "netns", "unknown"
    layer, way = drop.where.layer or "unknown", drop.where.direction or "unknown"
    yield "layer", f"{layer}, direction {way}"
    yield "packet", f"{event.length} bytes in the sk_buff, mark 0x{event.mark:x}"
    yield "CPU", str(event.cpu)
    yield "task", _task(finding)
    if finding.match.how != "direct" or event.carrier:
        yield "match", finding.match.how + (f": {finding.match.why}" if finding.match.why else "")


def _reason(finding: Finding) -> str:
    name, number = finding.drop.reason, finding.drop.event.reason
    if name is None:
        return "this kernel gives none" if number is None else f"{number}, which has no name on this kernel"
    known = symbols.reason(name)
    return f"{name}: {known.words}" if known is not None else name


def _interface(finding: Finding) -> str:
    drop, event = finding.drop, finding.drop.event
    text = "unknown"
    if drop.iface is not None:
        text = f"{drop.iface.name or 'without a name'} (index {drop.iface.index})"
    if event.skb_iif and event.skb_iif != event.ifindex:
        text += f", came in through index {event.skb_iif}"
    return text


def _task(finding: Finding) -> str:
    event = finding.drop.event
    name = f"{event.comm or 'unknown'} (pid {event.pid})"
    if finding.drop.process is not None and finding.drop.process.pid is not None:
        return f"{name}, in whose own system call it died"
    if finding.drop.task is not None:
        return f"{name}, in whose system call it died; nothing says that the packet is its own"
    return f"{name} was running on this CPU; it need not have to do with the packet"
