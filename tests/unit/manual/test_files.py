"""What is made of the catalogue, the recordings and the options stands in the repository as it is made."""

from dropwatch.causes import CATALOGUE
from dropwatch.explain import catalogue
from manual import files


def test_the_words_of_the_catalogue_are_written_down() -> None:
    path, make = files.words()
    assert path.read_text(encoding="utf-8") == make(), "make docs"


def test_every_page_is_up_to_date() -> None:
    stale = [
        str(path)
        for path, make in files.pages()
        if not path.exists() or path.read_text(encoding="utf-8") != make()
    ]
    assert stale == [], "make docs"
    assert list(files.stray()) == [], "make docs"


def test_every_cause_has_an_address() -> None:
    made = {path.name for path, _ in files.pages()}
    assert {f"{cause.id}.md" for cause in CATALOGUE} <= made


def test_what_was_recorded_is_of_causes_that_there_are() -> None:
    shown = {cause.id for cause in CATALOGUE if catalogue.shown(cause.id) is not None}
    assert len(shown) > 80
