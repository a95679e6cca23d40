"""The last words of a run: what it saw, told, lost and kept back, and what it could not see."""

from collections.abc import Mapping, Sequence

from dropwatch.model.drop import Totals
from dropwatch.render.layout import Layout
from dropwatch.render.resent import sent_again

_NAMED = 4  # probes that are missing for the same reason


def closing(totals: Totals, layout: Layout, told: Sequence[str] = ()) -> str:
    """A few lines for standard error; says the same as the end object of the JSON.

    `told` are blind spots that the opening named: they are counted, not listed again.
    """
    lines = layout.paragraph(_main(totals), "whydrop: ", "  ")
    if totals.journeys is not None:
        followed = _number(sum(totals.journeys.values()), "packet")
        text = f"{followed} followed{': ' if totals.journeys else ''}{_list(totals.journeys)}"
        lines += layout.paragraph(text, "  ", "    ")
    if totals.lost:
        lost = sum(totals.lost.values())
        text = f"{_number(lost, 'event')} lost on the way to whydrop, counted but not shown: {_list(totals.lost)}"
        lines += layout.paragraph(text, "  lost: ", "    ")
    if totals.suppressed:
        lines += layout.paragraph(_list(totals.suppressed), "  harmless, not shown without --all: ", "    ")
    if totals.resent is not None:
        lines += sent_again(totals.resent, layout)
    lines += not_seen([spot for spot in totals.blind_spots if spot not in told], layout)
    if told:
        lines += not_seen([f"what the first lines say ({_number(len(told), 'blind spot')})"], layout)
    return "\n".join(lines) + "\n"


def not_seen(blind_spots: Sequence[str], layout: Layout) -> list[str]:
    """A line, or more, for each sentence; those of many probes that are missing for one reason are one."""
    return [line for spot in together(blind_spots) for line in layout.paragraph(spot, "  not seen: ", "    ")]


def together(blind_spots: Sequence[str]) -> list[str]:
    """Blind spots in sentences: many probes may be missing for one reason, that is one."""
    probes: dict[str, list[str]] = {}
    sentences: dict[str, str | None] = {}  # in order, None: of probes
    for spot in blind_spots:
        name, parted, why = spot.removeprefix("probe ").partition(": not attached: ")
        if parted and spot.startswith("probe "):
            probes.setdefault(why, []).append(name)
            sentences.setdefault(why, None)
        else:
            sentences[spot] = spot
    return [_of_probes(probes[key], key) if text is None else text for key, text in sentences.items()]


def _of_probes(names: Sequence[str], why: str) -> str:
    if len(names) == 1:
        return f"probe {names[0]}: not attached: {why}"
    named = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"probes {named}{more}: not attached: {why}"


def _main(totals: Totals) -> str:
    matched = f"{_number(totals.matched, 'dropped packet')} matched"
    if totals.reported != totals.matched:
        matched += f", {totals.reported} shown"
    if totals.seen_by is None:
        return f"{matched}; how many drops were seen in all is not known"
    seen = sum(totals.seen_by.values())
    by = _list({name: count for name, count in totals.seen_by.items() if count})
    return f"{matched}; {_number(seen, 'drop')} seen in all{f' ({by})' if by else ''}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _list(counts: Mapping[str, int]) -> str:
    """`kfree_skb 117, tcp_conn_request 3`, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
