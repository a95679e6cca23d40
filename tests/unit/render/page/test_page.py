"""The page as a file: whole, closed in itself, and nothing that others chose gets out of its place."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import (
    Decision,
    Drop,
    Evidence,
    Finding,
    Fix,
    Frame,
    Interface,
    MatchResult,
    Netns,
    Process,
    Totals,
)
from dropwatch.names.foreign import foreign
from dropwatch.render.page import page as module
from tests.unit.names.hostile import HOSTILE

HERE = Path(module.__file__).parent
PageOf = Callable[..., str]
Find = Callable[..., Finding]
MARKUP = (
    "</script><script>alert(1)</script>", "--><script>", "]]>", '"><img src=x onerror=alert(1)>', "' onload='x",
    "<!--<script>", "{{ 7 * 7 }}{% raw %}", "javascript:alert(1)", "&lt;b&gt;", "</style>", "</title>", "</pre>",
)  # fmt: skip
NAMES = [*map(foreign, HOSTILE), *MARKUP]


class Elements(HTMLParser):
    """The elements of a page, each with its attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._last = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._last = tag

    def handle_data(self, data: str) -> None:
        self.texts[self._last] = self.texts.get(self._last, "") + data

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.found]


@pytest.fixture
def named(make_finding: Find, make_drop: Callable[..., Drop]) -> Callable[[str], Finding]:
    """A finding in which everything that others may choose is this name."""

    def build(name: str) -> Finding:
        frame = Frame(name, 1, name, 1)
        rule = NftRule(f"comment {name}", "inet", name, name, 7, comment=name)
        drop = make_drop(
            iface=Interface(2, name), netns=Netns(5, name), stack=(frame,), process=Process(7, name), reason=name,
            where=replace(make_drop().where, frame=frame),
        )  # fmt: skip
        return make_finding(
            drop, cause_id=name, title=name, culprit=rule, evidence=(Evidence(name, name),), fix=(Fix(name, name),),
            owner=Process(8, name), led_by=(Decision(name, "certain", rule, (name,)),), match=MatchResult("nat", name),
        )  # fmt: skip

    return build


def totals(name: str) -> Totals:
    return Totals({name: 1}, 1, 1, {name: 1}, {name: 1}, (name,), {name: 1})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_wherever_it_stands(
    name: str, page_of: PageOf, named: Callable[[str], Finding]
) -> None:
    def built(name: str) -> str:
        return page_of(
            named(name), totals=totals(name), apart={name: 1}, source=name, asked=name, made_by=name,
            kernel=name, program=name, machine=name,
        )  # fmt: skip

    text = built(name)
    usual, found = Elements(built("0br")), Elements(text)
    assert found.shape == usual.shape
    assert [element for element in found.found if element[0] == "svg"]
    assert found.texts["h1"].strip() == usual.texts["h1"].strip()
    assert all(line.isprintable() for line in text.replace("\t", "").split("\n"))
    text.encode()
    details = re.search(r'<script type="application/json" id="details">(.*?)</script>', text, re.S)
    assert details is not None
    assert json.loads(details.group(1))["sorts"][0]["cause"]["id"] == name


def test_nothing_comes_from_elsewhere_and_the_policy_says_so(page_of: PageOf, make_finding: Find) -> None:
    text = page_of(make_finding(evidence=(Evidence("a", "see https://example.org/"),)))
    found = Elements(text)
    for tag, attributes in found.found:
        assert not {"src", "href", "style", "srcset", "action", "background"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.found}
    code = "".join((HERE / name).read_text() for name in ("page.css", "page.js", "page.html"))
    assert not re.search(r"https?:|url\(|@import|fetch|XMLHttp|WebSocket|innerHTML|eval\(", code)
    policy = next(
        attributes["content"] or ""
        for tag, attributes in found.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    style, script = (
        re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S).group(1)  # type: ignore[union-attr]
        for tag in ("style", "script")
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for code in (style, script):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" in policy


def test_it_says_what_there_is(page_of: PageOf, make_finding: Find) -> None:
    text = page_of(
        make_finding(count=4096), totals=replace(totals("x"), blind_spots=("probe y: not attached: z",))
    )
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert "<h1>4,096 dropped packets of one sort</h1>" in text
    assert "probe y: not attached: z" in text
    assert "ipsec.auth-failed" in text


def test_without_a_packet_and_without_an_end(page_of: PageOf) -> None:
    text = page_of(totals=None)
    assert "<h1>No dropped packet matched</h1>" in text
    assert "it was cut short" in text
    assert "<svg" not in text


def test_packets_that_are_in_no_sort_count(page_of: PageOf, make_finding: Find) -> None:
    text = page_of(make_finding(), apart={"beyond": 6})
    assert "<h1>7 dropped packets of one sort and others</h1>" in text
    assert "Not told apart" in text


def test_half_a_character_is_no_reason_to_fail(page_of: PageOf, make_finding: Find) -> None:
    assert "whydrop \\udc80" in page_of(make_finding(), program="\udc80")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(scheme: str) -> None:
    """WCAG 2: 4.5 to 1 for text, on both grounds that it stands on."""
    blocks = re.findall(r":root \{(.*?)\}", (HERE / "page.css").read_text(), re.S)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[("light", "dark").index(scheme)]))
    for name in ("text", "quiet", "cause", "maybe", "object", "command"):
        for ground in ("ground", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("bar", "focus"):
        assert contrast(colours[name], colours["raised"]) >= 3


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
