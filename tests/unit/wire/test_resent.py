"""Records and counts of segments that are sent again."""

import ctypes
from ipaddress import ip_address

from dropwatch.model.resent import Death, ResentCounts
from dropwatch.wire.header import RECORD_RESENT, RecordHeader
from dropwatch.wire.resent import ResentDeath, ResentRecord, resent_counts, resent_segment


def record(**fields: object) -> bytes:
    size = ctypes.sizeof(ResentRecord)
    made = ResentRecord(header=RecordHeader(77, 0, RECORD_RESENT, size), **fields)
    return bytes(made)


def test_a_record_of_each_family() -> None:
    four = bytes(10) + b"\xff\xff" + ip_address("10.9.0.1").packed
    six = ip_address("fd09::2").packed
    saddr, daddr = (ctypes.c_uint8 * 16)(*four), (ctypes.c_uint8 * 16)(*six)
    told = resent_segment(
        record(family=4, saddr=saddr, daddr=saddr, sport=1, dport=2, segments=3, has_failed=1)
    )
    assert (told.monotonic_ns, told.saddr, told.sport, told.dport) == (77, ip_address("10.9.0.1"), 1, 2)
    assert (told.segments, told.failed, told.segment, told.ack) == (3, True, None, None)
    told = resent_segment(record(family=6, daddr=daddr, seq=9, netns=8, ack=ResentDeath(5, 6, 7)))
    assert (told.daddr, told.seq, told.netns, told.failed) == (ip_address("fd09::2"), 9, 8, False)
    assert told.ack == Death(5, 6, 7)


def test_counts_of_all_cpus_are_added_up() -> None:
    one = (
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        1 << 40,
        12,
    )  # the last two are the second and what was looked at in it
    assert resent_counts([one, one]) == ResentCounts(2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
