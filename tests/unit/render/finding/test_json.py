"""The JSON is a promise: these keys, always present, nothing guessed."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.model.culprits import XfrmState
from dropwatch.model.drop import (
    Drop,
    Evidence,
    Finding,
    Fix,
    Frame,
    MatchResult,
    Netns,
    Packet,
    Process,
    Totals,
    Where,
)
from dropwatch.names.cause_address import cause_url
from dropwatch.render.finding.json import JsonRenderer

SA = XfrmState("src 10.9.0.1 ...", "0x00001001", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid")

PROMISED = {
    "type", "schema", "time", "monotonic_ns", "match", "packet", "iface", "netns", "where", "source", "reason",
    "cause", "object", "evidence", "fix", "stack", "process",
}  # fmt: skip
PROMISED_OF_PACKET = {
    "family", "proto", "saddr", "daddr", "sport", "dport", "length", "mark", "spi", "seq",
}  # fmt: skip


def read(text: str) -> Any:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert text.isascii()
    return json.loads(text)


def test_a_finding_is_the_object_of_the_contract(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    packet = make_packet(proto="esp", sport=None, dport=None, spi=0x1001, seq=7, length=72)
    finding = make_finding(
        make_drop(packet, reason="NOT_SPECIFIED", process=Process(812, "nginx")),
        match=MatchResult("ipsec", "a policy covers it"),
        culprit=SA,
        evidence=(Evidence("probe xfrm_audit_state_icvfail", "SPI 0x00001001"),),
        fix=(Fix("compare the keys", "ip xfrm state"), Fix("ask the peer")),
    )
    found = read(JsonRenderer().finding(finding, 0.0))
    assert found["packet"] | {
        "family": 4, "proto": "esp", "saddr": "10.9.0.1", "daddr": "10.9.0.2", "sport": None, "dport": None,
        "length": 72, "mark": 0, "spi": "0x00001001", "seq": 7,
    } == found["packet"]  # fmt: skip
    expected = {
        "type": "drop",
        "schema": 1,
        "time": "2026-11-20T20:15:01.123456Z",
        "monotonic_ns": 83521935614,
        "match": "ipsec",
        "match_why": "a policy covers it",
        "iface": {"index": 2, "name": "vb"},
        "netns": {"inode": 4026532234, "name": "b"},
        "where": {
            "function": "xfrm_input",
            "offset": 479,
            "module": None,
            "layer": "ipsec",
            "direction": "in",
        },
        "source": "kfree_skb",
        "reason": "NOT_SPECIFIED",
        "cause": {
            "id": "ipsec.auth-failed",
            "title": "authentication failed",
            "confidence": "certain",
            "url": None,
        },
        "object": {
            "kind": "xfrm-state",
            "text": "src 10.9.0.1 ...",
            "spi": "0x00001001",
            "saddr": "10.9.0.1",
            "daddr": "10.9.0.2",
            "proto": "esp",
            "mode": "tunnel",
            "reqid": 1,
            "if_id": 0,
            "mark": 0,
            "mark_mask": 0,
            "state": "valid",
        },
        "evidence": [{"source": "probe xfrm_audit_state_icvfail", "text": "SPI 0x00001001"}],
        "fix": [
            {"text": "compare the keys", "command": "ip xfrm state"},
            {"text": "ask the peer", "command": None},
        ],
        "stack": [
            {"function": "xfrm_input", "offset": 479, "module": None},
            {"function": "xfrm4_esp_rcv", "offset": 58, "module": None},
        ],
        "process": {"pid": 812, "comm": "nginx", "unit": None, "container": None, "pod": None},
    }
    assert {key: found[key] for key in expected} == expected


def test_whose_namespace_it_is(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    tenant = Process(None, None, container="3f" * 32, container_name="web")
    drop = make_drop(make_packet(), netns=Netns(8, "pid 812 (nginx)", tenant), process=None)
    found = read(JsonRenderer().finding(make_finding(drop), 0.0))
    told = {"container": "3f" * 32, "container_name": "web"}
    assert found["netns"] == {"inode": 8, "name": "pid 812 (nginx)", "tenant": told}
    assert found["process"] is None


def test_what_is_not_known_is_null_or_empty_and_present(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = make_drop(
        make_packet(family=None, proto=None, saddr=None, daddr=None, sport=None, dport=None),
        iface=None, netns=None, stack=(), where=Where(Frame(None, 0, None, 0xFFFF), None, None),
    )  # fmt: skip
    found = read(JsonRenderer().finding(make_finding(drop, cause_id="unknown", confidence="unknown"), 0.0))
    assert found.keys() >= PROMISED
    assert found["packet"].keys() >= PROMISED_OF_PACKET
    nulls = {key for key in PROMISED if found[key] is None}
    assert nulls == {"iface", "netns", "reason", "object", "process"}
    assert {key for key in PROMISED_OF_PACKET if found["packet"][key] is None} == PROMISED_OF_PACKET - {
        "length",
        "mark",
    }
    assert found["where"] == {
        "function": None, "offset": None, "module": None, "address": "0xffff", "layer": None, "direction": None,
    }  # fmt: skip
    assert (found["evidence"], found["fix"], found["stack"]) == ([], [], [])


def test_addresses_of_both_families_are_text(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    packet = make_packet(family=6, saddr="fd00::1", daddr="fd00::2")
    found = read(JsonRenderer().finding(make_finding(make_drop(packet)), 0.0))["packet"]
    assert (found["saddr"], found["daddr"]) == ("fd00::1", "fd00::2")


@pytest.mark.parametrize("text", ['"quoted"\n', "\x1b[2J", "größe"])
def test_any_text_stays_one_line_of_json(text: str, make_finding: Callable[..., Finding]) -> None:
    assert read(JsonRenderer().finding(make_finding(title=text), 0.0))["cause"]["title"] == text


def test_half_a_character_is_spelt_out(make_finding: Callable[..., Finding]) -> None:
    assert read(JsonRenderer().finding(make_finding(title="\udc80"), 0.0))["cause"]["title"] == "\\udc80"


def test_every_packet_is_told_nothing_is_folded(
    make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]
) -> None:
    renderer = JsonRenderer()
    finding = make_finding()
    later = make_finding(replace(make_drop(), time=finding.drop.time + 1e-6))
    assert [read(renderer.finding(one, 0.0))["time"] for one in (finding, finding, later)] == [
        "2026-11-20T20:15:01.123456Z",
        "2026-11-20T20:15:01.123456Z",
        "2026-11-20T20:15:01.123457Z",
    ]
    assert renderer.tick(100.0) == ""


def test_the_last_line_says_what_the_run_amounted_to() -> None:
    totals = Totals(
        seen_by={"kfree_skb": 117, "tcp_conn_request": 3},
        matched=25,
        reported=23,
        lost={"ring buffer full": 4, "interrupted probe": 1},
        suppressed={"benign.socket-close": 12},
        blind_spots=("probe nft_immediate_eval: not attached: ...",),
    )
    assert read(JsonRenderer().end(totals, 0.0)) == {
        "type": "end",
        "schema": 1,
        "drops_seen": 120,
        "seen_by": {"kfree_skb": 117, "tcp_conn_request": 3},
        "drops_matched": 25,
        "drops_reported": 23,
        "events_lost": 5,
        "lost_by": {"ring buffer full": 4, "interrupted probe": 1},
        "suppressed": {"benign.socket-close": 12},
        "blind_spots": ["probe nft_immediate_eval: not attached: ..."],
    }


def test_the_address_of_the_cause_s_page(
    make_finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    cause_url.cache_clear()
    monkeypatch.setenv("WHYDROP_CAUSE_URL", "https://docs.example/{id}")
    line = json.loads(JsonRenderer().finding(make_finding(), 0.0))
    assert line["cause"]["url"] == "https://docs.example/ipsec.auth-failed"
    unknown = json.loads(JsonRenderer().finding(make_finding(cause_id="unknown"), 0.0))
    assert unknown["cause"]["url"] is None
    cause_url.cache_clear()
