"""The last words of a run in text mode."""

from dropwatch.model.drop import Totals
from dropwatch.render.closing import closing, not_seen
from dropwatch.render.layout import Layout

LAYOUT = Layout(200)


def test_the_closing_says_what_the_end_object_says() -> None:
    totals = Totals(
        seen_by={"tcp_conn_request": 3, "kfree_skb": 117},
        matched=25,
        reported=23,
        lost={"ring buffer full": 4, "interrupted probe": 1},
        suppressed={"benign.unix-socket": 5, "benign.socket-close": 12},
        blind_spots=("probe nft_immediate_eval: not attached: \x1b[2J",),
    )
    assert closing(totals, LAYOUT).splitlines() == [
        "whydrop: 25 dropped packets matched, 23 shown; 120 drops seen in all (kfree_skb 117, tcp_conn_request 3)",
        "  lost: 5 events lost on the way to whydrop, counted but not shown: ring buffer full 4, interrupted probe 1",
        "  harmless, not shown without --all: benign.socket-close 12, benign.unix-socket 5",
        "  not seen: probe nft_immediate_eval: not attached: \\x1b[2J",
    ]


def test_what_did_not_happen_is_not_mentioned() -> None:
    totals = Totals({"kfree_skb": 1}, 1, 1, {}, {}, ())
    assert closing(totals, LAYOUT) == "whydrop: 1 dropped packet matched; 1 drop seen in all (kfree_skb 1)\n"


def test_what_the_opening_said_is_not_said_again_but_not_forgotten() -> None:
    totals = Totals({"kfree_skb": 0}, 0, 0, {}, {}, ("probe a: not attached", "3 IPsec packets: no policies"))
    assert closing(totals, LAYOUT, told=("probe a: not attached",)).splitlines()[1:] == [
        "  not seen: 3 IPsec packets: no policies",
        "  not seen: what the first lines say (1 blind spot)",
    ]


def test_probes_that_are_missing_for_one_reason_are_one_sentence() -> None:
    missing = [f"probe p{n}: not attached: no kprobes" for n in range(7)]
    spots = (*missing[:5], "drop reason X: none", *missing[5:], "probe q: not attached: refused")
    assert not_seen(spots, LAYOUT) == [
        "  not seen: probes p0, p1, p2, p3 and 3 more: not attached: no kprobes",
        "  not seen: drop reason X: none",
        "  not seen: probe q: not attached: refused",
    ]
