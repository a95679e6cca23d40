"""Where events go, as it is typed, and the file with a token."""

import os
from pathlib import Path

import pytest

from dropwatch.cli.main import main
from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.watch.collector import Collector, collector


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    path = tmp_path / "headers"
    path.write_text("# for the collector\nAuthorization: Bearer a:b\n\nX-Scope:  7 \n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("url", "found", "shown"),
    [
        (
            "http://127.0.0.1:4318",
            Collector(False, "127.0.0.1", 4318, "/v1/logs"),
            "http://127.0.0.1:4318/v1/logs",
        ),
        ("https://c.example/", Collector(True, "c.example", None, "/v1/logs"), "https://c.example/v1/logs"),
        ("https://[::1]:1/otlp", Collector(True, "::1", 1, "/otlp"), "https://[::1]:1/otlp"),
        ("http://c/a/?key=x", Collector(False, "c", None, "/a/?key=x"), "http://c/a/"),
        ("http://c?key=x", Collector(False, "c", None, "/v1/logs?key=x"), "http://c/v1/logs"),
    ],
)
def test_an_address_as_it_is_typed(url: str, found: Collector, shown: str) -> None:
    assert collector(url, None) == found
    assert str(found) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:4318",
        "c.example",
        "ftp://c/",
        "grpc://c:4317",
        "http://",
        "http://:4318",
        "http://c:0",
        "http://c:99999",
        "http://c:x",
        "http://[::1",
        "http://a..b/",
        f"http://{'a' * 64}/",
        "http://c/a b",
        "http://c/\r\nX: y",
        "http://c/\x00",
        "http://ä/",
    ],
)
def test_what_is_no_address_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--otlp", url]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_password_has_no_place_in_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--otlp", "https://user:secret@c.example"]) == 2
    err = capsys.readouterr().err
    assert "secret" not in err
    assert "--otlp-headers" in err


def test_headers_are_read_from_a_file(headers: Path) -> None:
    found = collector("http://c", headers).headers
    assert found == (("Authorization", "Bearer a:b"), ("X-Scope", "7"))


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(mode: int, headers: Path) -> None:
    headers.chmod(mode)
    with pytest.raises(WrongUsage, match="others may"):
        collector("http://c", headers)


def test_what_is_no_file_of_headers_is_refused(headers: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (tmp_path, pipe):
        with pytest.raises(WrongUsage, match="no plain file"):
            collector("http://c", path)
    with pytest.raises(WhydropError, match="No such file"):
        collector("http://c", tmp_path / "none")
    headers.write_bytes(b"x" * (1 << 17))
    with pytest.raises(WrongUsage, match="too large"):
        collector("http://c", headers)


@pytest.mark.parametrize(
    "line", ["Authorization", ": x", "A B: x", "A\x00: x", "A: x\x00", "A: \u00e4", "A: x\x1b[31m"]
)
def test_a_line_that_is_no_header_is_refused_and_not_shown(line: str, headers: Path) -> None:
    headers.write_text(f"X-First: secret\n{line}\n")
    with pytest.raises(WrongUsage, match="line 2 is not Name: value") as error:
        collector("http://c", headers)
    assert line not in error.value.message


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding"])
def test_headers_that_frame_the_request_are_whydrops_own(name: str, headers: Path) -> None:
    headers.write_text(f"{name}: 5\n")
    with pytest.raises(WrongUsage, match="whydrop's own"):
        collector("http://c", headers)


def test_headers_without_a_collector(headers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--otlp-headers", str(headers)]) == 2
    assert "--otlp URL" in capsys.readouterr().err
