"""Counters beside skb:kfree_skb: how the kernel's files and answers are read, and what has risen since the start."""

import socket
import struct

import pytest

from dropwatch.host.counters import devices, driver, protocol
from dropwatch.host.counters.counters import Counters, read_counters, read_softnet
from dropwatch.host.netlink import attribute
from dropwatch.host.netns.netns import own_inode
from dropwatch.model.drop import Netns
from dropwatch.model.summary import Counter, Outside
from dropwatch.names import symbols, toml
from dropwatch.resources import resource_dir

SNMP = """Ip: Forwarding DefaultTTL InHdrErrors
Ip: 2 64 7
Udp: InDatagrams NoPorts
Udp: 11 13
"""
# Two CPUs: processed, dropped, time_squeeze, ...
SOFTNET = "0003acb5 00000011 00000001 00000000\n000989d8 00000002 0000000a 00000000\n"
MISSED = Counter("nic", "rx_missed_errors", 1, "eth0")
NO_PORTS = Counter("protocol", "UdpNoPorts", 1, overlap=True)


def test_names_and_numbers_in_two_lines() -> None:
    found = protocol.paired(SNMP)
    assert found == {
        "IpForwarding": 2,
        "IpDefaultTTL": 64,
        "IpInHdrErrors": 7,
        "UdpInDatagrams": 11,
        "UdpNoPorts": 13,
    }
    assert protocol.paired("Ip: A B\nTcp: 1 2\n") == {}


def test_names_and_numbers_in_each_line() -> None:
    text = "Ip6InNoRoutes                   \t3\nXfrmInNoStates          \t5\n\n"
    assert protocol.listed(text) == {"Ip6InNoRoutes": 3, "XfrmInNoStates": 5}


def test_the_queues_of_all_cpus() -> None:
    assert protocol.softnet(SOFTNET) == {"dropped": 0x13, "time_squeeze": 11}


def test_a_device_and_its_statistics() -> None:
    statistics = struct.pack("=25Q", *range(100, 125))  # one more than is known
    found = devices.device_of(3, {3: b"eth0\0", 23: statistics})
    assert (found.index, found.name) == (3, "eth0")
    assert (found.statistics["rx_packets"], found.statistics["rx_dropped"]) == (100, 106)
    assert (found.statistics["rx_missed_errors"], found.statistics["rx_nohandler"]) == (115, 123)
    assert devices.device_of(3, {3: b"eth0\0"}).statistics == {}
    assert devices.device_of(3, {3: b"eth0\0", 23: statistics[:20]}).statistics == {
        "rx_packets": 100,
        "tx_packets": 101,
    }


@pytest.mark.parametrize(
    ("handle", "parent", "name"),
    [
        (0x80010000, 0xFFFFFFFF, "fq_codel 8001: root"),
        (0, 0x10010, "fq_codel 0: parent 1:10"),
        (0xFFFF0000, 0xFFFFFFF1, "fq_codel ffff: ingress"),
    ],
)
def test_a_qdisc_and_its_drops(handle: int, parent: int, name: str) -> None:
    queue = attribute(3, struct.pack("=IIIII", 1, 2, 47, 4, 5))
    body = (
        struct.pack("=BxxxiIII", 0, 3, handle, parent, 0) + attribute(1, b"fq_codel\0") + attribute(7, queue)
    )
    assert devices.qdisc_of(body) == devices.Qdisc(3, name, 47)


def test_a_driver_has_counters_of_its_own() -> None:
    names = ("rx_packets", "rx0_drops", "tx_timeout", "rx_no_buffer_count", "rx0_drops")
    strings = struct.pack("=III", 0x1B, 1, len(names)) + b"".join(
        name.encode().ljust(32, b"\0") for name in names
    )
    values = struct.pack("=II5Q", 0x1D, len(names), 1, 2, 3, 4, 5)
    assert driver.counters_of(strings, values) == {"rx0_drops": 7, "rx_no_buffer_count": 4}
    assert driver.counters_of(strings, values[:24]) == {"rx0_drops": 2}
    assert driver.trouble_counters("no-such-device") == {}


def test_this_machine() -> None:
    """The loopback device has no qdisc drops and no driver; protocols there are everywhere."""
    found = read_counters(own_inode()) | read_softnet()
    names = {(counter.kind, counter.name, counter.device) for counter in found}
    assert ("nic", "rx_dropped", "lo") in names
    assert ("protocol", "UdpNoPorts", None) in names
    assert ("softnet", "time_squeeze", None) in names
    assert all(counter.text for counter in found if counter.kind != "driver")


