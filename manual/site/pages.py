"""Writes the site: a page for each name, the index, the data of the search, style and script."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from dropwatch.explain import catalogue, pages
from dropwatch.explain.counters import counters
from dropwatch.explain.search import everything
from dropwatch.model.page import Page, Section
from dropwatch.names import symbols
from manual.site.addresses import addresses
from manual.site.html import document, entries_html, page_html, words

_HERE = Path(__file__).parent
_ROOTS = ("causes", "counters", "families", "functions", "reasons")


def write_site(directory: Path) -> None:
    """Everything below `directory`, of which only what an earlier run left is replaced."""
    for name in _ROOTS:
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir(parents=True)
    for name, page in _pages():
        made = document(f"{name}: {page.headline}", page_html(page, "../"), "../", current=name)
        (directory / addresses()[name]).write_text(made, encoding="utf-8")
    (directory / "index.html").write_text(document("whydrop explain", _index(), ""), encoding="utf-8")
    (directory / "search-data.js").write_text(_search_data(), encoding="utf-8")
    for name in ("style.css", "search.js"):
        shutil.copyfile(_HERE / name, directory / name)


def _pages() -> Iterator[tuple[str, Page]]:
    yield pages.UNKNOWN, pages.of_unknown()
    for cause in catalogue.causes().values():
        yield cause.id, pages.of_cause(cause)
    for counter in counters().values():
        yield counter.name, pages.of_counter(counter)
    made: tuple[tuple[Callable[[str], Page], tuple[str, ...]], ...] = (
        (pages.of_family, tuple(symbols.families())),
        (pages.of_reason, tuple(symbols.reason_names())),
        (pages.of_function, tuple(symbols.function_names())),
    )
    for make, names in made:
        for name in names:
            yield name, make(name)


def _index() -> str:
    """Every page: the causes by family, then what the kernel has names for."""
    lines = ["<h1>Why did the packet die?</h1>", f'<p class="headline">{words(pages.index().headline)}.</p>']
    for family, what in symbols.families().items():
        causes = [cause.id for cause in catalogue.causes().values() if cause.family == family]
        lines.append(_listing(family, what, pages.titles(causes)))
    raising = tuple((one.name, one.words.text if one.words else "") for one in counters().values())
    reasons = tuple((reason.name, reason.words) for reason in symbols.reasons().values())
    functions = tuple((function.name, function.text) for function in symbols.functions().values())
    lines += [
        _listing("counters", "what nstat, ip and tc count", raising),
        _listing("reasons", "what the kernel itself says of a drop", reasons),
        _listing("functions", "where packets pass and die", functions),
    ]
    return "\n".join(lines) + "\n"


def _listing(name: str, what: str, entries: tuple[tuple[str, str], ...]) -> str:
    listed = entries_html(Section("", entries=entries, listed=True), "")
    return (
        f'<details><summary><h2 id="{name}">{name}</h2> <span class="number">{len(entries)}</span> '
        f"{words(what)}</summary>\n{listed}\n</details>"
    )


def _search_data() -> str:
    """What search.js looks through: name, kind, title, the other words, path."""
    rows = [
        [text.name, text.kind, text.title, " ".join(text.text.split()), addresses()[text.name]]
        for text in everything()
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return f"window.whydropPages = [\n{lines}\n];\n"
