"""What the judges of IPsec input say, and when they keep silent."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dropwatch.causes.ipsec_judges import judge_auth_failed, judge_no_state
from dropwatch.host.host import Host
from dropwatch.host.xfrm_config import XfrmConfig
from dropwatch.model import Encap, Frame, Lifetime, Where, XfrmNote, XfrmState

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
TIME = 1795205701.0
GCM = ("aead", "rfc4106(gcm(aes))", 160, 128)
SA = XfrmState(
    4,
    A,
    B,
    "esp",
    0x1001,
    "transport",
    reqid=1,
    state="valid",
    algorithms=(GCM,),
    lifetime=Lifetime(add_time=int(TIME) - 60),
    stat_integrity_failed=3,
)
LINE = (
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport "
    "aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV"
)
ICVFAIL = frozenset({"icvfail"})
NOTFOUND = XfrmNote(frozenset({"notfound"}), ("XfrmInNoStates",), spi=0x1001, seq=7)


@pytest.fixture
def esp(make_drop, make_packet, make_event):
    def build(note, function="xfrm_input", netns="b", **packet):
        fields = {"proto": "esp", "sport": None, "dport": None, "spi": 0x1001, "seq": 7} | packet
        drop = make_drop(make_packet(**fields), make_event(xfrm=note), time=TIME)
        frame = Frame(function, 0x1DF, None, 0)
        return replace(drop, where=Where(frame, "ipsec", "in"), netns=replace(drop.netns, name=netns))

    return build


def host(*states, after_ns=3_200_000, missing=False):
    """A host that answers with these SAs, read so long after the drop."""

    def read(inode):
        if missing:
            raise FileNotFoundError(2, "gone")
        return XfrmConfig(states, (), 83521935614 + after_ns)

    return Host(read)


def nobody():
    """A host that must not be asked."""
    return Host(lambda inode: pytest.fail("asked the host"))


def texts(verdict):
    return [(fact.source, fact.text) for fact in verdict.evidence]


def test_auth_failed_in_full(esp):
    verdict = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=SA)), nobody())
    assert verdict is not None
    assert verdict.confidence == "certain"
    assert (verdict.culprit.kind, verdict.culprit.text) == ("xfrm-state", LINE)
    assert verdict.culprit.details == {
        "spi": "0x00001001",
        "saddr": "10.9.0.1",
        "daddr": "10.9.0.2",
        "proto": "esp",
        "mode": "transport",
        "reqid": 1,
        "if_id": 0,
        "mark": 0,
        "mark_mask": 0,
        "state": "valid",
        "algorithms": [{"kind": "aead", "name": "rfc4106(gcm(aes))", "key_bits": 160, "icv_bits": 128}],
        "packets": 0,
        "integrity_failed": 3,
    }
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
        ("SA at the drop", "this end checks with aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV"),
        (
            "SA at the drop",
            "no packet has passed this SA in the 60 s since it was added; 3 failed its check, this one among them: "
            "nothing shows that the two ends ever agreed",
        ),
    ]


def test_auth_failed_says_how_to_compare_the_ends(esp):
    fixes = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=SA)), nobody()).fix
    get = "xfrm state get src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001"
    assert [fix.command for fix in fixes[:2]] == [f"ip -n b {get}", f"ip {get}"]
    assert fixes[2].command.startswith(f"ip -n b {get} | awk ")
    assert fixes[2].command.endswith(" | sha256sum")
    marked = replace(SA, mark=5, mark_mask=0xFF)
    fixes = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=marked), netns=None), nobody()).fix
    assert fixes[0].command == f"ip {get} mark 0x5 mask 0xff"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"lifetime": Lifetime(packets=13, add_time=int(TIME) - 60), "stat_integrity_failed": 1},
            "13 packets passed this SA in the 60 s since it was added; this is the first to fail its check: "
            "its key was right then and has not changed here since, so the sender now uses another, or this packet was "
            "altered or forged on its way",
        ),
        (
            {
                "lifetime": Lifetime(packets=13, add_time=int(TIME) - 60),
                "oseq": 5,
                "stat_integrity_failed": 0,
            },
            "13 packets went through this SA, sent and received, in the 60 s since it was added",
        ),
        (
            {"lifetime": Lifetime(), "stat_integrity_failed": 1},
            "no packet has passed this SA since it was added; this is the first to fail its check: nothing shows that "
            "the two ends ever agreed",
        ),
    ],
)
def test_auth_failed_knows_whether_the_sa_ever_worked(esp, fields, text):
    verdict = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=replace(SA, **fields))), nobody())
    assert verdict.evidence[-1].text == text


def test_auth_failed_with_a_separate_integrity_algorithm(esp):
    algorithms = (("enc", "cbc(aes)", 128, 0), ("auth", "hmac(sha256)", 256, 128))
    verdict = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=replace(SA, algorithms=algorithms))), nobody())
    assert verdict.evidence[2].text == (
        "this end checks with auth-trunc hmac(sha256) 256-bit key 128-bit ICV; the encryption key plays no part in "
        "the check"
    )
    only = replace(SA, proto="ah", algorithms=algorithms[1:])
    verdict = judge_auth_failed(esp(XfrmNote(ICVFAIL, state=only), proto="ah"), nobody())
    assert verdict.evidence[2].text == "this end checks with auth-trunc hmac(sha256) 256-bit key 128-bit ICV"


def test_auth_failed_in_udp(esp):
    state = replace(SA, encap=Encap("espinudp", 4500, 4500))
    drop = esp(XfrmNote(ICVFAIL, state=state), proto="udp", sport=4500, dport=4500)
    verdict = judge_auth_failed(drop, nobody())
    assert verdict.evidence[0].text.endswith("proto esp spi 0x00001001 seq 7 mark 0x0 in UDP 4500 > 4500")
    assert "NAT" in verdict.fix[1].text


@pytest.mark.parametrize("function", ["xfrm_input", "xfrm_input.isra.0", "xfrm_input.constprop.0.cold"])
def test_the_place_may_have_a_suffix(esp, function):
    assert judge_auth_failed(esp(XfrmNote(ICVFAIL, state=SA), function), nobody()) is not None
    assert judge_no_state(esp(NOTFOUND, function), host()) is not None


@pytest.mark.parametrize("function", ["__udp4_lib_rcv", "xfrm_input_resume", "my_xfrm_input", None])
def test_another_place_is_another_cause(esp, function):
    """The packet has been through IPsec, and died of something else later."""
    assert judge_auth_failed(esp(XfrmNote(ICVFAIL, state=SA), function), nobody()) is None
    assert judge_no_state(esp(NOTFOUND, function), nobody()) is None


@pytest.mark.parametrize(
    "note",
    [
        None,
        XfrmNote(),
        XfrmNote(state=SA),
        XfrmNote(ICVFAIL),
        XfrmNote(frozenset({"replay"}), ("XfrmInStateSeqError",), state=SA),
        XfrmNote(counters=("XfrmInStateProtoError",), state=SA),
    ],
)
def test_neither_without_the_kernel_saying_so(esp, note):
    assert judge_auth_failed(esp(note), nobody()) is None
    assert judge_no_state(esp(note), nobody()) is None


def test_no_state_names_the_nearest_sa(esp):
    other = replace(SA, spi=0x2002)
    back = replace(SA, saddr=B, daddr=A, spi=0x3003)
    verdict = judge_no_state(esp(NOTFOUND), host(back, other))
    assert verdict is not None
    assert verdict.confidence == "certain"
    line = LINE.replace("0x00001001", "0x00002002")
    assert (verdict.culprit.kind, verdict.culprit.text) == ("xfrm-state", line)
    assert verdict.culprit.details == {
        "spi": "0x00002002",
        "relation": "nearest",
        "differs": ["spi"],
        "saddr": "10.9.0.1",
        "daddr": "10.9.0.2",
        "proto": "esp",
    }
    assert texts(verdict)[:3] == [
        (
            "probe xfrm_audit_state_notfound",
            "no SA for this packet: src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 seq 7 mark 0x0",
        ),
        ("netlink xfrm", "3.2 ms after the drop this namespace has 2 SAs; nearest first:"),
        ("netlink xfrm", f"{line}: SPI 0x00002002, not 0x00001001"),
    ]
    assert verdict.fix[0].command == "ip -n b xfrm state list src 10.9.0.1 dst 10.9.0.2 nokeys"


def test_no_state_where_there_is_no_sa_at_all(esp):
    verdict = judge_no_state(esp(NOTFOUND), host())
    assert verdict.confidence == "certain"
    assert verdict.culprit is None
    assert texts(verdict)[1:] == [("netlink xfrm", "3.2 ms after the drop this namespace has no SA at all")]
    assert verdict.fix


def test_no_state_where_nothing_could_be_read(esp):
    verdict = judge_no_state(esp(NOTFOUND), host(missing=True))
    assert verdict.confidence == "certain"
    assert verdict.culprit is None
    assert texts(verdict)[1:] == [("netlink xfrm", "the SAs of this namespace could not be read")]


def test_no_state_by_the_counter_alone(esp):
    verdict = judge_no_state(esp(XfrmNote(counters=("XfrmInNoStates",))), host())
    assert verdict.evidence[0].source == "counter XfrmInNoStates"
    assert "spi 0x00001001 seq 7" in verdict.evidence[0].text


def test_what_the_kernel_parsed_counts_more_than_what_the_bytes_show(esp):
    verdict = judge_no_state(esp(NOTFOUND, spi=None, seq=None), host())
    assert "spi 0x00001001 seq 7 " in verdict.evidence[0].text


def test_no_state_with_an_unknown_spi(esp):
    drop = esp(XfrmNote(counters=("XfrmInNoStates",)), spi=None, seq=None)
    verdict = judge_no_state(drop, host(SA))
    assert verdict.culprit is None
    assert verdict.evidence[0].text == "no SA for this packet: src 10.9.0.1 dst 10.9.0.2 proto esp mark 0x0"


@pytest.mark.parametrize("missing", [{"saddr": None}, {"daddr": None}, {"saddr": None, "daddr": None}])
def test_no_state_without_addresses_has_no_command_to_offer(esp, missing):
    verdict = judge_no_state(esp(NOTFOUND, **missing), host(SA))
    assert (verdict.confidence, verdict.culprit, verdict.fix) == ("certain", None, ())
    assert texts(verdict)[1:] == [("netlink xfrm", "3.2 ms after the drop this namespace has one SA")]


def test_no_state_because_of_the_mark(esp):
    verdict = judge_no_state(esp(NOTFOUND), host(replace(SA, mark=5, mark_mask=0xFF)))
    assert verdict.culprit.details["differs"] == ["mark"]
    assert texts(verdict)[2][1].endswith("only for mark 0x5/0xff, the packet has 0x0")
    assert "0x5/0xff" in verdict.fix[0].text


def test_no_state_although_the_sa_is_there_now(esp):
    """Added between the drop and the reading, or told apart by something that is not known here."""
    verdict = judge_no_state(esp(NOTFOUND), host(SA))
    assert texts(verdict)[1][1] == "3.2 ms after the drop this namespace has one SA; nearest first:"
    assert verdict.culprit.details["differs"] == []
    assert texts(verdict)[2][1].endswith("this one fits now; when the packet came the kernel did not have it")
    added = replace(SA, lifetime=Lifetime(add_time=int(TIME) + 1))
    verdict = judge_no_state(esp(NOTFOUND), host(added))
    assert texts(verdict)[2][1].endswith("this one fits, but was added after the drop")


def test_no_state_shows_three_at_most(esp):
    verdict = judge_no_state(esp(NOTFOUND), host(*[replace(SA, spi=0x2000 + n) for n in range(9)]))
    assert len(verdict.evidence) == 2 + 3


def test_no_state_of_esp_in_udp_wants_an_esp_sa(esp):
    drop = esp(NOTFOUND, proto="udp", sport=4500, dport=4500)
    assert judge_no_state(drop, host(replace(SA, spi=5))).culprit.details["differs"] == ["spi"]
