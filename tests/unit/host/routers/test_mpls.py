"""What is asked about a label of MPLS."""

from dropwatch.host.netlink import attributes
from dropwatch.host.netns.netns import own_inode
from dropwatch.host.routers.mpls import _is_routed, question, read_mpls


def test_the_question_has_the_label_as_the_last_one_of_its_stack() -> None:
    assert attributes(question(100)[12:]) == {1: bytes.fromhex("00064100")}


def test_reserved_labels_are_not_asked_for() -> None:
    assert [label for label in range(16) if _is_routed(label, 1000)] == [0, 2]
    assert not _is_routed(0, 0)


def test_this_host_answers() -> None:
    found = read_mpls(own_inode(), 1, 100)
    assert found is None or found.labels >= 0
