"""What is said of TCP segments that were sent again."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from dropwatch.model.resent import Lost, Resent
from dropwatch.render.layout import Layout
from dropwatch.render.resent import later, sent_again

A, B = ip_address("10.9.0.1"), ip_address("fd09::2")
LOST = Lost(
    A, 40000, A, 5000, 9, "a", "segment", "netfilter.nft-rule", "nft_do_chain", 7, 10**9, 10**9 + 203 * 10**6
)


def said(**fields: Any) -> str:
    usual = Resent(41, 0, 0, 0, (), (), ("what a network card drops",))
    return " ".join(" ".join(sent_again(replace(usual, **fields), Layout(80))).split())


def test_nothing_is_said_where_nothing_was_sent_again() -> None:
    assert said(segments=0) == ""


def test_this_host_is_innocent_where_all_was_watched() -> None:
    assert said() == (
        "sent again: 41 TCP segments; none of them, nor an ACK of theirs, had died here: this host lost nothing of "
        "them. Not watched: what a network card drops"
    )


def test_it_is_not_where_something_was_not_watched() -> None:
    words = said(not_watched=("3 were first sent before whydrop watched",))
    assert words.startswith(
        "sent again: 41 TCP segments; none of them, nor an ACK of theirs, was seen to die here"
    )
    assert words.endswith("Not watched: 3 were first sent before whydrop watched; what a network card drops")
    assert "lost nothing" not in words
    assert "lost nothing" not in said(unclear=1)


def test_what_died_is_told_by_cause() -> None:
    elsewhere = replace(LOST, cause_id=None, segments=2)
    words = said(lost_here=9, connections=(LOST, elsewhere), failed=4)
    assert words == (
        "sent again: 41 TCP segments; 9 because the one before, or its ACK, had died here (netfilter.nft-rule 7, in "
        "nft_do_chain 2); for the other 32 nothing had died here; 4 did not leave the host this time either. "
        "Not watched: what a network card drops"
    )
    whole = said(segments=9, lost_here=9, connections=(LOST, elsewhere))
    assert "Not watched" not in whole
    assert "other" not in whole
    many = tuple(replace(LOST, cause_id=f"x.{n}") for n in range(6))
    assert "x.3 7, others 14)" in said(lost_here=42, segments=42, connections=many)


def test_a_later_line_says_that_a_segment_was_sent_again() -> None:
    assert later(LOST, Layout(120)) == [
        "  ... sent again 203 ms later: tcp 10.9.0.1:40000 > 10.9.0.1:5000  [netfilter.nft-rule]"
    ]
    of_ack = replace(LOST, died="ack", daddr=B, resent_ns=LOST.death_ns + 3 * 10**9)
    assert later(of_ack, Layout(120)) == [
        "  ... sent again 3.0 s later, for its ACK had died: tcp 10.9.0.1:40000 > [fd09::2]:5000  [netfilter.nft-rule]"
    ]
