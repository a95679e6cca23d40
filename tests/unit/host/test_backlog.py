"""The input queues of the CPUs, as /proc tells of them."""

from dropwatch.host.backlog import CpuQueue, queues_of, read_backlog

NEW = "000000ff 0000000b 00000000 0 0 0 0 0 0 00000000 00000003 00000008 00000001 0 0\n"
OLD = "000000ff 0000000b 00000000 0 0 0 0 0 0 00000000 00000003\n"


def test_a_line_for_each_cpu() -> None:
    assert queues_of(NEW) == (CpuQueue(1, 11, 3, 8),)
    assert queues_of(OLD + OLD) == (CpuQueue(0, 11, 3, None), CpuQueue(1, 11, 3, None))
    assert queues_of("ff 0\n") == ()


def test_this_host_answers() -> None:
    assert all(one.dropped >= 0 for one in read_backlog().queues)
