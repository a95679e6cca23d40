"""Finds what a name means and gathers what is known about it: the content of `whydrop explain`."""

import difflib
from collections.abc import Iterable

from dropwatch.causes import CATALOGUE, by_id
from dropwatch.causes.advice import explained, meanings, with_weakness
from dropwatch.causes.cause import Cause
from dropwatch.errors import WrongUsage
from dropwatch.model.drop import Fix
from dropwatch.model.page import Page, Section
from dropwatch.names import symbols

_UNKNOWN = "unknown"
_REASON_PREFIX = "skb_drop_reason_"
_WAYS = {"in": "packets that come in", "out": "packets that leave", "forward": "packets that are forwarded"}


def page(name: str | None) -> Page:
    """The page about a cause, a family of causes, a drop reason or a kernel function; without a name what there is.

    Letters may be of any case. Raises WrongUsage for a name that means nothing, naming those that are close.
    """
    if name is None:
        return _overview()
    wanted = name.strip().lower()
    cause = by_id(wanted)
    if cause is not None:
        return _of_cause(cause)
    family = tuple(one for one in CATALOGUE if one.family == wanted.removesuffix(".*").removesuffix("."))
    if family:
        return Page(family[0].family, "", f"{len(family)} causes", (Section("", entries=_listed(family)),))
    if wanted == _UNKNOWN:
        return _of_unknown()
    function = symbols.functions().get(symbols.base_name(name.strip().removesuffix("()")))
    if function is not None:  # as it is written: there are TCP_CLOSE and tcp_close()
        return _of_function(function)
    for reason in symbols.reasons().values():
        if reason.name.lower() == wanted.removeprefix(_REASON_PREFIX):
            return _of_reason(reason)
    for function in symbols.functions().values():
        if function.name.lower() == symbols.base_name(wanted.removesuffix("()")):
            return _of_function(function)
    raise WrongUsage(f"whydrop knows no cause, drop reason or kernel function {name!r}", _hint(wanted))


def _overview() -> Page:
    families = dict.fromkeys(cause.family for cause in CATALOGUE)
    families["benign"] = families.pop("benign")  # last: it is tried first, but nobody lost a packet by it
    sections = [
        Section(family, entries=_listed(one for one in CATALOGUE if one.family == family))
        for family in families
    ]
    more = """
$ whydrop explain ipsec.auth-failed
The name can also be a family of causes (ipsec), one of the kernel's drop reasons, or a kernel function:
$ whydrop explain NO_SOCKET
$ whydrop explain xfrm_input
"""
    return Page(
        "whydrop explain",
        "",
        f"{len(CATALOGUE)} causes of packet loss, {len(symbols.reasons())} drop reasons, "
        f"{len(symbols.functions())} kernel functions",
        (*sections, Section("More", more)),
    )


def _of_cause(cause: Cause) -> Page:
    sections = [Section("Why", cause.why), Section("How to confirm it", cause.confirm)]
    if cause.fix:
        sections.append(Section("What to do", "\n".join(_step(fix) for fix in cause.fix)))
    if cause.reasons:
        reason = "the drop reason" if len(cause.reasons) == 1 else "one of the drop reasons"
        sections.append(Section(f"The kernel says so itself, with {reason}", entries=_reasons(cause.reasons)))
    if cause.seen_as:
        sections.append(Section("It can also hide behind", entries=_reasons(cause.seen_as)))
    if cause.seen_at:
        sections.append(Section("Packets die of it in", entries=_functions(cause.seen_at)))
    return Page(cause.id, "cause", cause.title, tuple(sections))


def _of_reason(reason: symbols.ReasonWords) -> Page:
    settled = tuple(cause for cause in CATALOGUE if reason.name in cause.reasons)
    possible = tuple(cause for cause in CATALOGUE if reason.name in cause.seen_as and cause not in settled)
    sections = [Section("", reason.text)]
    if reason.layer is not None:
        sections.append(Section("Layer", f"{reason.layer}: {symbols.layers()[reason.layer]}"))
    if settled:
        sections.append(Section("It means", entries=_listed(settled)))
    if possible:
        sections.append(Section("It can also mean" if settled else "It can mean", entries=_listed(possible)))
    return Page(reason.name, "drop reason", reason.words, tuple(sections))


def _of_function(function: symbols.FunctionWords) -> Page:
    causes = tuple(cause for cause in CATALOGUE if function.name in cause.seen_at)
    sections = []
    if function.layer is not None:
        sections.append(Section("Layer", f"{function.layer}: {symbols.layers()[function.layer]}"))
    if function.direction is not None:
        sections.append(Section("It handles", _WAYS[function.direction]))
    if function.step is not None:
        sections.append(Section("In a trace", function.step))
    if function.free:
        note = "It only frees on behalf of its caller: the place where a packet died is the function that called it."
        sections.append(Section("Note", note))
    if causes:
        sections.append(Section("Packets die here of", entries=_listed(causes)))
    return Page(function.name, "kernel function", function.text, tuple(sections))


def _of_unknown() -> Page:
    text = """
The kernel freed the packet as dropped, and nothing that whydrop observed settles why. That is an honest answer: the
place, the kernel's reason in words and the whole stack are shown, and what can be read about them is one command away.
$ whydrop --stack
$ whydrop explain REASON
$ whydrop explain FUNCTION
Counters that rise with the packets often tell the rest:
$ nstat -az
"""
    return Page(_UNKNOWN, "cause", "whydrop does not know for sure", (Section("", text),))


def _listed(causes: Iterable[Cause]) -> tuple[tuple[str, str], ...]:
    return tuple((cause.id, cause.title) for cause in causes)


def _reasons(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, symbols.reasons()[name].words) for name in names)


def _functions(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, symbols.functions()[name].text) for name in names)


def _step(fix: Fix) -> str:
    said = with_weakness(fix)
    text = f"{said[:1].upper()}{said[1:]}\n"
    if fix.command is None:
        return text
    words = meanings(fix.command)
    return f"{text}$ {fix.command}\n" + (f"{explained(words)}\n" if words else "")


def _hint(wanted: str) -> str:
    known = {cause.id: cause.id for cause in CATALOGUE}
    known |= {name.lower(): name for name in (*symbols.reasons(), *symbols.functions())}
    known |= {cause.id.partition(".")[2]: cause.id for cause in CATALOGUE}  # `auth-failed`
    close = dict.fromkeys(known[one] for one in difflib.get_close_matches(wanted, known, n=3, cutoff=0.6))
    return f"did you mean {' or '.join(close)}?" if close else "whydrop explain lists what there is"
