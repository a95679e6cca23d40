"""The schema of the JSON: it is one, it stands in docs/ as it is, and it says what is wrong with a line."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from json_lines import check
from jsonschema import Draft202012Validator

from dropwatch.cli.main import main
from dropwatch.model.culprits import Culprit
from dropwatch.render.lines.page import page
from dropwatch.render.lines.schema import LINES, schema

DOCS = Path(__file__).parents[4] / "docs"
LINE: dict[str, Any] = {
    "type": "end", "schema": 1, "drops_seen": 1, "seen_by": {"kfree_skb": 1}, "drops_matched": 1, "drops_reported": 1,
    "events_lost": None, "lost_by": None, "suppressed": {}, "blind_spots": [],
}  # fmt: skip


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == "urn:whydrop:schema:1"


def test_every_key_and_every_object_is_described() -> None:
    for name, node in schema()["$defs"].items():
        assert node["description"], name
        for key, value in node["properties"].items():
            assert "const" in value or value["description"], f"{name}.{key}"


def test_type_and_kind_tell_what_an_object_is() -> None:
    found = schema()["$defs"]
    assert [found[line.__name__]["properties"]["type"]["const"] for line in LINES] == [
        "drop", "end", "summary", "journey", "change", "difference", "died", "window", "check",
        "function",
    ]  # fmt: skip
    kinds = [found[one.__name__]["properties"]["kind"]["const"] for one in get_args(Culprit)]
    assert kinds == [one.kind for one in get_args(Culprit)]
    assert len(set(kinds)) == len(kinds) > 5


def test_the_command_prints_what_stands_in_docs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    told = capsys.readouterr().out
    assert told == (DOCS / "schema.json").read_text(encoding="utf-8"), "run make docs"
    assert json.loads(told) == schema()


def test_the_page_in_docs_is_the_one_of_the_types() -> None:
    assert page() == (DOCS / "json.md").read_text(encoding="utf-8"), "run make docs"


def with_change(change: dict[str, Any]) -> dict[str, Any]:
    return deepcopy(LINE) | change


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"drops_seen": "1"},
        {"drops_matched": None},
        {"seen_by": {"kfree_skb": None}},
        {"blind_spots": [1]},
        {"journeys": None},
        {"another": 1},
    ],
)
def test_what_is_not_as_promised_is_found(change: dict[str, Any]) -> None:
    check(LINE)
    with pytest.raises(AssertionError):
        check(with_change(change))


def test_a_key_that_is_missing_is_found() -> None:
    with pytest.raises(AssertionError):
        check({key: value for key, value in LINE.items() if key != "lost_by"})


def test_a_reader_of_today_takes_the_keys_of_tomorrow() -> None:
    Draft202012Validator(schema()).validate(with_change({"another": 1}))
