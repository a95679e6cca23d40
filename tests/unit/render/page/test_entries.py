"""What the page says of a sort: the answer in its words, the rest as a line of the JSON."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from json_lines import check

from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import (
    Decision,
    Difference,
    Drop,
    Evidence,
    Finding,
    Fix,
    MatchResult,
    Packet,
    Process,
)
from dropwatch.model.report import Report
from dropwatch.names.cause_address import cause_url
from dropwatch.render.page import entries
from dropwatch.render.page.clock import Clock
from dropwatch.render.page.cut import LONGEST
from dropwatch.render.page.entries import Entries

Build = Callable[..., Report]
Find = Callable[..., Finding]
RULE = NftRule("udp dport 5000 drop", "inet", "filter", "input", handle=7)
KERNEL, PROBE = Evidence("skb:kfree_skb", "reason NO"), Evidence("probe x", "it said drop", "proof")


def head(report: Report) -> dict[str, Any]:
    return Entries(report, Clock(0)).heads()[0]


def details(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(Entries(report, Clock(0)).details()))
    return found


def test_the_answer(make_report: Build, make_finding: Find) -> None:
    led = Decision("was 10.0.0.1:53 until DNAT", "likely", RULE)
    finding = make_finding(
        culprit=RULE, evidence=(KERNEL, PROBE), owner=Process(7, "nginx"), led_by=(led,), confidence="likely",
        fix=(Fix("look", "nft -a list ruleset"), Fix("or")), match=MatchResult("tunnel", "inside"), count=3,
    )  # fmt: skip
    found = head(make_report(finding))
    assert found["packets"] == 3
    assert found["title"] == f"Probably {finding.title}"
    assert found["kind"] == "nftables rule in inet filter input, handle 7"
    assert found["object"] == "udp dport 5000 drop"
    assert found["proof"] == {"source": "probe x", "text": "it said drop"}
    assert found["fix"] == {"text": "look", "command": "nft -a list ruleset"}
    assert found["led_by"][0]["sure"] == "probably"
    assert found["led_by"][0]["object"] == f"{found['kind']} udp dport 5000 drop"
    assert (found["process"], found["match"]) == ("nginx (pid 7)", "tunnel: inside")
    assert found["packet"] == "udp 10.9.0.1:40000 > 10.9.0.2:5000"


def test_without_any_of_it(make_report: Build, make_finding: Find) -> None:
    found = head(make_report(make_finding(cause_id="unknown", confidence="unknown", evidence=(KERNEL,))))
    assert (found["object"], found["fix"], found["process"]) == ("", None, "")
    assert found["title"].startswith("Cause unknown: ")
    assert found["proof"] == {"source": "skb:kfree_skb", "text": "reason NO"}


def test_the_answer_has_the_same_proof_and_advice_as_the_text(make_report: Build, make_finding: Find) -> None:
    """What weakens a protection is not the first, what differs stands there; the script tells the others."""
    weak, safe = Fix("open it", "nft flush", weakens="all passes"), Fix("look", "nft list")
    finding = make_finding(evidence=(KERNEL, PROBE), fix=(weak, safe))
    found = head(make_report(finding))
    assert found["fix"] == {"text": "look", "command": "nft list"}
    assert found["told"] == {"evidence": 1, "fix": 1}
    differs = Difference("p", "spi 1/2", sides=("packet", "SA"), name="spi", came="1", wanted="2")
    found = head(make_report(make_finding(evidence=(differs,), fix=(weak,))))
    assert (found["differs"], found["proof"]) == ("spi: packet 1, SA 2", None)
    assert found["fix"]["command"] == f"whydrop explain {finding.cause_id}"
    assert found["told"] == {"evidence": -1, "fix": -1}


def test_ports_of_many_clients_are_not_shown(
    make_report: Build, make_finding: Find, make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    found = head(make_report(*(make_finding(make_drop(make_packet(sport=port))) for port in (40000, 40001))))
    assert found["packet"] == "udp 10.9.0.1 > 10.9.0.2:5000"
    assert found["packets"] == 2


def test_the_rest_is_a_line_of_the_json(make_report: Build, make_finding: Find) -> None:
    found = details(make_report(make_finding(culprit=RULE, evidence=(PROBE,))))
    (line,) = found["sorts"]
    check(line)
    assert line["object"]["handle"] == 7
    assert line["layers"] == []
    assert "xfrm_input" in found["words"]


def test_no_character_of_it_ends_an_element(make_report: Build, make_finding: Find) -> None:
    text = str(Entries(make_report(make_finding(title="</script><!-- &amp;")), Clock(0)).details())
    assert not set("<>&") & set(text)
    assert json.loads(text)["sorts"][0]["cause"]["title"] == "</script><!-- &amp;"


def test_what_is_too_long_is_cut_but_never_a_command(make_report: Build, make_finding: Find) -> None:
    name = "x" * (1 << 20)
    finding = make_finding(
        title=name,
        culprit=replace(RULE, text=name, comment=name),
        fix=(Fix(name, f"echo {name}"), Fix("b", "ls")),
    )
    found = head(make_report(finding))
    assert len(found["title"]) < LONGEST + 50
    assert found["fix"]["command"] is None
    (line,) = details(make_report(finding))["sorts"]
    assert [fix["command"] for fix in line["fix"]] == [None, "ls"]
    assert len(json.dumps(line)) < 10 * LONGEST


def test_the_details_of_many_have_a_bound(
    make_report: Build, make_finding: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_MOST_BYTES", 1)
    found = details(make_report(make_finding(), make_finding(cause_id="unknown")))
    assert [line is None for line in found["sorts"]] == [False, True]


def test_the_page_of_the_cause(
    make_report: Build, make_finding: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause_url.cache_clear()
    monkeypatch.setenv("WHYDROP_CAUSE_URL", "https://docs.example/{id}")
    found = head(make_report(make_finding()))
    cause_url.cache_clear()
    assert found["url"] == "https://docs.example/ipsec.auth-failed"
