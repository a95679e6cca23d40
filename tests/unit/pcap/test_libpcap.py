"""libpcap compiles what it accepts; what it refuses is told in its own words, and what is no text never reaches it."""

import ctypes

import pytest

from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.model.expression import All, Fact
from dropwatch.pcap import libpcap
from dropwatch.pcap.libpcap import MOST_BYTES, compile_expression


def test_an_expression_is_compiled_and_understood() -> None:
    found = compile_expression("udp port 5000")
    assert found.text == "udp port 5000"
    assert len(found.program) > 5
    assert isinstance(found.tree, All)
    assert Fact(protos=frozenset({17})) in found.tree.parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("udp port", "expression 'udp port': can't parse filter expression: syntax error"),
        ("host 300.1.1.1", "expression 'host 300.1.1.1': invalid IPv4 address '300.1.1.1'"),
        ("ip and ip6", "expression 'ip and ip6': expression rejects all packets"),
        ("", "the expression is empty"),
        (" \t\n", "the expression is empty"),
        ("-udp", "expression '-udp': it begins with `-`"),
        ("udp\0port", "the expression has a NUL byte"),
        ("host \udcff", "the expression has bytes that are no UTF-8 text"),
        ("udp " * 2560, f"the expression is too long: 10240 bytes, {MOST_BYTES} at most"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        compile_expression(text)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(("text", "meant"), [("10.9.0.1", "host 10.9.0.1"), ("fd09::/64", "net fd09::/64")])
def test_an_address_wants_a_word_before_it(text: str, meant: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        compile_expression(text)
    assert caught.value.hint == f"did you mean '{meant}'?"


def test_an_expression_whose_program_is_too_large_is_refused() -> None:
    text = "host " + " or ".join(f"::{number:x}" for number in range(500))
    with pytest.raises(WrongUsage, match=r"too large: \d+ instructions, 4096 at most"):
        compile_expression(text)


def test_without_libpcap_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    libpcap._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    try:
        with pytest.raises(CannotRunHere, match="needs libpcap") as caught:
            compile_expression("udp")
    finally:
        libpcap._library.cache_clear()
    assert "libpcap0.8" in caught.value.hint
