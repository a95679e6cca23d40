"""Incomplete packets, as /proc tells of them."""

from dropwatch.host.fragments import counts_of, overlaps_of, read_fragments
from dropwatch.host.netns.netns import own_inode

SOCKSTAT = "sockets: used 77\nTCP: inuse 3 orphan 0\nFRAG: inuse 3 memory 4304\n"


def test_how_many_and_how_much() -> None:
    assert counts_of(SOCKSTAT, "FRAG:") == (3, 4304)
    assert counts_of(SOCKSTAT, "FRAG6:") is None
    assert counts_of("FRAG: inuse 3\n", "FRAG:") is None


def test_how_many_overlapped() -> None:
    assert overlaps_of("TcpExt: A\nTcpExt: 1\nIpExt: InOctets ReasmOverlaps\nIpExt: 77 3\n") == 3
    assert overlaps_of("IpExt: InOctets\nIpExt: 77\n") is None
    assert overlaps_of("") is None


def test_this_host_answers() -> None:
    found = read_fragments(own_inode(), 4)
    assert found is None or found.limit is None or found.memory <= found.limit
