"""The signs of xfrm_input beyond keys and missing SAs: one per counter, and none where something else fits."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.model import culprits
from dropwatch.model.drop import Drop, Event, Packet, Verdict
from dropwatch.model.ipsec import Encap, Lifetime, XfrmCheck, XfrmNote, XfrmState
from tests.unit.told_host import ToldHost

GCM = ("aead", "rfc4106(gcm(aes))", 160, 128)
CBC = ("enc", "cbc(aes)", 128, 0)
NULL_AUTH = ("auth", "digest_null", 0, 0)
SA = XfrmState(
    family=4,
    saddr=ip_address("10.9.0.1"),
    daddr=ip_address("10.9.0.2"),
    proto="esp",
    spi=0x1001,
    mode="tunnel",
    reqid=1,
    state="valid",
    replay_window=32,
    seq=90,
    algorithms=(GCM,),
)


def judged(drop: Drop) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, ToldHost())
    return (cause.id if cause is not None else "unknown"), verdict


@pytest.fixture
def failed(
    make_drop: Callable[..., Drop], make_event: Callable[..., Event], make_packet: Callable[..., Packet]
) -> Callable[..., Drop]:
    """A packet that xfrm_input let die, with what the probes noted of it."""

    def build(
        *counters: str,
        audit: frozenset[str] = frozenset(),
        state: XfrmState | None = SA,
        seq: int | None = None,
        **packet: Any,
    ) -> Drop:
        note = XfrmNote(audit=audit, counters=counters, spi=0x1001, seq=seq, state=state)
        fields = {"proto": "esp", "sport": None, "dport": None, "spi": 0x1001, "seq": 7, "length": 120}
        return make_drop(
            packet=make_packet(**fields | packet),
            event=make_event(xfrm=note),
            reason="NOT_SPECIFIED",
            time=2_000_000.0,
        )

    return build


def texts(verdict: Verdict) -> str:
    return "\n".join(f"{one.source}: {one.text}" for one in verdict.evidence)


def test_replay_by_the_kernels_own_call(failed: Callable[..., Drop]) -> None:
    cause_id, verdict = judged(failed("XfrmInStateSeqError", audit=frozenset({"replay"}), seq=58))
    assert (cause_id, verdict.confidence) == ("ipsec.replay", "certain")
    assert "probe xfrm_audit_state_replay: sequence number 58 is older than the window" in texts(verdict)
    assert "highest sequence number seen 90, window 32: numbers below 59 are too old" in texts(verdict)


def test_replay_by_its_counter_alone(failed: Callable[..., Drop]) -> None:
    cause_id, verdict = judged(failed("XfrmInStateSeqError"))
    assert (cause_id, verdict.confidence) == ("ipsec.replay", "certain")
    assert "counter XfrmInStateSeqError: sequence number 7" in texts(verdict)


def test_expired_names_the_limit_and_by_how_much(failed: Callable[..., Drop]) -> None:
    life = Lifetime(
        hard_packets=5, packets=5, hard_bytes=10_000, bytes=400, hard_add_seconds=60, add_time=1_999_900
    )
    cause_id, verdict = judged(failed("XfrmInStateExpired", state=replace(SA, lifetime=life)))
    assert (cause_id, verdict.confidence) == ("ipsec.expired", "certain")
    assert "5 packets, hard limit 5" in texts(verdict)
    assert "100 seconds since it was added, hard limit 60" in texts(verdict)
    assert "10000" not in texts(verdict), "that limit is not reached"


@pytest.mark.parametrize("counter", ["XfrmInStateInvalid", "XfrmAcquireError"])
def test_an_sa_that_is_not_valid_is_shown_with_its_state(failed: Callable[..., Drop], counter: str) -> None:
    cause_id, verdict = judged(failed(counter, state=replace(SA, state="acq")))
    assert (cause_id, verdict.confidence) == ("ipsec.state-invalid", "certain")
    assert f"counter {counter}: the SA is in state acq, not valid" in texts(verdict)


def test_encapsulation_is_compared_with_the_packet(failed: Callable[..., Drop]) -> None:
    in_udp = replace(SA, encap=Encap("espinudp", 4500, 4500))
    cause_id, verdict = judged(failed("XfrmInStateMismatch", state=in_udp))
    assert (cause_id, verdict.confidence) == ("ipsec.encap-mismatch", "certain")
    assert "encap none (plain ESP) / espinudp 4500 > 4500  <- differs" in texts(verdict)
    assert isinstance(verdict.culprit, culprits.XfrmState)
    assert verdict.culprit.differs == ("encap",)
    cause_id, verdict = judged(failed("XfrmInStateMismatch", proto="udp", sport=4500, dport=4500))
    assert (cause_id, verdict.confidence) == ("ipsec.encap-mismatch", "certain")
    assert "encap UDP 4500 > 4500 / none  <- differs" in texts(verdict)


def test_the_same_counter_without_a_difference_is_something_else(failed: Callable[..., Drop]) -> None:
    assert judged(failed("XfrmInStateMismatch"))[0] == "unknown"
    both = failed("XfrmInStateMismatch", state=replace(SA, encap=Encap("espinudp", 4500, 4500)), proto="udp")
    assert judged(both)[0] == "unknown"


def test_mode_is_certain_behind_authentication(failed: Callable[..., Drop]) -> None:
    cause_id, verdict = judged(failed("XfrmInStateModeError"))
    assert (cause_id, verdict.confidence) == ("ipsec.mode-mismatch", "certain")
    assert "the inner packet does not fit mode tunnel" in texts(verdict)


@pytest.mark.parametrize("algorithms", [(CBC,), (CBC, NULL_AUTH)])
def test_garbage_is_likely_where_nothing_was_authenticated(
    failed: Callable[..., Drop], algorithms: tuple[Any, ...]
) -> None:
    cause_id, verdict = judged(failed("XfrmInStateProtoError", state=replace(SA, algorithms=algorithms)))
    assert (cause_id, verdict.confidence) == ("ipsec.decrypt-garbage", "likely")
    cause_id, verdict = judged(failed("XfrmInStateModeError", state=replace(SA, algorithms=algorithms)))
    assert (cause_id, verdict.confidence) == ("ipsec.decrypt-garbage", "likely")
    assert "if the keys are equal, the modes of the two ends differ" in texts(verdict)


def test_garbage_is_impossible_behind_authentication(failed: Callable[..., Drop]) -> None:
    assert judged(failed("XfrmInStateProtoError"))[0] == "unknown"
    ah = replace(SA, proto="ah", algorithms=(("auth", "hmac(sha256)", 256, 128),))
    assert judged(failed("XfrmInStateProtoError", state=ah, proto="ah"))[0] == "unknown"


def test_a_failed_integrity_check_is_not_garbage(failed: Callable[..., Drop]) -> None:
    cause_id, _ = judged(failed("XfrmInStateProtoError", audit=frozenset({"icvfail"})))
    assert cause_id == "ipsec.auth-failed"


def test_a_packet_without_spi_is_a_header_error(failed: Callable[..., Drop]) -> None:
    cause_id, verdict = judged(failed("XfrmInHdrError", state=None, length=22, spi=None))
    assert (cause_id, verdict.confidence) == ("ipsec.header-error", "certain")
    assert verdict.culprit is None
    assert "the packet has 22 bytes" in texts(verdict)


@pytest.mark.parametrize(
    ("length", "packet", "algorithms", "short"),
    [
        (20 + 8 + 8 + 16, {}, (GCM,), True),
        (20 + 8 + 8 + 16 + 1, {}, (GCM,), False),
        (20 + 8 + 8 + 16 + 1, {"proto": "udp"}, (GCM,), False),
        (40 + 8 + 8 + 16, {"family": 6}, (GCM,), True),
        (20 + 8 + 16 + 12, {}, (CBC, ("auth", "hmac(sha1)", 160, 96)), True),
        (20 + 8 + 16, {}, (CBC,), True),
        (20 + 8, {}, (("enc", "cbc(serpent)", 128, 0),), True),
        (20 + 8 + 16, {}, (("enc", "cbc(serpent)", 128, 0),), False),
    ],
)
def test_a_packet_too_short_for_its_sa_is_a_header_error(
    failed: Callable[..., Drop], length: int, packet: Any, algorithms: tuple[Any, ...], short: bool
) -> None:
    state = replace(SA, algorithms=algorithms)
    cause_id, verdict = judged(failed("XfrmInStateProtoError", state=state, length=length, **packet))
    assert (cause_id == "ipsec.header-error") == short
    assert verdict.confidence == "certain" or not short


def test_what_is_short_is_not_called_garbage(failed: Callable[..., Drop]) -> None:
    cause_id, _ = judged(failed("XfrmInStateProtoError", state=replace(SA, algorithms=(CBC,)), length=40))
    assert cause_id == "ipsec.header-error"


def test_the_object_is_the_sa_as_ip_prints_it(failed: Callable[..., Drop]) -> None:
    _, verdict = judged(failed("XfrmInStateExpired"))
    assert verdict.culprit is not None
    assert verdict.culprit.kind == "xfrm-state"
    assert verdict.culprit.text.startswith("src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 ")
    assert verdict.culprit.spi == "0x00001001"


@pytest.mark.parametrize(
    "counters",
    [(), ("XfrmInStateExpired", "XfrmInStateModeError"), ("XfrmInBufferError",), ("XfrmInNoPols",)],
)
def test_other_counters_or_several_decide_nothing(
    failed: Callable[..., Drop], counters: tuple[str, ...]
) -> None:
    assert judged(failed(*counters))[0] == "unknown"


def test_a_note_means_nothing_where_another_function_dropped(failed: Callable[..., Drop]) -> None:
    drop = failed("XfrmInStateExpired")
    where = replace(drop.where, frame=replace(drop.where.frame, function="ip_local_deliver_finish"))
    assert judged(replace(drop, where=where))[0] == "unknown"
    where = replace(drop.where, frame=replace(drop.where.frame, function="xfrm_input.isra.0"))
    assert judged(replace(drop, where=where))[0] == "ipsec.expired"


@pytest.mark.parametrize(
    ("seq", "state", "story"),
    [
        (80, SA, "it was duplicated in transit, or recorded and sent again"),
        (58, SA, "it was overtaken by more packets than the window holds, or sent again"),
        (
            3,
            replace(SA, seq=50_000),
            "the sender restarted and counts from the beginning, with the same SPI and key",
        ),
    ],
)
def test_what_a_replay_most_probably_is(
    failed: Callable[..., Drop], seq: int, state: XfrmState, story: str
) -> None:
    _, verdict = judged(failed("XfrmInStateSeqError", audit=frozenset({"replay"}), seq=seq, state=state))
    assert f"most likely: {story}" in texts(verdict)
    assert "<- differs" in texts(verdict)


@pytest.mark.parametrize(("seq", "old"), [(2, True), (70, False)])
def test_an_old_packet_fails_its_check_where_numbers_are_extended(
    failed: Callable[..., Drop], seq: int, old: bool
) -> None:
    state = replace(SA, esn=True)
    _, verdict = judged(failed("XfrmInStateProtoError", audit=frozenset({"icvfail"}), state=state, seq=seq))
    drop = failed("XfrmInStateProtoError", audit=frozenset({"icvfail"}), state=state)
    _, verdict = judged(replace(drop, packet=replace(drop.packet, seq=seq)))
    assert (f"sequence number {seq} is below the window, which begins at 59" in texts(verdict)) == old
    assert ("the packet is old: sent again" in texts(verdict)) == old


def died_in(drop: Drop, function: str, reason: str | None = None) -> Drop:
    where = replace(drop.where, frame=replace(drop.where.frame, function=function))
    return replace(drop, where=where, reason=reason)


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED", "IP_NOPROTO", "UNHANDLED_PROTO"])
@pytest.mark.parametrize("place", ["ip_protocol_deliver_rcu", "ip6_protocol_deliver_rcu", "tunnel4_rcv"])
def test_a_whole_packet_out_of_an_sa_in_transport_mode(
    failed: Callable[..., Drop], place: str, reason: str | None
) -> None:
    drop = died_in(failed(state=replace(SA, mode="transport"), proto="ipip", spi=None), place, reason)
    cause_id, verdict = judged(drop)
    assert (cause_id, verdict.confidence) == ("ipsec.mode-mismatch", "likely")
    assert isinstance(verdict.culprit, culprits.XfrmState)
    assert verdict.culprit.differs == ("mode",)


def test_other_packets_that_nobody_takes_have_nothing_to_do_with_the_mode(
    failed: Callable[..., Drop],
) -> None:
    transport = replace(SA, mode="transport")
    for drop in (
        failed(state=transport, proto="vrrp", spi=None),
        failed(state=SA, proto="ipip", spi=None),
        failed(state=None, proto="ipip", spi=None),
    ):
        assert not judged(died_in(drop, "ip_protocol_deliver_rcu", "IP_NOPROTO"))[0].startswith("ipsec.")
    drop = failed(state=transport, proto="ipip", spi=None)
    assert not judged(died_in(drop, "ip_forward"))[0].startswith("ipsec.")


def test_an_impossible_protocol_without_authentication_is_garbage(failed: Callable[..., Drop]) -> None:
    drop = failed(state=replace(SA, mode="transport", algorithms=(CBC,)), proto="203", spi=None)
    cause_id, verdict = judged(died_in(drop, "ip_protocol_deliver_rcu"))
    assert (cause_id, verdict.confidence) == ("ipsec.decrypt-garbage", "likely")
    assert "says protocol 203" in texts(verdict)


@pytest.mark.parametrize("counter", ["XfrmInNoStates", "XfrmInHdrError"])
def test_the_handlers_of_ip_in_ip_forget_the_sa(failed: Callable[..., Drop], counter: str) -> None:
    """xfrm6_tunnel asks for an SA of IPComp, by the address: none, and no header of IPsec is short."""
    drop = failed(counter, state=None, proto="ipv6", spi=None)
    assert judged(drop)[0] == "unknown"
    stack = (*drop.stack, replace(drop.where.frame, function="xfrm_trans_reinject"))
    cause_id, verdict = judged(replace(drop, stack=stack))
    assert (cause_id, verdict.confidence) == ("ipsec.mode-mismatch", "likely")


AH = replace(SA, proto="ah", algorithms=(("auth", "hmac(sha256)", 256, 128),))


def ah_packet(drop: Drop, words: int) -> Drop:
    """With this length field in the AH header, which counts words of 4 bytes less 2 (RFC 4302, 2.2)."""
    raw = bytes((0x45, 0, 0, 120, 0, 0, 0, 0, 64, 51)) + bytes(10) + bytes((17, words, 0, 0))
    return replace(drop, event=replace(drop.event, packet=raw))


def test_ah_with_another_length_of_its_icv(failed: Callable[..., Drop]) -> None:
    cause_id, verdict = judged(ah_packet(failed("XfrmInStateProtoError", state=AH, proto="ah"), 4))
    assert (cause_id, verdict.confidence) == ("ipsec.auth-failed", "certain")
    assert "length AH of 24 bytes / 28 or 32 or 44 or 48 bytes  <- differs" in texts(verdict)
    for words in (5, 6):  # padded to 4 or 8 bytes
        drop = ah_packet(failed("XfrmInStateProtoError", state=AH, proto="ah"), words)
        assert judged(drop)[0] == "unknown"


@pytest.mark.parametrize(("length", "short"), [(20 + 12 + 15, True), (20 + 12 + 16, False)])
def test_ah_that_is_cut(failed: Callable[..., Drop], length: int, short: bool) -> None:
    cause_id, _ = judged(failed("XfrmInStateProtoError", state=AH, proto="ah", length=length))
    assert (cause_id == "ipsec.header-error") == short


@pytest.mark.parametrize(("length", "confidence"), [(24, "certain"), (60, "likely")])
def test_ipcomp_that_is_cut_or_cannot_be_unpacked(
    failed: Callable[..., Drop], length: int, confidence: str
) -> None:
    state = replace(SA, proto="comp", algorithms=(("comp", "deflate", 0, 0),))
    cause_id, verdict = judged(failed("XfrmInStateProtoError", state=state, proto="comp", length=length))
    assert (cause_id, verdict.confidence) == ("ipsec.header-error", confidence)


@pytest.mark.parametrize("counter", ["XfrmInStateMismatch", "XfrmInHdrError", "XfrmInStateModeError"])
def test_counters_that_a_policy_check_raised_inside_are_its_own(
    failed: Callable[..., Drop], counter: str
) -> None:
    """An xfrm interface of another namespace has the policies checked while xfrm_input still has the packet."""
    drop = failed(counter, state=replace(SA, encap=Encap("espinudp", 4500, 4500)))
    assert drop.event.xfrm is not None
    note = replace(drop.event.xfrm, check=XfrmCheck("in", (counter,)))
    cause_id, _ = judged(replace(drop, event=replace(drop.event, xfrm=note)))
    assert cause_id in ("unknown", "ipsec.selector-mismatch")
