"""What the words behind `whydrop explain` mean: a page, several that could be meant, or all that have the words."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from dropwatch.errors import WrongUsage
from dropwatch.explain import catalogue, pages
from dropwatch.explain.counters import counters, names_of
from dropwatch.explain.search import Hit, search, tokens
from dropwatch.model.page import Page, Section
from dropwatch.names import symbols

_REASON_PREFIX = "skb_drop_reason_"
_MOST = 20


def page(words: Sequence[str] = (), *, everything: bool = False) -> Page:
    """The page of what the words name, or those that have them; the index without any.

    One word may be the name of a cause or the end of one (`auth-failed`), a family, a drop reason, a function
    of the kernel, a counter (`ListenDrops`): letters of any case. `everything` is a search in any case, of
    which not only the best are listed. Raises WrongUsage where nothing has the words, naming what is spelt
    alike.
    """
    wanted = " ".join(words).strip()
    if not wanted:
        if words:
            raise WrongUsage("there is no word to explain", "whydrop explain lists what there is")
        return pages.index()
    named = _named(wanted) if " " not in wanted and not everything else None
    if named is not None:
        return named
    hits = search(wanted)
    if hits:
        return _found(wanted, hits, everything=everything)
    raise WrongUsage(f"whydrop knows nothing named {wanted!r}, and no page mentions it", _hint(wanted))


def _named(wanted: str) -> Page | None:
    lower = wanted.lower()
    cause = catalogue.causes().get(lower)
    if cause is not None:
        return pages.of_cause(cause)
    family = lower.removesuffix(".*").removesuffix(".")
    if family in symbols.families():
        return pages.of_family(family)
    if lower == pages.UNKNOWN:
        return pages.of_unknown()
    return _kernel_name(wanted) or _short_name(lower) or _counter(lower)


def _kernel_name(wanted: str) -> Page | None:
    function = symbols.base_name(wanted.removesuffix("()"))
    if function in symbols.function_names():  # as it is written: there are TCP_CLOSE and tcp_close()
        return pages.of_function(function)
    reason = wanted.lower().removeprefix(_REASON_PREFIX)
    for name in symbols.reason_names():
        if name.lower() == reason:
            return pages.of_reason(name)
    for name in symbols.function_names():
        if name.lower() == function.lower():
            return pages.of_function(name)
    return None


def _short_name(lower: str) -> Page | None:
    """`auth-failed`, or the last words of one, as long as they are two (`size-mismatch`)."""
    ids = catalogue.causes()
    found = [one for one in ids if one.partition(".")[2] == lower]
    if not found and "-" in lower:
        found = [one for one in ids if one.endswith(f"-{lower}")]
    if len(found) == 1:
        return _with_others(pages.of_cause(ids[found[0]]), lower)
    return _several(lower, [(one, "cause", ids[one].title) for one in found])


def _with_others(named: Page, word: str) -> Page:
    """A word of the language may be a name by chance (`reset`): whoever looked for the word learns of the others."""
    others = len(search(word)) - 1 if "-" not in word else 0
    if others < 1:
        return named
    many = "one more page has this word" if others == 1 else f"{others} more pages have this word"
    more = Section("", f"{many[:1].upper()}{many[1:]}:\n$ whydrop explain --all {word}")
    return replace(named, sections=(*named.sections, more))


def _counter(lower: str) -> Page | None:
    known = counters()
    for at in (0, 1):  # its whole name first
        found = [
            one for one in known.values() if len(names_of(one)) > at and names_of(one)[at].lower() == lower
        ]
        if len(found) == 1:
            return pages.of_counter(found[0])
        if found:
            return _several(
                lower, [(one.name, "counter", one.words.text if one.words else "") for one in found]
            )
    return None


def _several(wanted: str, found: Sequence[tuple[str, str, str]]) -> Page | None:
    if not found:
        return None
    entries = tuple((name, title) for name, _, title in found)
    return Page(
        wanted,
        "",
        f"{len(found)} {found[0][1]}s have this name",
        (Section("", entries=entries, listed=True),),
    )


def _found(wanted: str, hits: Sequence[Hit], *, everything: bool) -> Page:
    shown = hits if everything else hits[:_MOST]
    entries = tuple((hit.name, hit.title) for hit in shown)
    sections = [Section("", entries=entries, listed=True)]
    left = len(hits) - len(shown)
    if left:
        sections.append(Section("", f"{left} more, further from it:\n$ whydrop explain --all {wanted}"))
    count = "one page has" if len(hits) == 1 else f"{len(hits)} pages have"
    what = "these words" if len(tokens(wanted)) > 1 else "this word"
    return Page(wanted, "search", f"{count} {what}, the nearest first", tuple(sections))


def _hint(wanted: str) -> str:
    known = {cause_id: cause_id for cause_id in catalogue.causes()}
    known |= {name.lower(): name for name in (*symbols.reason_names(), *symbols.function_names())}
    known |= {name.lower(): one.name for one in counters().values() for name in names_of(one)}
    known |= {cause_id.partition(".")[2]: cause_id for cause_id in catalogue.causes()}
    alike = difflib.get_close_matches(wanted.lower(), known, n=3, cutoff=0.6)
    close = dict.fromkeys(known[one] for one in alike)
    return f"did you mean {' or '.join(close)}?" if close else "whydrop explain lists what there is"
