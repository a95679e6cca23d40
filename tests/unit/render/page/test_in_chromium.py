"""The page as a browser has it: it opens alone, unfolds, finds, prints, and is told to who does not see it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Evidence, Finding, Fix, Packet
from dropwatch.model.report import Turn, Way
from tests.unit.render.page.chromium import Chromium, chromium, needs_chromium
from tests.unit.render.page.test_page import MARKUP, NAMES

pytestmark = needs_chromium
__all__ = ["chromium"]  # the fixture

Find = Callable[..., Finding]
RULE = NftRule("udp dport 5000 drop", "inet", "filter", "input", handle=7)
COMMAND = "nft delete rule inet filter input handle 7"
SEARCH = "document.getElementById('search')"
FOUND = "document.getElementById('found').textContent"
FIRST = "document.getElementById('sort-1')"


@pytest.fixture
def find(make_finding: Find, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Find:
    def build(**packet: Any) -> Finding:
        evidence = (
            Evidence("skb:kfree_skb", "freed"),
            Evidence("probe x", "the rule said drop", "proof"),
            Evidence("y", "more"),
        )
        return make_finding(
            make_drop(make_packet(**packet)), culprit=RULE, evidence=evidence, count=3,
            fix=(Fix("take it out", COMMAND), Fix("or ask", "nft list ruleset")),
        )  # fmt: skip

    return build


@pytest.fixture
def shown(
    chromium: Chromium, page_of: Callable[..., str], find: Find, make_finding: Find, tmp_path: Path
) -> Iterator[Chromium]:
    """The browser with a page of three sorts; nothing may have been complained of, and nothing asked for."""
    path = tmp_path / "x.html"
    path.write_text(page_of(find(), find(dport=53, sport=40001), make_finding(cause_id="unknown")))
    chromium.media()
    chromium.width(1000)
    chromium.open(path)
    yield chromium
    assert chromium.complaints == []
    assert chromium.requests == [f"file://{path}"]


def type_words(browser: Chromium, words: str) -> None:
    browser.value(f"{SEARCH}.value = {words!r}; {SEARCH}.dispatchEvent(new Event('input')); {FOUND}")


def visible(browser: Chromium) -> int:
    count: int = browser.value(
        "[...document.querySelectorAll('#sorts > li')].filter((li) => !li.hidden).length"
    )
    return count


def test_the_answer_is_there_and_the_rest_is_unfolded(shown: Chromium) -> None:
    shown.until(f"{FIRST}.innerText.includes('Authentication failed')")  # which is drawn when it is in sight
    assert "the rule said drop" not in shown.value(f"{FIRST}.innerText")
    assert not shown.value(f"{FIRST}.textContent.includes('xfrm4_esp_rcv')")
    shown.value(f"{FIRST}.querySelector('summary').click()")
    shown.until(f"{FIRST}.dataset.full === 'yes'")
    shown.until(f"{FIRST}.innerText.includes('xfrm4_esp_rcv+0x3a')")
    text = shown.value(f"{FIRST}.innerText")
    for part in (
        "the rule said drop",
        COMMAND,
        "xfrm4_esp_rcv+0x3a",
        "more",
        "nft list ruleset",
        "layer ipsec",
    ):
        assert part in text
    assert text.count("the rule said drop") == 1, "not once more among all that was seen"
    shown.value(f"{FIRST}.querySelector('summary').click(); {FIRST}.querySelector('summary').click()")
    assert shown.value(f"{FIRST}.innerText").count("xfrm4_esp_rcv+0x3a") == 1


def test_the_keyboard_does_it_all(shown: Chromium) -> None:
    shown.key("/")
    assert shown.value("document.activeElement.id") == "search"
    assert shown.value(f"{SEARCH}.value") == ""
    for character in "53":
        shown.key(character)
    shown.until(f"{FOUND} === '1 of 3 shown'")
    shown.key("Escape", 27)
    shown.until(f"{FOUND} === ''")
    assert visible(shown) == 3
    for _ in range(3):  # past the two buttons, to the first finding
        shown.key("Tab", 9)
    assert shown.value("document.activeElement.tagName") == "SUMMARY"
    shown.key("Enter", 13)
    shown.key(" ", 32) if not shown.value("document.activeElement.parentElement.open") else None
    shown.until(f"{FIRST}.firstElementChild.open")


@pytest.mark.parametrize(
    ("words", "left"),
    [("udp", 3), ("UNKNOWN", 1), ("nft 53", 1), ("xfrm4_esp_rcv", 3), ("nowhere", 0), ("  ", 3), ("more", 2)],
)
def test_the_search_finds_also_what_is_folded(words: str, left: int, shown: Chromium) -> None:
    type_words(shown, "nothing of it")
    shown.until(f"{FOUND}.startsWith('0 of')")
    type_words(shown, words)
    shown.until(
        f"{FOUND} === {f'{left} of 3 shown' if words.strip() else ''!r}" if words != "nowhere" else "true"
    )
    assert visible(shown) == left


def test_a_command_is_copied_as_it_stands(shown: Chromium) -> None:
    shown.value(f"{FIRST}.querySelector('summary').click()")
    shown.until(f"{FIRST}.dataset.full === 'yes'")
    shown.value(
        "globalThis.copied = [];"
        "document.execCommand = (name) => copied.push(document.activeElement.value);"
        "navigator.clipboard && (navigator.clipboard.writeText = async (text) => copied.push(text));"
    )
    shown.value(f"{FIRST}.querySelector('pre.command + button').click()")
    shown.until("copied.length === 1")
    assert shown.value("copied[0]") == COMMAND
    shown.until(f"{FIRST}.querySelector('pre.command + button').textContent === 'Copied'")


def test_all_are_opened_and_closed(shown: Chromium) -> None:
    shown.value("document.getElementById('open').click()")
    shown.until("document.querySelectorAll('li[data-full]').length === 3")
    shown.value("document.getElementById('close').click()")
    assert shown.value("document.querySelectorAll('details[open]').length") == 0


def test_packets_of_a_trace_are_folded_and_searched(
    chromium: Chromium, page_of: Callable[..., str], find: Find, tmp_path: Path
) -> None:
    turns = (Turn(0.0, "b", "vb", "arrives"), Turn(0.001, "", "", "nftables t.c: drop", True))
    ways = (
        Way(1, 7.0, "udp 10.9.0.1:9 > 10.9.0.2:53", "delivered", "named read it", turns[:1]),
        Way(2, 8.0, "udp 10.9.0.1:9 > 10.9.0.2:5000", "dropped", "dropped", turns, sort=1),
    )
    path = tmp_path / "x.html"
    for findings, left in (([find()], "1 of 1, and of the packets 1 of 2 shown"), ([], "1 of 2 shown")):
        path.write_text(page_of(*findings, ways=ways))
        chromium.width(320)
        chromium.open(path)
        second = "document.getElementById('packet-2')"
        assert "nftables t.c: drop" not in chromium.value(f"{second}.innerText")
        type_words(chromium, "5000")
        chromium.until(f"{FOUND} === {left!r}")
        chromium.value(f"{second}.querySelector('summary').click()")
        chromium.until(f"{second}.innerText.includes('nftables t.c: drop')")
        assert chromium.value("document.documentElement.scrollWidth") <= 320
        assert chromium.complaints == []
    path.write_text(page_of(find(), ways=ways))
    chromium.open(path, "#packet-1")
    chromium.until("document.getElementById('packet-1').firstElementChild.open")


def test_a_finding_has_an_address(shown: Chromium, tmp_path: Path) -> None:
    shown.open(tmp_path / "x.html", "#sort-2")
    shown.until("document.getElementById('sort-2').firstElementChild.open")
    shown.open(tmp_path / "x.html")  # what the fixture looks at


def test_paper_has_no_folds(shown: Chromium) -> None:
    assert shown.pdf().startswith(b"%PDF")
    shown.value("dispatchEvent(new Event('beforeprint'))")
    assert shown.value("document.querySelectorAll('details[open]').length") == 3
    shown.media("print")
    shown.until(f"{FIRST}.innerText.includes('{COMMAND}')")
    assert shown.value("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert shown.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown.value("dispatchEvent(new Event('afterprint'))")
    assert shown.value("document.querySelectorAll('details[open]').length") == 0


def test_it_is_dark_where_that_is_preferred(shown: Chromium) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        shown.media(prefers_color_scheme=scheme)
        grounds.append(shown.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
    assert shown.screenshot().startswith(b"\x89PNG")


@pytest.mark.parametrize("pixels", [320, 600, 1600])
def test_nothing_is_wider_than_the_window(pixels: int, shown: Chromium) -> None:
    shown.width(pixels)
    shown.value("document.getElementById('open').click()")
    shown.until("document.querySelectorAll('li[data-full]').length === 3")
    assert shown.value("document.documentElement.scrollWidth") <= pixels


def test_who_does_not_see_it_is_told(shown: Chromium) -> None:
    told = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown.accessible()]
    roles = {role for role, _ in told}
    assert {"main", "banner", "search", "searchbox", "list", "heading", "table"} <= roles
    assert ("searchbox", "Search") in told
    for role, name in told:
        assert name or role not in ("button", "searchbox", "image", "heading", "link"), role
    assert next(name for role, name in told if role == "image").startswith("from 2")
    assert shown.value("document.documentElement.lang") == "en"


def test_without_a_script_the_answers_are_there(
    chromium: Chromium, page_of: Callable[..., str], find: Find, tmp_path: Path
) -> None:
    path = tmp_path / "x.html"
    path.write_text(
        page_of(find()).replace('"use strict";', '"use strict";;')
    )  # the policy refuses another script
    chromium.media()
    chromium.open(path)
    assert any("Content Security Policy" in complaint for complaint in chromium.complaints)
    chromium.value(f"{FIRST}.querySelector('summary').click()")
    chromium.until(f"{FIRST}.innerText.includes('{COMMAND}')")


def test_a_script_that_got_in_would_not_run(
    chromium: Chromium, page_of: Callable[..., str], find: Find, tmp_path: Path
) -> None:
    path = tmp_path / "x.html"
    bad = "<script>globalThis.pwned = 1</script><img src='https://example.org/x' onerror='globalThis.pwned = 1'>"
    path.write_text(page_of(find()).replace("<main>", f"<main>{bad}"))
    chromium.open(path)
    assert chromium.value("typeof pwned") == "undefined"
    assert [url for url in chromium.requests if not url.startswith("file:")] == chromium.refused != []


@pytest.mark.parametrize("name", [*MARKUP, *NAMES[:12], "x" * (1 << 20), "wide " * 900])
def test_a_name_is_text_also_when_it_is_unfolded(
    name: str, chromium: Chromium, page_of: Callable[..., str], find: Find, tmp_path: Path
) -> None:
    usual = find()
    finding = replace(
        usual, title=name, culprit=replace(RULE, text=name, chain=name), evidence=(Evidence(name, name),) * 2,
        fix=(Fix(name, name[:100]), Fix(name, name[:100])),
    )  # fmt: skip
    path = tmp_path / "x.html"
    path.write_text(page_of(finding))
    chromium.width(1000)
    chromium.open(path)
    chromium.value(f"{FIRST}.querySelector('summary').click()")
    chromium.until(f"{FIRST}.dataset.full === 'yes'")
    assert chromium.complaints == []
    assert chromium.requests == [f"file://{path}"]
    assert chromium.value(f"{FIRST}.querySelectorAll('script, img, b:not(ul b)').length") == 0
    assert name[1:50] in chromium.value(f"{FIRST}.querySelector('.title').textContent"), "with a capital"
    assert chromium.value("document.documentElement.scrollWidth") <= 1000


def test_ten_thousand_findings_unfold_and_are_found(
    chromium: Chromium, page_of: Callable[..., str], find: Find, tmp_path: Path
) -> None:
    """As many sorts as are told apart, and the rest."""
    findings = (find(saddr=f"10.{n >> 12}.{n >> 4 & 255}.{n & 15}") for n in range(10_007))
    path = tmp_path / "x.html"
    path.write_text(page_of(*findings))
    chromium.open(path)
    assert "30,021 dropped packets of 4,096 sorts and others" in chromium.value("document.body.innerText")
    type_words(chromium, "10.0.17.3")
    chromium.until(f"{FOUND} === '1 of 4096 shown'")
    assert visible(chromium) == 1
    type_words(chromium, "")
    chromium.until(f"{FOUND} === ''")
    chromium.value("document.getElementById('open').click()")
    chromium.until(f"{FOUND} === 'the first 200 are open'")
    assert chromium.complaints == []
