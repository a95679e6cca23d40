"""`--listen` as it was typed."""

import pytest

from dropwatch.cli.main import main
from dropwatch.errors import WrongUsage
from dropwatch.watch.address import address


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("127.0.0.1:9720", "127.0.0.1:9720"),
        ("9720", "127.0.0.1:9720"),
        ("0.0.0.0:1", "0.0.0.0:1"),
        ("[::1]:65535", "[::1]:65535"),
        ("[::]:9720", "[::]:9720"),
    ],
)
def test_addresses(text: str, means: str) -> None:
    assert str(address(text)) == means


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":9720", "localhost:9720", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0"),
        *("127.0.0.1:65536", "127.0.0.1:٩", "-1", "::1:9720", "[::1]", "[127.0.0.1]:9720", "[[::1]]:9720"),
        *("127.0.0.1:9720\n", "/run/x:9720", "127.1:9720"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(WrongUsage, match="--listen"):
        address(text)


def test_it_is_told_in_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--listen", "localhost:9720"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 2)
    assert "'localhost' is no IP address" in err
