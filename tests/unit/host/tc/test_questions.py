"""Traffic control of a namespace that is gone."""

from dropwatch.host.host import Host
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.tc.filters import INGRESS
from dropwatch.host.tc.qdiscs import ROOT


def test_a_namespace_that_is_gone() -> None:
    host = Host()
    assert host.qdiscs(1, 2, 0) is None
    assert host.tc_filters(1, 2, INGRESS, 0) is None
    assert host.blind_spots == ()


def test_this_host_answers() -> None:
    found = Host().qdiscs(own_inode(), 1, 0)
    assert found is not None
    assert {one.parent for one in found} <= {ROOT}, "loopback has one queue"
