"""The hex dump: every byte in its own column, each header on lines of its own."""

from dropwatch.model.header import Header
from dropwatch.render.finding.hexdump import hexdump
from dropwatch.render.layout import Layout

HEADERS = (Header("IPv4", 0, 20), Header("UDP", 20, 8), Header("data", 28, 6, is_data=True))
DATA = bytes(range(0x41, 0x41 + 28)) + b"\x00 ~\x7f\xff."


def test_headers_are_marked_off_and_columns_kept() -> None:
    assert list(hexdump(DATA, HEADERS, Layout(80))) == [
        "  IPv4",
        "  0000  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  ABCDEFGHIJKLMNOP",
        "  0010  51 52 53 54                                       QRST",
        "  UDP",
        "  0014              55 56 57 58  59 5a 5b 5c                  UVWXYZ[\\",
        "  data",
        "  001c                                       00 20 7e 7f              . ~.",
        "  0020  ff 2e                                             ..",
    ]


def test_a_narrow_terminal_has_eight_bytes_a_line() -> None:
    lines = list(hexdump(DATA, HEADERS, Layout(60)))
    assert lines[1] == "  0000  41 42 43 44  45 46 47 48  ABCDEFGH"
    assert max(map(len, lines)) <= 60


def test_without_headers_the_bytes_are_there_all_the_same() -> None:
    assert next(hexdump(b"AB", (), Layout(80))).startswith("  0000  41 42")
    assert list(hexdump(b"", (), Layout(80))) == []


def test_no_byte_reaches_the_terminal_as_it_is() -> None:
    text = "".join(hexdump(bytes(range(256)), (Header("data", 0, 256),), Layout(80)))
    assert text.isascii()
    assert text.isprintable()
