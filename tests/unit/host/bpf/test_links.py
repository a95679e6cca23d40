"""Where a program is linked to netfilter, by what the kernel says of the link."""

import struct

from dropwatch.host.bpf.links import NetfilterLink, link_of


def info(kind: int, program: int, family: int, hook: int, priority: int) -> bytes:
    return struct.pack("=IIIIIIi", kind, 3, program, 0, family, hook, priority)


def test_a_link_to_a_hook() -> None:
    assert link_of(info(10, 77, 2, 1, -50), 77) == NetfilterLink("ip", "input", -50)
    assert link_of(info(10, 77, 10, 4, 0), 77) == NetfilterLink("ip6", "postrouting", 0)
    assert link_of(info(10, 77, 77, 9, 0), 77) == NetfilterLink("77", "9", 0)


def test_other_links() -> None:
    assert link_of(info(10, 78, 2, 1, 0), 77) is None
    assert link_of(info(3, 77, 2, 1, 0), 77) is None, "of a cgroup"
