"""What is said of packets that came in and that no SA fits, and when nothing is."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.ipsec.text import state_line
from dropwatch.model import culprits
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import GoneState, Lifetime, XfrmNote, XfrmState
from tests.unit.causes.ipsec.inbound import (
    GCM,
    ICVFAIL,
    LINE,
    NOTFOUND,
    SA,
    TIME,
    A,
    B,
    auth_failed,
    gone,
    host,
    no_state,
    nobody,
    state_of_other_mark,
    texts,
)


@pytest.mark.parametrize("function", ["xfrm_input", "xfrm_input.isra.0", "xfrm_input.constprop.0.cold"])
def test_the_place_may_have_a_suffix(esp: Callable[..., Drop], function: str) -> None:
    assert auth_failed(esp(XfrmNote(ICVFAIL, state=SA), function), nobody()) is not None
    assert no_state(esp(NOTFOUND, function), host()) is not None


@pytest.mark.parametrize("function", ["__udp4_lib_rcv", "xfrm_input_resume", "my_xfrm_input", None])
def test_another_place_is_another_cause(esp: Callable[..., Drop], function: str) -> None:
    """The packet has been through IPsec, and died of something else later."""
    assert auth_failed(esp(XfrmNote(ICVFAIL, state=SA), function), nobody()) is None
    assert no_state(esp(NOTFOUND, function), nobody()) is None


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
def test_neither_without_the_kernel_saying_so(esp: Callable[..., Drop], note: XfrmNote) -> None:
    assert auth_failed(esp(note), nobody()) is None
    assert no_state(esp(note), nobody()) is None


def test_no_state_names_the_nearest_sa(esp: Callable[..., Drop]) -> None:
    other = replace(SA, spi=0x2002)
    back = replace(SA, saddr=B, daddr=A, spi=0x3003)
    verdict = no_state(esp(NOTFOUND), host(back, other))
    assert verdict is not None
    assert verdict.confidence == "certain"
    line = LINE.replace("0x00001001", "0x00002002")
    assert verdict.culprit == culprits.XfrmState(
        text=line,
        spi="0x00002002",
        saddr="10.9.0.1",
        daddr="10.9.0.2",
        proto="esp",
        mode="transport",
        reqid=1,
        if_id=0,
        mark=0,
        mark_mask=0,
        state="valid",
        differs=("spi",),
        relation="nearest",
    )
    assert texts(verdict)[3:7] == [
        ("packet / SA", "spi 0x00001001 / 0x00002002  <- differs"),
        ("packet / SA", "dst 10.9.0.2 / 10.9.0.2"),
        ("packet / SA", "proto esp / esp"),
        ("packet / SA", "src 10.9.0.1 / 10.9.0.1"),
    ]
    assert texts(verdict)[:3] == [
        (
            "probe xfrm_audit_state_notfound",
            "no SA for this packet: src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 seq 7 mark 0x0",
        ),
        ("netlink xfrm", "3.2 ms after the drop: this namespace has 2 SAs; nearest first:"),
        ("netlink xfrm", f"{line}: SPI 0x00002002, not 0x00001001"),
    ]
    assert verdict.fix[0].command == "ip xfrm state list src 10.9.0.1 dst 10.9.0.2 nokeys"


SINCE: dict[Change, int | None] = {"SAs": 83521935614 + 1}
NOW = Lifetime(add_time=int(TIME))
NEW = Lifetime(add_time=int(TIME) + 1)
OTHER = replace(SA, spi=0x2002)
FARTHER = replace(SA, spi=0x2003, saddr=ip_address("10.9.0.9"))


@pytest.mark.parametrize(
    ("states", "since", "named"),
    [
        ((OTHER, replace(SA, spi=0x3003, lifetime=NEW)), (), OTHER),
        ((replace(SA, lifetime=NEW), OTHER), (), OTHER),
        ((replace(OTHER, spi=0x3003, lifetime=NOW), OTHER), (), OTHER),
        ((FARTHER,), (gone(OTHER, seconds=-0.001),), OTHER),
        ((replace(SA, lifetime=Lifetime(add_time=int(TIME))),), (gone(OTHER, seconds=-0.001),), OTHER),
        ((), (gone(OTHER, seconds=-0.001),), OTHER),
        ((OTHER,), (gone(replace(SA, spi=0x3003, lifetime=NEW), seconds=-1.5),), OTHER),
        ((OTHER,), (gone(replace(SA, daddr=A), seconds=-1.5, netns=7),), OTHER),
        ((replace(OTHER, lifetime=NEW),), (), None),
    ],
)
def test_the_nearest_sa_of_the_drop_is_named_whatever_changed_since(
    esp: Callable[..., Drop],
    states: tuple[XfrmState, ...],
    since: tuple[GoneState, ...],
    named: XfrmState | None,
) -> None:
    verdict = no_state(esp(NOTFOUND), host(*states, gone=since, changes=SINCE))
    assert verdict.confidence == "certain"
    assert (verdict.culprit and verdict.culprit.text) == (named and state_line(named))
    added = [text for _, text in texts(verdict) if "this one fits" in text]
    assert bool(added) == any(one.spi == SA.spi for one in states), "what would fit today is told as well"


@pytest.mark.parametrize("changes", [SINCE | {"SA updates": 83521935614 + 2}, SINCE | {"SA updates": None}])
def test_an_sa_that_may_have_been_updated_is_likely(
    esp: Callable[..., Drop], changes: dict[Change, int | None]
) -> None:
    assert no_state(esp(NOTFOUND), host(OTHER, changes=changes)).confidence == "likely"
    marked = replace(SA, mark=5, mark_mask=0xFF)
    assert state_of_other_mark(esp(NOTFOUND), host(marked, changes=changes)).confidence == "likely"
    assert state_of_other_mark(esp(NOTFOUND), host(marked, changes=SINCE)).confidence == "certain"


def test_an_sa_of_the_second_of_the_drop_may_be_newer(esp: Callable[..., Drop]) -> None:
    young = replace(OTHER, lifetime=Lifetime(add_time=int(TIME)))
    assert no_state(esp(NOTFOUND), host(young, changes=SINCE)).confidence == "likely"
    assert no_state(esp(NOTFOUND), host(young)).confidence == "certain"


def test_no_state_where_there_is_no_sa_at_all(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND), host())
    assert verdict.confidence == "certain"
    assert verdict.culprit is None
    assert texts(verdict)[1:] == [("netlink xfrm", "3.2 ms after the drop: this namespace has no SA")]
    assert verdict.fix


def test_no_state_where_nothing_could_be_read(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND), host(missing=True))
    assert verdict.confidence == "certain"
    assert verdict.culprit is None
    assert texts(verdict)[1:] == [("netlink xfrm", "the SAs of this namespace could not be read")]


def test_no_state_by_the_counter_alone(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(XfrmNote(counters=("XfrmInNoStates",))), host())
    assert verdict.evidence[0].source == "counter XfrmInNoStates"
    assert "spi 0x00001001 seq 7" in verdict.evidence[0].text


def test_what_the_kernel_parsed_counts_more_than_what_the_bytes_show(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND, spi=None, seq=None), host())
    assert "spi 0x00001001 seq 7 " in verdict.evidence[0].text


def test_no_state_with_an_unknown_spi(esp: Callable[..., Drop]) -> None:
    drop = esp(XfrmNote(counters=("XfrmInNoStates",)), spi=None, seq=None)
    verdict = no_state(drop, host(SA))
    assert verdict.culprit is None
    assert verdict.evidence[0].text == "no SA for this packet: src 10.9.0.1 dst 10.9.0.2 proto esp mark 0x0"


@pytest.mark.parametrize("missing", [{"saddr": None}, {"daddr": None}, {"saddr": None, "daddr": None}])
def test_no_state_without_addresses_has_no_command_to_offer(esp: Callable[..., Drop], missing: Any) -> None:
    verdict = no_state(esp(NOTFOUND, **missing), host(SA))
    assert (verdict.confidence, verdict.culprit, verdict.fix) == ("certain", None, ())
    assert texts(verdict)[1:] == [("netlink xfrm", "3.2 ms after the drop: this namespace has one SA")]


def test_the_mark_alone_is_a_cause_of_its_own(esp: Callable[..., Drop]) -> None:
    marked = replace(SA, mark=5, mark_mask=0xFF)
    assert no_state(esp(NOTFOUND), host(marked)) is None
    verdict = state_of_other_mark(esp(NOTFOUND), host(marked))
    assert verdict.confidence == "certain", "it was there, a minute old"
    assert verdict.culprit.differs == ("mark",)
    assert (verdict.culprit.mark, verdict.culprit.packet_mark) == (5, 0)
    assert ("packet / SA", "mark 0x0 / 0x5/0xff  <- differs") in texts(verdict)
    assert "0x5/0xff" in verdict.fix[0].text


def test_a_mark_is_only_likely_where_the_sa_may_be_younger_than_the_drop(esp: Callable[..., Drop]) -> None:
    same_second = replace(SA, mark=5, mark_mask=0xFF, lifetime=Lifetime(add_time=int(TIME)))
    assert state_of_other_mark(esp(NOTFOUND), host(same_second)).confidence == "likely"
    later = replace(same_second, lifetime=Lifetime(add_time=int(TIME) + 1))
    assert state_of_other_mark(esp(NOTFOUND), host(later)) is None
    assert no_state(esp(NOTFOUND), host(later)).confidence == "certain"


def test_no_mark_is_blamed_for_an_sa_that_was_deleted(esp: Callable[..., Drop]) -> None:
    marked = replace(SA, mark=5, mark_mask=0xFF)
    fitting = host(marked, gone=(gone(SA),))
    assert state_of_other_mark(esp(NOTFOUND), fitting) is None
    assert no_state(esp(NOTFOUND), fitting).culprit.relation == "deleted"


def test_an_sa_that_was_deleted_by_somebody(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND), host(gone=(gone(SA),)))
    assert verdict.confidence == "certain"
    assert verdict.title == "no SA for this packet: it was deleted here"
    assert verdict.culprit.relation == "deleted"
    assert verdict.culprit.deleted_by == culprits.Task(812, "charon")
    assert verdict.culprit.seconds_before == 3.2
    assert texts(verdict)[1] == (
        "probe __xfrm_state_delete",
        f"deleted 3.2 s before this packet by charon (pid 812): {LINE}",
    )


@pytest.mark.parametrize(
    ("life", "state", "why"),
    [
        ({"hard_packets": 20, "packets": 20}, "expired", "its hard limit of 20 packets was reached"),
        ({"hard_bytes": 900, "bytes": 1000}, "expired", "its hard limit of 900 bytes was reached"),
        ({"hard_add_seconds": 50}, "valid", "its hard limit of 50 s after it was added was reached"),
        (
            {"hard_use_seconds": 10, "use_time": int(TIME) - 20},
            "valid",
            "its hard limit of 10 s after its first use was reached",
        ),
        ({}, "expired", "a hard limit was reached"),
    ],
)
def test_an_sa_that_went_because_of_a_limit(
    esp: Callable[..., Drop], life: dict[str, Any], state: str, why: str
) -> None:
    lifetime = Lifetime(**{"add_time": int(TIME) - 60} | life)
    verdict = no_state(esp(NOTFOUND), host(gone=(gone(replace(SA, lifetime=lifetime, state=state)),)))
    assert verdict.culprit.relation == "expired"
    assert verdict.culprit.deleted_by is None, "whoever ran then has nothing to do with it"
    assert ("SA at its deletion", why) in texts(verdict)


def test_a_limit_that_was_not_reached_is_not_blamed(esp: Callable[..., Drop]) -> None:
    lifetime = Lifetime(add_time=int(TIME) - 60, hard_add_seconds=3600, hard_packets=20, packets=19)
    verdict = no_state(esp(NOTFOUND), host(gone=(gone(replace(SA, lifetime=lifetime)),)))
    assert verdict.culprit.relation == "deleted"


def test_this_side_rekeyed(esp: Callable[..., Drop]) -> None:
    new = replace(SA, spi=0x2002, lifetime=Lifetime(add_time=int(TIME) - 5))
    verdict = no_state(esp(NOTFOUND), host(new, gone=(gone(SA),)))
    assert verdict.title == "no SA for this packet: this host has replaced it"
    assert ("most likely", "this host rekeyed, and the sender still uses the old SA") in texts(verdict)
    assert verdict.culprit.spi == "0x00001001"


@pytest.mark.parametrize(
    "other",
    [
        gone(SA, netns=4026531840),
        gone(SA, seconds=-0.001),
        gone(replace(SA, spi=0x1002)),
        gone(replace(SA, daddr=A)),
        gone(replace(SA, proto="ah")),
        gone(replace(SA, mark=5, mark_mask=0xFF)),
    ],
)
def test_what_else_was_deleted_says_nothing(esp: Callable[..., Drop], other: GoneState) -> None:
    """In another namespace, after this packet, or another SA."""
    verdict = no_state(esp(NOTFOUND), host(gone=(other,)))
    assert verdict.culprit is None
    assert verdict.title is None


def test_an_sa_for_sending_only(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND), host(replace(SA, direction="out")))
    assert verdict.title == "the SA with this SPI is outbound only"
    assert verdict.culprit.differs == ("dir",)


def test_only_daemons_that_are_installed_are_asked(esp: Callable[..., Drop]) -> None:
    assert not any("swanctl" in (fix.command or "") for fix in no_state(esp(NOTFOUND), host()).fix)
    verdict = no_state(esp(NOTFOUND), host(tools=("swanctl",)))
    assert verdict.fix[-1].command == "swanctl --list-sas"


def test_no_state_although_the_sa_is_there_now(esp: Callable[..., Drop]) -> None:
    """Added between the drop and the reading, or told apart by something that is not known here."""
    verdict = no_state(esp(NOTFOUND), host(SA))
    assert texts(verdict)[1][1] == "3.2 ms after the drop: this namespace has one SA:"
    assert verdict.culprit.differs == ()
    assert texts(verdict)[2][1].endswith("this one fits now; the kernel did not have it when the packet came")
    added = replace(SA, lifetime=Lifetime(add_time=int(TIME) + 1))
    verdict = no_state(esp(NOTFOUND), host(added))
    assert texts(verdict)[2][1].endswith("this one fits, but was added after the drop")


def test_no_state_shows_three_at_most(esp: Callable[..., Drop]) -> None:
    verdict = no_state(esp(NOTFOUND), host(*[replace(SA, spi=0x2000 + n) for n in range(9)]))
    assert len([fact for fact in verdict.evidence if " reqid " in fact.text]) == 3


def test_no_state_of_esp_in_udp_wants_an_esp_sa(esp: Callable[..., Drop]) -> None:
    drop = esp(NOTFOUND, proto="udp", sport=4500, dport=4500)
    assert no_state(drop, host(replace(SA, spi=5))).culprit.differs == ("spi",)


def test_the_key_of_a_vti_interface_stands_in_for_the_mark(esp: Callable[..., Drop]) -> None:
    vti = IpsecInterface("vti", ikey=0x2A, local=B, remote=A)
    marked = host(replace(SA, mark=0x2B, mark_mask=0xFFFFFFFF), interfaces={7: vti})
    verdict = state_of_other_mark(esp(NOTFOUND), marked)
    assert verdict.culprit.packet_mark == 0x2A
    assert ("packet / SA", "mark 0x2a / 0x2b/0xffffffff  <- differs") in texts(verdict)
    assert "key of the VTI interface to 0x2b" in verdict.fix[0].text


@pytest.mark.parametrize(
    ("algorithms", "confidence"),
    [((GCM,), "certain"), ((("enc", "cbc(aes)", 128, 0),), "likely")],
    ids=["aead", "cipher-alone"],
)
def test_no_state_may_be_garbage_of_an_sa_without_a_check(
    esp: Callable[..., Drop], algorithms: tuple[Any, ...], confidence: str
) -> None:
    """What such an SA makes of a wrong key may look like ESP again."""
    other = replace(SA, spi=0x2002, algorithms=algorithms)
    assert no_state(esp(NOTFOUND), host(other)).confidence == confidence
