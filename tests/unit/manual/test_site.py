"""The site: every link leads somewhere, nothing comes from elsewhere, and its search finds what the command does."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.explain.search import search
from manual.site.html import document, words
from manual.site.pages import write_site

VOID = {"meta", "link", "input", "br"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    write_site(directory)
    return directory


class Reader(HTMLParser):
    """Ids and addresses of a file; fails where tags do not close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def files(site: Path) -> Iterator[tuple[Path, Reader]]:
    for path in sorted(site.rglob("*.html")):
        yield path, Reader(path.read_text(encoding="utf-8"))


def test_every_cause_has_one_address(site: Path) -> None:
    assert {path.stem for path in (site / "causes").iterdir()} == {
        *(cause.id for cause in CATALOGUE),
        "unknown",
    }


def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    for path, read in files(site):
        assert len(set(read.ids)) == len(read.ids), path
        for address in read.addresses:
            if address.startswith("#"):
                assert address[1:] in read.ids, f"{path}: {address}"
            elif address != "data:,":
                assert (path.parent / address).resolve().is_relative_to(site.resolve())
                assert (path.parent / address).is_file(), f"{path}: {address}"


def test_every_page_can_be_reached_without_the_search(site: Path) -> None:
    linked = set(Reader((site / "index.html").read_text(encoding="utf-8")).addresses)
    made = {str(path.relative_to(site)) for path in site.rglob("*.html") if path.parent != site}
    assert {path for path in made - linked if not path.startswith("families/")} == {"causes/unknown.html"}


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """But what stands in words: an address in the text of a page is no link."""
    for path in (site / "style.css", site / "search.js"):
        assert not re.search(r"https?:|//\w|@import|url\(|fetch\(|XMLHttpRequest", path.read_text()), path
    assert "default-src 'none'" in (site / "index.html").read_text()


def test_written_again_it_is_the_same_and_old_pages_are_gone(site: Path) -> None:
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    (site / "causes" / "old.html").write_text("")
    write_site(site)
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before


def test_words_are_never_markup() -> None:
    assert words("a < b & `ip <x>`") == "a &lt; b &amp; <code>ip &lt;x&gt;</code>"
    Reader(document("<script>", "", ""))


@pytest.mark.parametrize(
    "query", ["rp filter", "buffer", "connection refused", "IPv6", "vlan", "selinux", "reset"]
)
def test_its_search_finds_what_the_command_finds(site: Path, query: str) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("feature chromium: not installed")
    address = f"{(site / 'index.html').as_uri()}?q={query.replace(' ', '+')}"
    words_ = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={site.parent}/profile"]
    shown = subprocess.run(
        [browser, *words_, "--dump-dom", address], capture_output=True, text=True, timeout=120
    ).stdout
    hits = re.findall(r'<li><a href="[^"]*">([^<]*)</a>', shown)
    assert hits == [hit.name for hit in search(query)][:30]