def test_a_datagram_that_nobody_wants_is_counted() -> None:
    counters = Counters([own_inode()], lambda inode: "here")
    counters.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(7):
            sender.sendto(b"x", ("127.0.0.1", port))
    (found,) = [found for found in counters.risen() if found.counter.name == "UdpNoPorts"]
    assert found.count >= 7
    assert found.netns == Netns(own_inode(), "here")
    assert found.counter.overlap


Look = dict[Counter, int] | OSError


class Looks:
    """What each look finds, one after the other."""

    def __init__(self, *looks: Look) -> None:
        self.looks = list(looks)

    def __call__(self, inode: int) -> dict[Counter, int]:
        found = self.looks.pop(0)
        if isinstance(found, OSError):
            raise found
        return found


def risen(*looks: Look) -> tuple[Counters, list[tuple[Outside, ...]]]:
    counters = Counters([1], lambda inode: "b", Looks(*looks), dict)
    counters.start()
    return counters, [counters.risen() for _ in looks[1:]]


def test_only_what_has_risen_since_the_start() -> None:
    _, (first, second, third) = risen({MISSED: 40}, {MISSED: 40}, {MISSED: 252}, {MISSED: 253})
    assert first == ()
    assert [(one.count, one.new, one.netns) for one in second] == [(212, 212, Netns(1, "b"))]
    assert [(one.count, one.new) for one in third] == [(213, 1)]


def test_a_device_that_comes_later_counts_from_the_first_look() -> None:
    _, (first, second) = risen({}, {MISSED: 40}, {MISSED: 47})
    assert first == ()
    assert [one.count for one in second] == [7]


def test_a_counter_that_falls_counts_from_there_on() -> None:
    _, (first, second, third) = risen({MISSED: 40}, {MISSED: 45}, {MISSED: 1}, {MISSED: 4})
    assert [one.count for one in (*first, *second, *third)] == [5, 5, 8]


def test_what_cannot_be_seen_otherwise_comes_first() -> None:
    squeezed = Counter("softnet", "time_squeeze", loss=False)
    _, (found,) = risen({MISSED: 0, NO_PORTS: 0, squeezed: 0}, {MISSED: 1, NO_PORTS: 99, squeezed: 100})
    assert [one.counter for one in found] == [MISSED, NO_PORTS, squeezed]


def test_what_cannot_be_read_is_a_blind_spot_and_one_that_is_gone_is_not() -> None:
    counters, (first, second, third) = risen(
        {MISSED: 40}, FileNotFoundError(2, "gone"), PermissionError(1, "no"), {MISSED: 47}
    )
    assert (first, second) == ((), ())
    assert [one.count for one in third] == [7]
    assert counters.blind_spots == ("counters of namespace 1: no",)


def test_every_counter_has_words() -> None:
    known = toml.loads((resource_dir("symbols") / "counters.toml").read_text())
    assert known.keys() == {"softnet", "nic", "qdisc", "protocol"}
    for kind in known:
        for name, entry in symbols.counters(kind).items():
            assert entry.text, name
            assert not entry.text.endswith("."), name
    assert symbols.counters("nic")["rx_missed_errors"].overlap is False
    assert symbols.counters("softnet")["time_squeeze"].loss is False


# Errors that were not sent, messages not acted on, passes over a queue: no packet was lost, or not one each time.
@pytest.mark.parametrize(
    "name",
    [
        *("IcmpOutRateLimitGlobal", "IcmpOutRateLimitHost", "Icmp6OutRateLimitHost"),
        *("TcpExtLockDroppedIcmps", "TcpExtOutOfWindowIcmps", "TcpExtTCPTimeWaitOverflow"),
        *("IcmpInErrors", "Icmp6InErrors", "TcpExtOfoPruned"),
    ],
)
def test_what_is_no_lost_packet_is_not_called_one(name: str) -> None:
    assert symbols.counters("protocol")[name].loss is False


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        *(
            (name, True)
            for name in ("rx0_drops", "rx_missed_errors", "rx_no_buffer_count", "rx_discards_phy")
        ),
        *(
            (name, False)
            for name in ("fdir_miss", "rx_csum_offload_errors", "rx0_alloc_fail", "hw_csum_rx_error")
        ),
    ],
)
def test_a_drivers_counter_is_a_loss_only_if_its_name_says_so(name: str, loss: bool) -> None:
    assert driver.speaks_of_losses(name) is loss


def test_a_device_may_be_called_anything() -> None:
    assert driver.trouble_counters("\\xff") == {}
