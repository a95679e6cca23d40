"""What is said of packets whose check of integrity failed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model import culprits
from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import Encap, Lifetime, XfrmNote
from tests.unit.causes.ipsec.inbound import (
    ICVFAIL,
    LINE,
    SA,
    TIME,
    auth_failed,
    nobody,
    texts,
)
from tests.unit.told_host import ToldHost


def test_auth_failed_in_full(esp: Callable[..., Drop]) -> None:
    verdict = auth_failed(esp(XfrmNote(ICVFAIL, state=SA)), nobody())
    assert verdict is not None
    assert verdict.confidence == "certain"
    assert verdict.culprit == culprits.XfrmState(
        text=LINE,
        spi="0x00001001",
        saddr="10.9.0.1",
        daddr="10.9.0.2",
        proto="esp",
        mode="transport",
        reqid=1,
        if_id=0,
        mark=0,
        mark_mask=0,
        state="valid",
        algorithms=(culprits.Algorithm("aead", "rfc4106(gcm(aes))", 160, 128),),
        packets=0,
        integrity_failed=3,
    )
    assert texts(verdict) == [
        (
            "probe xfrm_audit_state_icvfail",
            "its integrity check failed: src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 seq 7 mark 0x0",
        ),
        (
            "SA at the drop",
            "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport mark 0x0/0x0 if_id 0x0, "
            "state valid",
        ),
        ("SA at the drop", "this host checks integrity with aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV"),
        (
            "SA at the drop",
            "no packet has passed this SA in the 60 s since it was added; 3 have failed, this one included: "
            "the two ends may never have agreed",
        ),
        ("most likely", "the keys, the integrity algorithms or the ICV lengths of the two ends differ"),
    ]


def test_auth_failed_says_how_to_compare_the_ends(esp: Callable[..., Drop]) -> None:
    fixes = auth_failed(esp(XfrmNote(ICVFAIL, state=SA)), nobody()).fix
    get = "xfrm state get src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001"
    assert fixes[0].command.startswith(f"ip {get} | awk ")
    assert fixes[0].command.endswith(" | sha256sum")
    assert [fix.command for fix in fixes[1:3]] == [f"ip {get}", f"ip {get}"]
    marked = replace(SA, mark=5, mark_mask=0xFF)
    fixes = auth_failed(esp(XfrmNote(ICVFAIL, state=marked), netns=None), nobody()).fix
    assert fixes[1].command == f"ip {get} mark 0x5 mask 0xff"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"lifetime": Lifetime(packets=13, add_time=int(TIME) - 60), "stat_integrity_failed": 1},
            "13 packets passed this SA in the 60 s since it was added; this is the first to fail: "
            "the key was right then and has not changed here since, so the sender now uses another one, or "
            "this packet was altered or forged in transit",
        ),
        (
            {
                "lifetime": Lifetime(packets=13, add_time=int(TIME) - 60),
                "oseq": 5,
                "stat_integrity_failed": 0,
            },
            "13 packets, sent and received, passed this SA in the 60 s since it was added",
        ),
        (
            {"lifetime": Lifetime(), "stat_integrity_failed": 1},
            "no packet has passed this SA since it was added; this is the first to fail: the two ends may "
            "never have agreed",
        ),
    ],
)
def test_auth_failed_knows_whether_the_sa_ever_worked(
    esp: Callable[..., Drop], fields: dict[str, Any], text: str
) -> None:
    verdict = auth_failed(esp(XfrmNote(ICVFAIL, state=replace(SA, **fields))), nobody())
    assert verdict.evidence[3].text == text


def test_auth_failed_with_a_separate_integrity_algorithm(esp: Callable[..., Drop]) -> None:
    algorithms = (("enc", "cbc(aes)", 128, 0), ("auth", "hmac(sha256)", 256, 128))
    verdict = auth_failed(esp(XfrmNote(ICVFAIL, state=replace(SA, algorithms=algorithms))), nobody())
    assert verdict.evidence[2].text == (
        "this host checks integrity with auth-trunc hmac(sha256) 256-bit key 128-bit ICV; the encryption key "
        "is not part of the check"
    )
    only = replace(SA, proto="ah", algorithms=algorithms[1:])
    verdict = auth_failed(esp(XfrmNote(ICVFAIL, state=only), proto="ah"), nobody())
    assert verdict.evidence[2].text == (
        "this host checks integrity with auth-trunc hmac(sha256) 256-bit key 128-bit ICV"
    )


def test_auth_failed_in_udp(esp: Callable[..., Drop]) -> None:
    state = replace(SA, encap=Encap("espinudp", 4500, 4500))
    drop = esp(XfrmNote(ICVFAIL, state=state), proto="udp", sport=4500, dport=4500)
    verdict = auth_failed(drop, nobody())
    assert verdict.evidence[0].text.endswith("proto esp spi 0x00001001 seq 7 mark 0x0 in UDP 4500 > 4500")
    assert "NAT" in verdict.fix[2].text


def test_ah_through_a_nat_is_told_from_keys_that_differ(esp: Callable[..., Drop]) -> None:
    state = replace(SA, proto="ah", algorithms=(("auth", "hmac(sha256)", 256, 128),))
    verdict = auth_failed(esp(XfrmNote(ICVFAIL, state=state), proto="ah", saddr="10.9.0.77"), nobody())
    assert ("packet / SA", "src 10.9.0.77 / 10.9.0.1  <- differs") in texts(verdict)
    assert texts(verdict)[-1][1].startswith("a NAT changed the source address")


OLD = replace(SA, esn=True, replay_window=64, seq=(3 << 32) + 1000, lifetime=Lifetime(packets=999))


@pytest.mark.parametrize(
    ("fields", "seq", "expected"),
    [
        ({}, 7, ("ipsec.replay", "likely")),
        ({}, 936, ("ipsec.replay", "likely")),
        ({}, 937, ("ipsec.auth-failed", "certain")),
        ({}, 5000, ("ipsec.auth-failed", "certain")),
        ({"esn": False, "seq": 1000}, 7, ("ipsec.auth-failed", "certain")),
        ({"lifetime": Lifetime()}, 7, ("ipsec.auth-failed", "certain")),
        (
            {"seq": (3 << 32) + 10},
            7,
            ("ipsec.auth-failed", "certain"),
        ),  # the window reaches into the 2^32 before
    ],
)
def test_with_extended_numbers_an_old_packet_fails_its_check(
    esp: Callable[..., Drop], fields: dict[str, Any], seq: int, expected: tuple[str, str]
) -> None:
    drop = esp(XfrmNote(ICVFAIL, state=replace(OLD, **fields)), seq=seq)
    cause, verdict = diagnose(drop, ToldHost())
    assert cause is not None
    assert (cause.id, verdict.confidence) == expected
    if cause.id == "ipsec.replay":
        assert verdict.evidence[0].text.startswith(
            f"sequence number {seq} is below the window, which begins at 937: with ESN the kernel takes"
        )
