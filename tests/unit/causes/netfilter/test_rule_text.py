"""What is read out of the text of a rule, and what is not."""

import time
from collections.abc import Callable

import pytest

from dropwatch.causes.netfilter.rule_text import ReversePath, asks_for_invalid, may_match, reverse_path
from dropwatch.model.drop import Packet


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("ct state invalid drop", "only"),
        ("ct state invalid counter packets 3 bytes 180 drop", "only"),
        ("ct state { invalid } drop", "only"),
        ("ct state invalid,untracked drop", "among"),
        ("ct state { invalid, untracked } drop", "among"),
        ("ct state vmap { invalid : drop, established : accept, related : accept }", "only"),
        ("ct state vmap { invalid : drop, new : drop, established : accept }", "among"),
        ("ct state vmap { invalid : jump bad, established : accept }", None),
        ("ct state != invalid drop", None),
        ("ct state != { invalid, new } drop", None),
        ("ct state new drop", None),
        ('drop comment "ct state invalid"', None),
        ('log prefix "ct state invalid drop" drop', None),
        ('log prefix "a\\" drop comment "ct state invalid now"', None),
        ('log prefix "a\\" ct state invalid drop comment "b"', "only"),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP", "only"),
        ("-A INPUT -m state --state INVALID,NEW -j DROP", "among"),
        ("-A INPUT -m conntrack ! --ctstate INVALID -j DROP", None),
        ("-A INPUT -m conntrack --ctstate NEW -j DROP", None),
        ('-A INPUT -m comment --comment "--ctstate INVALID" -j DROP', None),
        ("-A INPUT -j DROP", None),
    ],
)
def test_invalid(text: str, asks: str | None) -> None:
    assert asks_for_invalid(text) == asks


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("-A PREROUTING -m rpfilter --invert -j DROP", ReversePath(iif=True, mark=False)),
        ("-A PREROUTING -m rpfilter --loose --validmark --invert -j DROP", ReversePath(iif=False, mark=True)),
        ("-A PREROUTING -m rpfilter -j DROP", None),
        ('-A PREROUTING -m comment --comment "-m rpfilter --invert" -j DROP', None),
        ("fib saddr . iif oif missing drop", ReversePath(iif=True, mark=False)),
        ("fib saddr . iif oif 0 drop", ReversePath(iif=True, mark=False)),
        ("fib saddr . iif oif eq 0 drop", ReversePath(iif=True, mark=False)),
        ("meta nfproto ipv6 fib saddr . mark . iif oif missing log drop", ReversePath(iif=True, mark=True)),
        ("fib saddr . iif check missing drop", ReversePath(iif=True, mark=False)),
        ("fib saddr oif missing drop", ReversePath(iif=False, mark=False)),
        ("fib saddr . iif oif exists accept", None),
        ("fib saddr . iif oif != 0 accept", None),
        ("fib daddr . iif oif missing drop", None),
        ("fib daddr type broadcast drop", None),
        ('fib saddr oifname "eth0" drop', None),
        ('drop comment "fib saddr . iif oif missing drop"', None),
    ],
)
def test_reverse_path(text: str, check: ReversePath | None) -> None:
    assert reverse_path(text) == check


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("-A X -j DROP", True),
        ("-A X -s 10.9.0.1/32 -p udp -m udp --dport 5000 -j DROP", True),
        ("-A X -s 10.9.0.0/24 -j DROP", True),
        ("-A X ! -s 10.9.0.0/24 -j DROP", False),
        ("-A X -s 10.8.0.0/24 -j DROP", False),
        ("-A X -d 10.9.0.2 -p tcp -j DROP", False),
        ("-A X ! -p tcp -j DROP", True),
        ("-A X -p udp -m udp --dport 5001 -j DROP", False),
        ("-A X -p udp -m udp --dport 5000:5010 -j DROP", True),
        ("-A X -p udp -m multiport --dports 53,4000:5000 -j DROP", True),
        ("-A X -p udp -m multiport ! --dports 53,5000 -j DROP", False),
        ("-A X -p udp -m udp --sport 40000 -j DROP", True),
        ("-A X -p udp -m udp --sport :1023 -j DROP", False),
        ("-A X -p udp -m udp --dport domain -j DROP", True),
        ('-A X -m comment --comment "it\'s" -j DROP', True),
        ('-A X -m comment --comment "open', True),
        ("-P INPUT DROP", True),
    ],
)
def test_what_a_packet_cannot_match(make_packet: Callable[..., Packet], text: str, fits: bool) -> None:
    assert may_match(text, make_packet()) is fits


def test_a_packet_without_ports_may_match_a_rule_with_ports(make_packet: Callable[..., Packet]) -> None:
    assert may_match("-A X -p udp --dport 53 -j DROP", make_packet(sport=None, dport=None))


@pytest.mark.parametrize(
    "part", ["ct state { ", "ct state vmap { ", 'comment "', '\\"', "fib a . a . ", "--comment "]
)
@pytest.mark.parametrize("start", ["", "-A INPUT "])
def test_a_text_of_somebody_elses_takes_time_as_it_is_long(
    start: str, part: str, make_packet: Callable[..., Packet]
) -> None:
    text = start + part * 50_000
    began = time.process_time()
    asks_for_invalid(text)
    reverse_path(text)
    may_match(text, make_packet())
    assert time.process_time() - began < 5  # of what is looked at anew from each part: minutes
