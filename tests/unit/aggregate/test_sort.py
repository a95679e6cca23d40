"""What a person calls the same drop, and what not; in one run, and in two."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from dropwatch.aggregate.sort import (
    _LASTING,
    _OF_ONE_RUN,
    lasting,
    lasting_sort_of,
    service,
    sort_of,
    toll_of,
)
from dropwatch.model.culprits import Culprit, NftRule, Socket, Sysctl, XfrmState
from dropwatch.model.drop import Event, Finding, Frame, Interface, Netns, Packet, Where

RULE = NftRule("udp dport 5000 drop", "inet", "filter", "input", handle=7)
STATE = XfrmState("SA", "0x00001001", "10.9.0.1", "10.9.0.2", "esp", "tunnel", 1, 0, 0, 0, "valid", packets=3)
SOCKET = Socket("udp *:53", "udp", "0.0.0.0", 53, None, None, None, 77, queued=1, limit=2)
OWN = 4026531840

Find = Callable[..., Finding]


@pytest.fixture
def find(make_finding: Find, make_drop: Callable[..., Any], make_packet: Callable[..., Packet]) -> Find:
    """A finding of a packet with these fields; `drop` and `finding` are fields of those."""

    def build(
        drop: dict[str, Any] | None = None, finding: dict[str, Any] | None = None, **packet: Any
    ) -> Finding:
        return make_finding(make_drop(make_packet(**packet), **(drop or {})), **(finding or {}))

    return build


def frame(function: str | None, offset: int = 1) -> dict[str, Any]:
    return {"where": Where(Frame(function, offset, None, 99), "socket", "in")}


def test_every_kind_of_object_has_an_identity() -> None:
    kinds = {kind.kind: {field.name for field in fields(kind)} for kind in get_args(Culprit)}
    assert set(_LASTING) == set(kinds)
    for kind, keys in {**_LASTING, **_OF_ONE_RUN}.items():
        assert set(keys) <= kinds[kind]
    assert set(_OF_ONE_RUN) <= set(kinds)


@pytest.mark.parametrize("other", [{"sport": 40001}, {"length": 900}, {"mark": 0}, {"ttl": 3}])
def test_a_client_s_port_and_what_each_packet_has_of_its_own_make_no_other_sort(
    other: dict[str, Any], find: Find
) -> None:
    assert sort_of(find()) == sort_of(find(**other))


@pytest.mark.parametrize(
    "other",
    [
        {"dport": 5001},
        {"saddr": "10.9.0.3"},
        {"daddr": "10.9.0.3"},
        {"proto": "tcp"},
        {"spi": 7},
        {"icmp_type": 8},
    ],
)
def test_another_flow_is_another_sort(other: dict[str, Any], find: Find) -> None:
    assert sort_of(find()) != sort_of(find(**other))


def test_frames_without_ip_are_told_apart_by_what_they_are(
    find: Find, make_event: Callable[..., Event]
) -> None:
    def sort(ethertype: int, **packet: Any) -> Any:
        return sort_of(find({"event": make_event(protocol=ethertype)}, **packet))

    bare = {"family": None, "proto": None, "saddr": None, "daddr": None, "sport": None, "dport": None}
    assert sort(0x88CC, **bare) != sort(0x8899, **bare)
    assert sort(0x0800) == sort(0)


def test_so_is_another_place_or_namespace_or_object(find: Find) -> None:
    usual = sort_of(find(finding={"culprit": RULE}))
    assert sort_of(find(finding={"culprit": replace(RULE, handle=8)})) != usual
    assert sort_of(find(finding={"culprit": RULE}, drop={"netns": Netns(1, "b")})) != usual
    assert sort_of(find(finding={"culprit": RULE}, drop={"iface": Interface(2, "other")})) != usual
    assert sort_of(find(finding={"culprit": RULE}, drop=frame("other"))) != usual
    assert sort_of(find(finding={"culprit": RULE, "cause_id": "other"})) != usual


def test_the_table_has_a_row_for_what_one_object_did(find: Find) -> None:
    usual = toll_of(find(finding={"culprit": RULE}))
    assert toll_of(find({"iface": Interface(2, "other")}, {"culprit": RULE}, dport=53)) == usual
    assert toll_of(find(finding={"culprit": replace(RULE, handle=8)})) != usual
    assert toll_of(find({"netns": Netns(1, "b")}, {"culprit": RULE})) != usual
    assert toll_of(find(dport=53)) != toll_of(find()) == toll_of(find(frame("other"), sport=40001))


def test_an_sa_that_is_only_near_did_nothing(find: Find) -> None:
    near = replace(STATE, relation="nearest")
    assert toll_of(find(finding={"culprit": near})) == toll_of(find())
    assert toll_of(find(finding={"culprit": near}, dport=53)) != toll_of(find())
    assert toll_of(find(finding={"culprit": STATE})) != toll_of(find())


def test_where_in_a_function_matters_only_while_the_cause_is_unknown(find: Find) -> None:
    unknown = {"cause_id": "unknown"}
    assert sort_of(find(frame("f", 1))) == sort_of(find(frame("f.isra.0", 2)))
    assert sort_of(find(frame("f", 1), unknown)) != sort_of(find(frame("f", 2), unknown))
    assert sort_of(find(frame(None), unknown)).place == (99,)


@pytest.mark.parametrize(
    ("sport", "dport", "flags", "expected"),
    [
        (40000, 53, None, ("dport", 53)),
        (53, 40000, None, ("sport", 53)),
        (20000, 53, None, ("dport", 53)),
        (53, 20000, None, ("sport", 53)),
        (500, 500, None, ("dport", 500)),
        (40000, 50000, None, ("dport", 50000)),
        (53, 20000, "S", ("dport", 20000)),
        (40000, 53, "SA", ("sport", 40000)),
        (53, 40000, "A", ("sport", 53)),
        (None, 53, None, ("dport", 53)),
        (53, None, None, ("sport", 53)),
        (None, None, None, None),
    ],
)
def test_the_service_s_port(
    sport: int | None,
    dport: int | None,
    flags: str | None,
    expected: object,
    make_packet: Callable[..., Packet],
) -> None:
    assert service(make_packet(sport=sport, dport=dport, tcp_flags=flags)) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RULE, replace(RULE, handle=19, number=3)),
        (STATE, replace(STATE, spi="0x00002002", packets=9, text="another SPI")),
        (SOCKET, replace(SOCKET, inode=78, queued=5, text="with another pid")),
        (Sysctl("a = 0", "a", 0), Sysctl("a = 1", "a", 1, 5)),
    ],
)
def test_an_object_is_the_same_after_a_reload(one: Culprit, other: Culprit) -> None:
    assert lasting(one) == lasting(other)


def test_two_runs_are_compared_without_what_changes_between_them(
    find: Find, make_event: Callable[..., Event]
) -> None:
    place = {"where": Where(Frame("f.part.0", 9, None, 4), "ipsec", "in")}
    one = find(place | {"netns": Netns(5, "b")}, {"culprit": STATE, "cause_id": "unknown"}, spi=1)
    place = {"where": Where(Frame("f", 12, None, 7), "ipsec", "in")}
    new = replace(STATE, spi="0x00000005")
    other = find(place | {"netns": Netns(6, "b")}, {"culprit": new, "cause_id": "unknown"}, spi=5)
    assert sort_of(one) != sort_of(other)
    assert lasting_sort_of(one, OWN) == lasting_sort_of(other, OWN)
    assert lasting_sort_of(find({"reason": "X"}, {"cause_id": "unknown"}), OWN) != lasting_sort_of(
        find({"reason": "Y"}, {"cause_id": "unknown"}), OWN
    )


def test_a_namespace_is_its_name_or_whydrop_s_own(find: Find) -> None:
    def named(inode: int, name: str | None) -> object:
        return lasting_sort_of(find({"netns": Netns(inode, name)}), OWN)

    assert named(5, "b") == named(6, "b") != named(5, "c")
    assert named(OWN, None) != named(5, None) == named(6, None)
    assert lasting_sort_of(find({"netns": None}), OWN).netns is None
