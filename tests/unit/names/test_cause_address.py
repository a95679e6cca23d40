"""Where pages of causes are is what the environment says, and nothing without it."""

from collections.abc import Iterator

import pytest

from dropwatch.errors import WrongUsage
from dropwatch.names.cause_address import VARIABLE, cause_url, refuse_bad_address

ADDRESS = "https://docs.example/causes/{id}.html"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cause_url.cache_clear()
    yield
    cause_url.cache_clear()


@pytest.mark.parametrize("value", [None, ""])
def test_without_an_address_there_is_none(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    refuse_bad_address()
    assert cause_url("ipsec.auth-failed") is None


def test_the_name_stands_where_the_address_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, ADDRESS)
    refuse_bad_address()
    assert cause_url("ipsec.auth-failed") == "https://docs.example/causes/ipsec.auth-failed.html"
    assert cause_url("unknown") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "docs.example/{id}",
        "https://docs.example/causes/",
        "javascript:alert('{id}')",
        "https://x/ {id}",
        "https://x/{id}\n",
        "https:///{id}",
        "https://x/{id}\x1b[2J",
    ],
)
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, wrong)
    with pytest.raises(WrongUsage) as raised:
        refuse_bad_address()
    assert VARIABLE in raised.value.message
    assert ADDRESS in raised.value.hint


@pytest.mark.parametrize(
    "right", ["file:///srv/site/causes/{id}.html", "http://[fd00::1]:8080/{id}", ADDRESS + "#top"]
)
def test_what_is_one_is_taken(right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, right)
    refuse_bad_address()
