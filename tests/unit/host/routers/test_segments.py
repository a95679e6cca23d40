"""Whether this host accepts segment routing."""

from dropwatch.host.netns.netns import own_inode
from dropwatch.host.routers.segments import read_seg6_enabled


def test_this_host_answers() -> None:
    found = read_seg6_enabled(own_inode(), "lo")
    assert found is None or found.here in (0, 1)
    assert read_seg6_enabled(own_inode(), "nobody") is None
