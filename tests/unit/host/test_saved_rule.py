"""Rules as iptables and its sisters write them."""

import subprocess

import pytest

from dropwatch.host.saved_rule import words_of
from tests.unit.causes.throwaway import namespace


def test_quotes_and_what_is_escaped_between_them() -> None:
    text = r"""-A INPUT -i a;b -m comment --comment "it\'s \"q\" \\ $(b)" -j DROP"""
    said = 'it\'s "q" \\ $(b)'
    assert words_of(text) == ["-A", "INPUT", "-i", "a;b", "-m", "comment", "--comment", said, "-j", "DROP"]


def test_what_is_no_rule() -> None:
    with pytest.raises(ValueError, match="quotation"):
        words_of('-A INPUT --comment "half')


@pytest.mark.parametrize(
    "comment", ["it's", 'a "b" c', "back\\slash \\' \\", "$(reboot) `x`", "-D", "two\nlines"]
)
def test_the_tool_takes_the_words_back(comment: str) -> None:
    with namespace("") as enter:
        iptables = [*enter, "iptables-legacy"]
        rule = ["INPUT", "-p", "udp", "-m", "comment", "--comment", comment, "-j", "DROP"]
        subprocess.run([*iptables, "-A", *rule], check=True)
        listed = subprocess.run([*iptables, "-S", "INPUT"], check=True, capture_output=True, text=True).stdout
        words = words_of(listed.removeprefix("-P INPUT ACCEPT\n"))
        subprocess.run([*iptables, "-D", *words[1:]], check=True)
