"""An end of a socket, as ss prints it."""

from ipaddress import ip_address

import pytest

from dropwatch.causes.socket.words import end


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [
        (None, None, "*:*"),
        ("10.9.0.2", 53, "10.9.0.2:53"),
        ("fd09::2", 53, "[fd09::2]:53"),
        ("::", 53, "[::]:53"),
        ("::ffff:10.9.0.2", 53, "[::ffff:10.9.0.2]:53"),
    ],
)
def test_an_end(address: str | None, port: int | None, text: str) -> None:
    assert end(ip_address(address) if address is not None else None, port) == text
