"""The judges of xfrm_input beyond keys and missing SAs: one per counter, and none where something else fits."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.model import Drop, Encap, Lifetime, Verdict, XfrmNote, XfrmState

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


def no_host(inode: int):
    raise FileNotFoundError


def judged(drop: Drop) -> tuple[str, Verdict]:
    cause, verdict = diagnose(drop, Host(no_host))
    return (cause.id if cause is not None else "unknown"), verdict


@pytest.fixture
def failed(make_drop, make_event, make_packet):
    """A packet that xfrm_input let die, with what the probes noted of it."""

    def build(
        *counters: str,
        audit: frozenset[str] = frozenset(),
        state: XfrmState | None = SA,
        seq: int | None = None,
        **packet,
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


def test_replay_by_the_kernels_own_call(failed):
    cause_id, verdict = judged(failed("XfrmInStateSeqError", audit=frozenset({"replay"}), seq=58))
    assert (cause_id, verdict.confidence) == ("ipsec.replay", "certain")
    assert "probe xfrm_audit_state_replay: sequence number 58 was seen before" in texts(verdict)
    assert "highest sequence number seen 90, window 32: below 59 is too old" in texts(verdict)


def test_replay_by_its_counter_alone(failed):
    cause_id, verdict = judged(failed("XfrmInStateSeqError"))
    assert (cause_id, verdict.confidence) == ("ipsec.replay", "certain")
    assert "counter XfrmInStateSeqError: sequence number 7" in texts(verdict)


def test_expired_names_the_limit_and_by_how_much(failed):
    life = Lifetime(
        hard_packets=5, packets=5, hard_bytes=10_000, bytes=400, hard_add_seconds=60, add_time=1_999_900
    )
    cause_id, verdict = judged(failed("XfrmInStateExpired", state=replace(SA, lifetime=life)))
    assert (cause_id, verdict.confidence) == ("ipsec.expired", "certain")
    assert "5 packets, limit 5" in texts(verdict)
    assert "100 seconds since it was added, limit 60" in texts(verdict)
    assert "10000" not in texts(verdict), "that limit is not reached"


@pytest.mark.parametrize("counter", ["XfrmInStateInvalid", "XfrmAcquireError"])
def test_an_sa_that_is_not_valid_is_shown_with_its_state(failed, counter):
    cause_id, verdict = judged(failed(counter, state=replace(SA, state="acq")))
    assert (cause_id, verdict.confidence) == ("ipsec.state-invalid", "certain")
    assert f"counter {counter}: the SA is not valid but acq" in texts(verdict)


def test_encapsulation_is_compared_with_the_packet(failed):
    in_udp = replace(SA, encap=Encap("espinudp", 4500, 4500))
    cause_id, verdict = judged(failed("XfrmInStateMismatch", state=in_udp))
    assert (cause_id, verdict.confidence) == ("ipsec.encap-mismatch", "certain")
    assert "packet: it came as plain ESP, without UDP" in texts(verdict)
    assert "the SA wants espinudp" in texts(verdict)
    cause_id, verdict = judged(failed("XfrmInStateMismatch", proto="udp", sport=4500, dport=4500))
    assert (cause_id, verdict.confidence) == ("ipsec.encap-mismatch", "certain")
    assert "packet: it came in UDP" in texts(verdict)


def test_the_same_counter_without_a_difference_is_something_else(failed):
    assert judged(failed("XfrmInStateMismatch"))[0] == "unknown"
    both = failed("XfrmInStateMismatch", state=replace(SA, encap=Encap("espinudp", 4500, 4500)), proto="udp")
    assert judged(both)[0] == "unknown"


def test_mode_is_certain_behind_authentication(failed):
    cause_id, verdict = judged(failed("XfrmInStateModeError"))
    assert (cause_id, verdict.confidence) == ("ipsec.mode-mismatch", "certain")
    assert "what is inside does not fit mode tunnel" in texts(verdict)


@pytest.mark.parametrize("algorithms", [(CBC,), (CBC, NULL_AUTH)])
def test_garbage_is_likely_where_nothing_was_authenticated(failed, algorithms):
    cause_id, verdict = judged(failed("XfrmInStateProtoError", state=replace(SA, algorithms=algorithms)))
    assert (cause_id, verdict.confidence) == ("ipsec.decrypt-garbage", "likely")
    cause_id, verdict = judged(failed("XfrmInStateModeError", state=replace(SA, algorithms=algorithms)))
    assert (cause_id, verdict.confidence) == ("ipsec.decrypt-garbage", "likely")
    assert "if the keys are equal, the modes of the ends differ" in texts(verdict)


def test_garbage_is_impossible_behind_authentication(failed):
    assert judged(failed("XfrmInStateProtoError"))[0] == "unknown"
    ah = replace(SA, proto="ah", algorithms=(("auth", "hmac(sha256)", 256, 128),))
    assert judged(failed("XfrmInStateProtoError", state=ah, proto="ah"))[0] == "unknown"


def test_a_failed_integrity_check_is_not_garbage(failed):
    cause_id, _ = judged(failed("XfrmInStateProtoError", audit=frozenset({"icvfail"})))
    assert cause_id == "ipsec.auth-failed"


def test_a_packet_without_spi_is_a_header_error(failed):
    cause_id, verdict = judged(failed("XfrmInHdrError", state=None, length=22, spi=None))
    assert (cause_id, verdict.confidence) == ("ipsec.header-error", "certain")
    assert verdict.culprit is None
    assert "the whole packet has 22 bytes" in texts(verdict)


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
def test_a_packet_too_short_for_its_sa_is_a_header_error(failed, length, packet, algorithms, short):
    state = replace(SA, algorithms=algorithms)
    cause_id, verdict = judged(failed("XfrmInStateProtoError", state=state, length=length, **packet))
    assert (cause_id == "ipsec.header-error") == short
    assert verdict.confidence == "certain" or not short


def test_what_is_short_is_not_called_garbage(failed):
    cause_id, _ = judged(failed("XfrmInStateProtoError", state=replace(SA, algorithms=(CBC,)), length=40))
    assert cause_id == "ipsec.header-error"


def test_the_object_is_the_sa_as_ip_prints_it(failed):
    _, verdict = judged(failed("XfrmInStateExpired"))
    assert verdict.culprit is not None
    assert verdict.culprit.kind == "xfrm-state"
    assert verdict.culprit.text.startswith("src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 ")
    assert verdict.culprit.details["spi"] == "0x00001001"


@pytest.mark.parametrize(
    "counters",
    [(), ("XfrmInStateExpired", "XfrmInStateModeError"), ("XfrmInBufferError",), ("XfrmInNoPols",)],
)
def test_other_counters_or_several_decide_nothing(failed, counters):
    assert judged(failed(*counters))[0] == "unknown"


def test_a_note_means_nothing_where_another_function_dropped(failed):
    drop = failed("XfrmInStateExpired")
    where = replace(drop.where, frame=replace(drop.where.frame, function="ip_local_deliver_finish"))
    assert judged(replace(drop, where=where))[0] == "unknown"
    where = replace(drop.where, frame=replace(drop.where.frame, function="xfrm_input.isra.0"))
    assert judged(replace(drop, where=where))[0] == "ipsec.expired"
