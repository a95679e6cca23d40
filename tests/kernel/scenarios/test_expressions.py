"""Expressions of pcap-filter(7) in the kernel: of everything that dies what fits comes, and what may carry it."""

from collections.abc import Iterator

import pytest
from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import Lab
from scenarios.outgoing import probes_follow
from scenarios.traffic import ETH_P_ARP, SYN, datagrams, open_socket, segments
from scenarios.tunnels import cbc_sha256, key, way
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5000
MARKED = 5099
# In one expression many: a packet that fits one part fits. What follows `vlan` is about what the tag is before.
PARTS = (
    f"(udp dst port {PORT} and not src port 5001)",
    "(udp[8:4] = 0x64617461 and dst port 5003)",  # "data"
    "(arp[6:2] = 9 and ether[6] = 2)",
    "(tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn and dst portrange 5010-5012)",
    "(ip6 and udp port 5020 and len > 14 + 40 + 8 + 5)",
    "vlan 7",
)
IN_USER_SPACE = "the expression is judged in user space"


@pytest.fixture(scope="module")
def whydrop() -> Iterator[Whydrop]:
    load_modules()
    with Whydrop(" or ".join(PARTS)) as running:
        probes_follow("esp4 esp6")
        yield running
        end = running.finish().end
        assert end is not None
        assert not [spot for spot in end["blind_spots"] if IN_USER_SPACE in spot]
        assert end["events_lost"] == 0


def died(whydrop: Whydrop, lab: Lab, count: int, *matches: str) -> list[Line]:
    """So many packets in this lab, and no more before the next one: a datagram that fits by its payload."""
    names = {lab.a.name, lab.b.name}

    def ours(line: Line) -> bool:
        return line["type"] == "drop" and line["netns"] is not None and line["netns"]["name"] in names

    whydrop.wait_for(lambda line: ours(line) and line["match"] in matches, count)
    datagrams(lab.a, lab.b.v4, [5003], sport=MARKED)
    (marked, *_) = whydrop.wait_for(lambda line: ours(line) and line["packet"]["sport"] == MARKED)
    found = [line for line in whydrop.lines() if ours(line) and line["monotonic_ns"] < marked["monotonic_ns"]]
    assert sum(line["count"] for line in found) == count, [told(line) for line in found]
    assert {line["match"] for line in found} == set(matches), [told(line) for line in found]
    return found


def test_ports_addresses_and_payload(lab: Lab, whydrop: Whydrop) -> None:
    """To closed ports, of which two are asked for; one of these from a port that is not."""
    datagrams(lab.a, lab.b.v4, [PORT, 5002, 5003, PORT, 5004])
    datagrams(lab.a, lab.b.v4, [PORT], sport=5001)
    datagrams(lab.a, lab.b.v6, [PORT, 5020, 5021])
    found = died(whydrop, lab, 5, "direct")
    assert sorted(line["packet"]["dport"] for line in found) == [PORT, PORT, PORT, 5003, 5020]


def test_flags_and_ranges(lab: Lab, whydrop: Whydrop) -> None:
    nft(lab.b, "table inet t { chain c { type filter hook input priority 0; tcp dport 5009-5013 drop } }")
    for port in range(5009, 5014):
        segments(lab.a, (lab.a.v4, lab.b.v4), (40000, port), SYN)
        segments(lab.a, (lab.a.v4, lab.b.v4), (40000, port), 0x10)
    found = died(whydrop, lab, 3, "direct")
    assert {line["packet"]["dport"] for line in found} == {5010, 5011, 5012}


