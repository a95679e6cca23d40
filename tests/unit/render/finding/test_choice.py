"""What is told first: what settles it, what differs, and a fix that does not weaken anything."""

from collections.abc import Callable

import pytest

from dropwatch.model.culprits import XfrmPolicy
from dropwatch.model.drop import Difference, Evidence, Finding, Fix, Sketch
from dropwatch.render.finding import choice

Make = Callable[..., Finding]
KERNEL = Evidence("skb:kfree_skb reason X", "dropped, in foo", "kernel")
SPI = Difference(
    "packet / SA", "spi 1 / 2", "proof", sides=("packet", "SA"), name="spi", came="1", wanted="2"
)
DPORT = Difference(
    "packet / policy", "dport 5 / 6", "proof", sides=("packet", "policy"), name="dport", came="5", wanted="6"
)
FACT = Evidence("probe x", "it was so")


@pytest.mark.parametrize(
    ("title", "confidence", "said"),
    [
        ("no route back", "certain", "No route back"),
        ("no route back", "likely", "Probably no route back"),
        ("garbage: probably another key", "likely", "Garbage: probably another key"),
        ("dropped by netfilter", "unknown", "Cause unknown: dropped by netfilter"),
        ("iptables drops it", "certain", "iptables drops it"),
    ],
)
def test_the_confidence_is_seen(title: str, confidence: str, said: str, make_finding: Make) -> None:
    assert choice.headline(make_finding(title=title, confidence=confidence)) == said


@pytest.mark.parametrize(
    ("evidence", "proof"),
    [
        ((FACT, KERNEL), FACT),
        ((KERNEL,), KERNEL),
        ((KERNEL, FACT), KERNEL),
        ((FACT, Evidence("b", "settles", "proof"), KERNEL), Evidence("b", "settles")),
        ((FACT, SPI, KERNEL), None),
        ((FACT, SPI, Evidence("b", "settles", "proof")), Evidence("b", "settles")),
        ((), None),
    ],
)
def test_the_one_proof(evidence: tuple[Evidence, ...], proof: Evidence | None, make_finding: Make) -> None:
    assert choice.proof(make_finding(evidence=evidence)) == proof


def test_what_differs(make_finding: Make) -> None:
    policy = XfrmPolicy("src a", "in", "allow")
    assert choice.differences(make_finding(evidence=(FACT, SPI, DPORT))) == "spi: packet 1, SA 2"
    assert choice.differences(make_finding(evidence=(DPORT,))) == "dport: packet 5, nearest policy 6"
    assert choice.differences(make_finding(evidence=(DPORT,), culprit=policy)) == "dport: packet 5, policy 6"
    assert choice.differences(make_finding(evidence=(SPI, Evidence("b", "it", "proof")))) == ""


WEAK, SAFE = Fix("open it", "nft flush", weakens="all passes"), Fix("look", "nft list")
GONE = Fix("look: `nft list`, in a namespace that is gone", sketch=Sketch("look", "nft list"))


@pytest.mark.parametrize(
    ("fixes", "first"),
    [
        ((WEAK, SAFE), SAFE),
        ((SAFE, WEAK), SAFE),
        ((GONE, SAFE), SAFE),
        ((GONE, WEAK), GONE),
        ((Fix("say so"), SAFE), Fix("say so")),
        ((), None),
    ],
)
def test_the_one_fix(fixes: tuple[Fix, ...], first: Fix | None, make_finding: Make) -> None:
    assert choice.first_fix(make_finding(fix=fixes)) == first


@pytest.mark.parametrize(
    ("fix", "parts"),
    [(SAFE, ("look", "nft list")), (GONE, ("look", "nft list")), (Fix("say"), ("say", None))],
)
def test_a_command_in_a_sentence_is_taken_out_of_it(fix: Fix, parts: tuple[str, str | None]) -> None:
    assert choice.fix_parts(fix) == parts


def test_where_all_weakens_the_page_is_shown(make_finding: Make) -> None:
    fix = choice.first_fix(make_finding(cause_id="ipv6.message-refused", fix=(WEAK,)))
    assert fix is not None
    assert fix.command == "whydrop explain ipv6.message-refused"
    assert "open it" not in fix.text


def test_the_proof_does_not_say_the_object_again(make_finding: Make) -> None:
    finding = make_finding(culprit=XfrmPolicy("src a", "in", "allow"))
    assert choice.proof_text(Evidence("x", "deleted before: src a"), finding) == "deleted before"
    assert choice.proof_text(Evidence("x", "deleted before"), finding) == "deleted before"
