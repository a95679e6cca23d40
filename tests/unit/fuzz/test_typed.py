"""What a recording from a stranger says is never typed by root: no text of it gets into a command as it is."""

import contextlib
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropwatch.cli.main import main
from dropwatch.recording.decode import Malformed, decode
from dropwatch.recording.members import opening, pack
from dropwatch.recording.questions import answer_types
from tests.unit.fuzz.test_recording import RECORDINGS

EVIL = ";reboot;"
LINES = gzip.decompress((RECORDINGS / "linux-6.1-mixed.whydrop").read_bytes()).splitlines()
ITEMS = [item for item in map(json.loads, LINES) if "item" in item]
QUOTED = re.compile(r"""\$'(?:[^'\\]|\\.)*'|'[^']*'|"(?:[^"\\$`]|\\.)*"|\\.""")
Place = tuple[str, ...]


def texts(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where texts are; `*` for any place of a list."""
    if isinstance(value, str):
        yield at
    for key, part in value.items() if isinstance(value, dict) else ():
        yield from texts(part, (*at, key))
    for part in value if isinstance(value, list) else ():
        yield from texts(part, (*at, "*"))


def spoilt(value: Any, at: Place) -> Any:
    if not at:
        return value + EVIL if isinstance(value, str) else value
    if isinstance(value, list) and at[0] == "*":
        return [spoilt(part, at[1:]) for part in value]
    if isinstance(value, dict) and at[0] in value:
        return value | {at[0]: spoilt(value[at[0]], at[1:])}
    return value


PLACES = sorted(
    {
        (item["item"], item.get("question", ""), place)
        for item in ITEMS
        if item["item"] in ("answer", "event", "symbol", "gone_state")
        for place in texts(item)
        if place[0] not in ("item", "question", "asked")
    }
)


def commands(file: Path) -> Iterator[str]:
    """Those of every finding, and those that are in a text."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
        main(["replay", str(file), "--json", "--all"])
    for line in map(json.loads, shown.getvalue().splitlines()):
        for fix in line.get("fix", ()):
            yield from [fix["command"]] if fix["command"] else re.findall("`([^`]*)`", fix["text"])


@pytest.mark.parametrize(("item", "question", "place"), PLACES)
def test_no_text_is_more_than_one_word_of_a_command(
    item: str, question: str, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "x.whydrop"
    changed = [
        spoilt(one, place) if (one["item"], one.get("question", "")) == (item, question) else one
        for one in ITEMS
    ]
    file.write_bytes(opening("1") + b"".join(pack(changed)))
    for command in commands(file):
        assert EVIL not in QUOTED.sub("", command), command


RULE = {"kind": "nft-rule", "text": "", "family": "inet", "table": "t", "chain": "c"}


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("nft", "nft -a list ruleset"),
        ("nft", "nft -a list chain inet filter input"),
        ("iptables-legacy", "iptables-legacy -t filter -vnL 'a b'\"'\"'c' --line-numbers"),
        ("iptables-nft", "iptables-nft -t filter -S $'a\\x0ab\\\\' 7"),
        ("ebtables-nft", "ebtables-nft-save"),
    ],
)
def test_a_listing_is_taken_from_a_recording(tool: str, command: str) -> None:
    found = decode({"rule": RULE, "tool": tool, "command": command}, answer_types()["nft_rule"])
    assert (found.tool, found.command) == (tool, command)


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("reboot", "nft -a list ruleset"),
        ("nft", "reboot"),
        ("nft", ""),
        ("nft", "nft -a list ruleset; reboot"),
        ("nft", "nft -a list table inet '; flush ruleset'"),
        ("nft", "nft -a list chain inet t c\nreboot"),
        ("iptables-legacy", "iptables-legacy -t filter -vnL $(reboot) --line-numbers"),
        ("iptables-legacy", "iptables-legacy -t filter -vnL '--modprobe=/tmp/x' --line-numbers"),
        ("iptables-legacy", "iptables-legacy -t filter -vnL $'\\x2d-modprobe=/tmp/x' --line-numbers"),
        ("iptables-legacy", "iptables-legacy -t filter -vnL $'\\055F' --line-numbers"),
    ],
)
def test_what_lists_no_rule_is_not(tool: str, command: str) -> None:
    with pytest.raises(Malformed):
        decode({"rule": RULE, "tool": tool, "command": command}, answer_types()["nft_rule"])