def test_arp_by_its_bytes(lab: Lab, whydrop: Whydrop) -> None:
    """Of an operation that nobody knows, from a link address that fits and from one that does not."""
    header = bytes.fromhex("0001080006040009")
    for first, operation in ((2, 9), (4, 9), (2, 8)):
        address = bytes((first, 0, 0, 0, 0, 1))
        body = header[:6] + operation.to_bytes(2, "big") + address + bytes(14)
        with open_socket(lab.a, 17, 3, 0) as sender:  # AF_PACKET, SOCK_RAW
            sender.bind((lab.a.iface, 0))
            sender.send(b"\xff" * 6 + address + ETH_P_ARP.to_bytes(2, "big") + body + bytes(18))
    (line,) = died(whydrop, lab, 1, "direct")
    assert line["packet"]["proto"] == "arp"


def test_the_tag_of_a_vlan_that_stands_beside_the_packet(lab: Lab, whydrop: Whydrop) -> None:
    """Its queue takes nothing; of another VLAN neither."""
    for number in (7, 8):
        lab.a.configure(
            f"link add link {lab.a.iface} name v{number} type vlan id {number}",
            f"address add 172.31.{number}.1/24 dev v{number}",
            f"link set v{number} up",
            f"neighbour replace 172.31.{number}.2 lladdr 02:00:00:00:00:09 dev v{number}",
        )
    lab.a.run(f"tc qdisc add dev {lab.a.iface} root pfifo limit 0")
    datagrams(lab.a, "172.31.8.2", [5030] * 3)
    datagrams(lab.a, "172.31.7.2", [5030] * 5)
    lab.a.run(f"tc qdisc del dev {lab.a.iface} root")
    found = whydrop.wait_for(lambda line: line["type"] == "drop" and line["packet"]["dport"] == 5030, 5)
    assert sum(line["count"] for line in found) == 5
    assert {line["packet"]["daddr"] for line in found} == {"172.31.7.2"}


def test_what_carries_the_flow_is_found(lab: Lab, whydrop: Whydrop) -> None:
    """Encrypted, by the policy of b; and the error that quotes it, which a firewall keeps."""
    wanted, other = way(lab, 4, "transport").but(port=PORT), way(lab, 4, "transport")
    for each in (other, wanted):
        cipher = key(16)
        each.lead_in(cbc_sha256(cipher))
        lab.b.configure(each.state(cbc_sha256(cipher)), each.policy("in"))
    other.send(3)
    wanted.send(2)
    found = died(whydrop, lab, 2, "ipsec")
    assert {line["packet"]["spi"] for line in found} == {wanted.spi_text}


def test_an_error_that_quotes_the_flow(lab: Lab, whydrop: Whydrop) -> None:
    nft(lab.a, "table inet t { chain c { type filter hook input priority 0; meta l4proto icmp drop } }")
    datagrams(lab.a, lab.b.v4, [PORT, 5002])
    found = died(whydrop, lab, 2, "direct", "icmp-quote")
    assert {line["packet"]["proto"] for line in found} == {"udp", "icmp"}


@pytest.mark.once
def test_a_summary_counts_what_fits(lab: Lab) -> None:
    with Whydrop("summary", "udp dst port 5000 and not src port 5001", "--interval", "3600") as counting:
        datagrams(lab.a, lab.b.v4, [PORT] * 4 + [5002] * 3)
        datagrams(lab.a, lab.b.v4, [PORT] * 2, sport=5001)
        done = counting.finish()
    assert done.end is not None
    assert not [spot for spot in done.end["blind_spots"] if IN_USER_SPACE in spot]
    assert done.end["drops_matched"] == 4


@pytest.mark.once
def test_a_trace_follows_what_fits(lab: Lab) -> None:
    with Whydrop("trace", "udp dst port 5000 and not src port 5001", "--count", "1") as following:
        datagrams(lab.a, lab.b.v4, [5002])
        datagrams(lab.a, lab.b.v4, [PORT], sport=5001)
        datagrams(lab.a, lab.b.v4, [PORT])
        done = following.finish(None)
    (journey,) = [line for line in done.lines if line["type"] == "journey"]
    assert journey["packet"]["dport"] == PORT
    assert journey["packet"]["sport"] != 5001
    assert done.end is not None
    assert not [spot for spot in done.end["blind_spots"] if IN_USER_SPACE in spot]
