"""Where the stages meet: what becomes a finding, what is counted as harmless, what could not be matched."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.cause import Cause
from dropwatch.match.ipsec import TooManyPolicies
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Event, Evidence, Finding, Fix, MatchResult, Packet, Process, Verdict
from dropwatch.model.filter import Filter, Owner
from dropwatch.recording.listener import Listener
from dropwatch.run import pipeline as pipeline_module
from dropwatch.run.options import Options
from dropwatch.run.pipeline import IpsecMatching, Pipeline, Stages
from tests.unit.told_host import ToldHost

DIRECT = MatchResult("direct")
KNOWN = Cause("ipsec.auth-failed", "authentication failed", "why", "confirm", (Fix("compare the keys"),))
HARMLESS = Cause("benign.socket-close", "the socket closed", "why", "confirm", ())
CERTAIN = Verdict("certain", NftRule("a rule", "ip", "filter"), (Evidence("probe x", "y"),))
UNKNOWN = Verdict("unknown", title="the kernel gave no reason")


Judge = Callable[..., tuple[Any, Pipeline]]  # the finding, None where there is none


@pytest.fixture
def judge(make_event: Callable[..., Event], make_drop: Callable[..., Drop]) -> Judge:
    """Judges one event; gives the finding and the judgement that keeps the counts."""

    def run(
        cause: Cause | None = KNOWN,
        verdict: Verdict = CERTAIN,
        match: MatchResult | None = DIRECT,
        events: int = 1,
        **options: Any,
    ) -> tuple[Finding | None, Pipeline]:
        stages = Stages(
            enrich=lambda event: make_drop(), match=lambda drop: match, diagnose=lambda drop: (cause, verdict)
        )
        judgement = Pipeline(stages, Options(**options), Listener(), IpsecMatching(ToldHost()))
        found = [judgement.finding(make_event()) for _ in range(events)]
        return found[0], judgement

    return run


def test_a_finding_has_the_words_of_the_cause_and_the_facts_of_the_verdict(
    judge: Judge, make_drop: Callable[..., Drop]
) -> None:
    finding, judgement = judge(match=MatchResult("ipsec", "because"))
    assert finding.drop == make_drop()
    assert (finding.cause_id, finding.title, finding.confidence) == (KNOWN.id, KNOWN.title, "certain")
    assert (finding.match.why, finding.culprit, finding.evidence) == (
        "because",
        CERTAIN.culprit,
        CERTAIN.evidence,
    )
    assert finding.fix == KNOWN.fix
    assert (judgement.matched, judgement.suppressed) == (1, {})


def test_what_the_verdict_says_better_comes_first(judge: Judge) -> None:
    better = Verdict("likely", title="better", fix=(Fix("do this"),))
    finding, _ = judge(verdict=better)
    assert (finding.title, finding.fix, finding.confidence) == ("better", better.fix, "likely")


def test_the_unknown_is_a_finding_too(judge: Judge) -> None:
    finding, judgement = judge(None, UNKNOWN)
    assert (finding.cause_id, finding.title, finding.confidence) == (
        "unknown",
        "the kernel gave no reason",
        "unknown",
    )
    assert judgement.matched == 1


def test_what_does_not_match_is_not_judged_and_not_counted(judge: Judge) -> None:
    def forbidden(drop: Drop) -> None:
        raise AssertionError("a drop that does not match was judged")

    finding, judgement = judge(match=None, verdict=forbidden)
    assert finding is None
    assert (judgement.matched, judgement.suppressed) == (0, {})


def test_the_harmless_is_counted_and_shown_only_on_request(judge: Judge) -> None:
    finding, judgement = judge(HARMLESS, Verdict("certain"), events=13)
    assert finding is None
    assert (judgement.matched, judgement.suppressed) == (0, {"benign.socket-close": 13})
    finding, judgement = judge(HARMLESS, Verdict("certain"), all_drops=True)
    assert finding.cause_id == "benign.socket-close"
    assert (judgement.matched, judgement.suppressed) == (1, {})
    finding, _ = judge(HARMLESS, Verdict("certain"), wanted=Filter(causes=frozenset({"benign.socket-close"})))
    assert finding.cause_id == "benign.socket-close"


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Filter(causes=frozenset({"ipsec.auth-failed"})), {"ipsec.auth-failed"}),
        (Filter(causes=frozenset({"ipsec.auth-failed", "unknown"})), {"ipsec.auth-failed", "unknown"}),
        (Filter(not_causes=frozenset({"unknown"})), {"ipsec.auth-failed"}),
        (Filter(not_causes=frozenset({"ipsec.auth-failed"})), {"unknown"}),
        (Filter(causes=frozenset({"ipsec.no-state"})), set()),
    ],
)
def test_the_filter_by_cause(wanted: Filter, shown: set[str], judge: Judge) -> None:
    found = {}
    for cause, verdict in ((KNOWN, CERTAIN), (None, UNKNOWN)):
        finding, judgement = judge(cause, verdict, wanted=wanted)
        assert judgement.matched == (finding is not None)
        if finding is not None:
            found[finding.cause_id] = finding
    assert found.keys() == shown


def test_the_harmless_that_the_filter_excludes_is_not_counted_as_suppressed(judge: Judge) -> None:
    _, judgement = judge(HARMLESS, Verdict("certain"), wanted=Filter(causes=frozenset({"unknown"})))
    assert judgement.suppressed == {}


def test_an_ipsec_packet_of_a_namespace_that_is_gone_is_a_blind_spot(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    matching = IpsecMatching(ToldHost())
    wanted = Filter(dport=((5000, 5000),))
    esp = make_packet(proto="esp", sport=None, dport=None, spi=0x1001)
    for netns, count in ((4026532234, 3), (4026532999, 1)):
        for _ in range(count):
            assert matching(make_drop(esp, make_event(netns=netns)), wanted) is None
    first, second = matching.blind_spots
    assert "3 IPsec packets in network namespace 4026532234 could not be matched" in first
    assert "1 IPsec packet in network namespace 4026532999" in second


def test_of_many_such_namespaces_the_first_are_named(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> None:
    matching, esp = IpsecMatching(ToldHost()), make_packet(proto="esp", sport=None, dport=None, spi=0x1001)
    for netns in range(7, 1007):
        matching(make_drop(esp, make_event(netns=netns)), Filter(dport=((5000, 5000),)))
    assert len(matching.blind_spots) == 17
    assert matching.blind_spots[-1].startswith("984 IPsec packets in other network namespaces could not be")


def test_what_would_take_too_long_to_match_is_a_blind_spot(
    monkeypatch: pytest.MonkeyPatch, make_drop: Callable[..., Drop]
) -> None:
    def match(*_: object) -> None:
        raise TooManyPolicies

    monkeypatch.setattr(pipeline_module, "match_ipsec", match)
    matching = IpsecMatching(ToldHost())
    assert matching(make_drop(), Filter()) is None
    assert matching.blind_spots == (
        "1 IPsec packet in network namespace 4026532234 could not be matched with the filter: "
        "it would take too long to find out which of its policies comes first",
    )


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(owner=Owner(comms=frozenset({"nginx"}))), True),
        (Filter(owner=Owner(comms=frozenset({"sshd"}))), False),
        (Filter(but=Filter(owner=Owner(pids=frozenset({812})))), False),
        (Filter(but=Filter(owner=Owner(pids=frozenset({813})))), True),
        (Filter(owner=Owner(units=frozenset({"nginx.service"}))), False),
    ],
)
def test_whose_packet_it_is_decides_when_the_judges_know_it(judge: Judge, wanted: Filter, fits: bool) -> None:
    """The last: its process has ended, and no control group is known of it."""
    finding, judgement = judge(verdict=replace(CERTAIN, owner=Process(812, "nginx")), wanted=wanted)
    assert (finding is not None) is fits
    assert judgement.matched == int(fits)
    unowned, _ = judge(wanted=wanted)
    assert (unowned is not None) is (wanted.owner is None)
