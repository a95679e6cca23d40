"""Every file in the repository that is made of what whydrop knows; a test says when one is out of date."""

from collections.abc import Callable, Iterator
from pathlib import Path

from dropwatch.explain import catalogue
from dropwatch.render.lines.page import page as json_page
from dropwatch.render.lines.schema import schema_text
from manual import completion, coverage, example, man, markdown
from manual.catalogue import catalogue_text
from manual.shown import recorded, shown_text

ROOT = Path(__file__).parent.parent
Made = tuple[Path, Callable[[], str]]


def words() -> Made:
    """What the pages are made of."""
    return ROOT / "symbols" / "causes.json", catalogue_text


def samples() -> Made:
    """What recordings show; takes half a minute."""
    return ROOT / "symbols" / "shown.json", lambda: shown_text(recorded())


def pages() -> Iterator[Made]:
    """What is made of words() and samples(), which must have been written."""
    docs = ROOT / "docs"
    yield ROOT / "README.md", lambda: coverage.readme(example.readme())
    yield docs / "example.svg", example.picture
    yield docs / "json.md", json_page
    yield docs / "schema.json", schema_text
    yield docs / "whydrop.1", man.page
    yield docs / "causes" / "README.md", markdown.index
    for cause_id in catalogue.causes():
        yield docs / "causes" / f"{cause_id}.md", lambda cause_id=cause_id: markdown.cause_page(cause_id)  # type: ignore[misc]
    for name, shell in completion.FILES.items():
        yield ROOT / "packaging" / "completion" / name, lambda shell=shell: completion.script(shell)  # type: ignore[misc]


def stray() -> Iterator[Path]:
    """Pages of causes that there are no more."""
    known = {path for path, _ in pages()}
    yield from (path for path in (ROOT / "docs" / "causes").glob("*.md") if path not in known)
