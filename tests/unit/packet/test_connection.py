"""What a conntrack entry tells of a packet's other addresses."""

from ipaddress import ip_address

from dropwatch.model.past import Connection, Ends
from dropwatch.packet.connection import (
    destination_changed,
    flows,
    is_translated,
    source_changed,
    turned,
)


def ends(source: str, sport: int | None, destination: str, dport: int | None) -> Ends:
    return Ends(ip_address(source), ip_address(destination), sport, dport)


CAME = ends("10.9.0.1", 40000, "10.96.0.10", 53)
SENT_ON = ends("10.9.0.254", 7000, "10.244.0.5", 5353)
BOTH = Connection("udp", CAME, turned(SENT_ON), False, "new")
NEITHER = Connection("udp", CAME, turned(CAME), False, "established")


def test_what_is_translated() -> None:
    assert is_translated(BOTH)
    assert not is_translated(NEITHER)
    assert (destination_changed(BOTH), source_changed(BOTH)) == (True, True)
    assert (destination_changed(NEITHER), source_changed(NEITHER)) == (False, False)
    masqueraded = ends("10.9.0.254", 40000, "10.96.0.10", 53)
    only_source = Connection("udp", CAME, turned(masqueraded), False, "new")
    assert (destination_changed(only_source), source_changed(only_source)) == (False, True)


def test_a_packet_has_all_pairs_of_its_ends() -> None:
    assert list(flows(BOTH, is_reply=False)) == [
        CAME,
        ends("10.9.0.1", 40000, "10.244.0.5", 5353),
        ends("10.9.0.254", 7000, "10.96.0.10", 53),
        SENT_ON,
    ]


def test_an_answer_goes_the_other_way_round() -> None:
    assert list(flows(BOTH, is_reply=True)) == [
        turned(SENT_ON),
        ends("10.244.0.5", 5353, "10.9.0.1", 40000),
        ends("10.96.0.10", 53, "10.9.0.254", 7000),
        turned(CAME),
    ]


def test_a_message_of_icmp_is_untranslated_although_its_type_is_another_in_the_answer() -> None:
    came = ends("10.9.0.1", None, "10.9.0.2", None)
    assert not is_translated(Connection("icmp", came, turned(came), False, "new"))
