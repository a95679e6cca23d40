"""The walk against Wireshark's dissectors: the same headers, with the same addresses, protocols, ports and SPIs."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import product
from pathlib import Path

import pytest

from dropwatch.model.drop import Packet
from dropwatch.packet.parse import parse
from dropwatch.packet.walk import walk
from tests.unit.packet import packets as made
from tests.unit.packet.combined import IP_TYPES, LEAVES, around, combined

# What tshark calls the headers of the walk.
NAMES = {
    "ipv4": "ip",
    "hop-by-hop": "ipv6.hopopts",
    "destination": "ipv6.dstopts",
    "routing": "ipv6.routing",
    "fragment": "ipv6.fraghdr",
    "ethernet": "eth",
    "icmp6": "icmpv6",
    "comp": "ipcomp",
    "l2tp-ip": "l2tp",
    "wireguard": "wg",
    "ike": "isakmp",
}
# The differences, all of them: what one side names and the other does not.
ONLY_TSHARK = {
    "ethertype": "a field of Ethernet, not a header",
    "data": "what is behind the last header",
    "udpencap": "its word for what port 4500 carries; the walk names ESP, IKE and keepalives themselves",
}
ONLY_WALK = {
    "keepalive": "one byte, which tshark calls udpencap",
    "tcp-encapsulation": "tshark does not open RFC 9329: its TCPENCAP is another protocol of the same name",
}
RENAMED = {"ieee8021ad": "vlan"}  # the outer tag of QinQ
# Kind of header, and where in it the field is: offset and size in bytes.
FIELDS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "ip.src": (("ipv4", 12, 4),),
    "ip.dst": (("ipv4", 16, 4),),
    "ip.proto": (("ipv4", 9, 1),),
    "ipv6.src": (("ipv6", 8, 16),),
    "ipv6.dst": (("ipv6", 24, 16),),
    "ipv6.nxt": (("ipv6", 6, 1),),
    "udp.srcport": (("udp", 0, 2), ("udplite", 0, 2)),
    "udp.dstport": (("udp", 2, 2), ("udplite", 2, 2)),
    "tcp.srcport": (("tcp", 0, 2),),
    "tcp.dstport": (("tcp", 2, 2),),
    "sctp.srcport": (("sctp", 0, 2),),
    "sctp.dstport": (("sctp", 2, 2),),
    "esp.spi": (("esp", 0, 4),),
    "esp.sequence": (("esp", 4, 4),),
    "ah.spi": (("ah", 4, 4),),
    "ipcomp.cpi": (("comp", 2, 2),),
    "icmp.type": (("icmp", 0, 1),),
    "icmpv6.type": (("icmp6", 0, 1),),
    "vxlan.vni": (("vxlan", 4, 3),),
    "geneve.vni": (("geneve", 4, 3),),
    "gtp.teid": (("gtp", 4, 4),),
    "wg.type": (("wireguard", 0, 1),),
}


# No reassembly; and what the two ends of L2TPv3 have agreed on, as Linux does by itself.
PREFERENCES = (
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "l2tp.cookie_size:None",
    "l2tp.l2_specific:Default L2-Specific",
)
DECODED_AS = ("udp.port==8472,vxlan", "l2tp.pw_type==0,eth")


@dataclass
class Seen:
    """The names of the headers of one packet, and the values of every field."""

    headers: list[str]
    values: dict[str, list[int]] = field(default_factory=dict)


def by_walk(packet: bytes) -> Seen:
    layers = walk(packet).layers
    kinds = [layer.kind for layer in layers]
    if "tcp-encapsulation" in kinds:
        layers = layers[: kinds.index("tcp-encapsulation")]
    values: dict[str, list[int]] = {name: [] for name in FIELDS}
    for layer, (name, places) in product(layers, FIELDS.items()):
        values[name] += [layer.number(at, size) for kind, at, size in places if kind == layer.kind]
    return Seen(merged([NAMES.get(layer.kind, layer.kind) for layer in layers]), values)


def merged(headers: list[str]) -> list[str]:
    """Labels of one MPLS stack are one header for tshark, and in L2TPv3 it is silent about the Ethernet."""
    found: list[str] = []
    for header in headers:
        if (
            header in ONLY_TSHARK
            or header in ONLY_WALK
            or [*found[-1:], header] in (["mpls", "mpls"], ["l2tp", "eth"])
        ):
            continue
        found.append(RENAMED.get(header, header))
    return found


def capture(packets: list[bytes], path: Path) -> None:
    """Ethernet, as https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html has it."""
    with path.open("wb") as file:
        file.write(struct.pack("!IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 1))
        for number, packet in enumerate(packets):
            frame = made.ethernet(IP_TYPES[packet[0] >> 4], packet)
            file.write(struct.pack("!IIII", number, 0, len(frame), len(frame)) + frame)


def by_tshark(packets: list[bytes], directory: Path) -> list[Seen]:
    path = directory / "packets.pcap"
    capture(packets, path)
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]
    for preference in PREFERENCES:
        command += ["-o", preference]
    for port in DECODED_AS:
        command += ["-d", port]
    for name in ("frame.protocols", *FIELDS):
        command += ["-e", name]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = ran.stdout.splitlines()
    assert len(lines) == len(packets), ran.stderr
    found = []
    for line in lines:
        protocols, *columns = line.split("\t")
        values = {
            name: [number(text) for text in column.split(",") if text]
            for name, column in zip(FIELDS, columns, strict=True)
        }
        found.append(Seen(merged(protocols.split(":")[2:]), values))  # without the Ethernet around it
    return found


def number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return int(ip_address(text))


# Names of Packet.proto by what tshark finds behind IP.
PROTOS = {"ip": "ipip", "ipcomp": "comp", "icmpv6": "icmp6", "mpls": "mpls-in-ip", "eth": "ethernet"}
SPIS = {"esp": "esp.spi", "ah": "ah.spi", "ipcomp": "ipcomp.cpi"}
WITH_PORTS = {"udp": "udp", "tcp": "tcp", "sctp": "sctp", "udplite": "udp"}


@dataclass
class Flow:
    """One IP packet: of its own, carried, or quoted."""

    src: int
    dst: int
    proto: str | None = None
    sport: int | None = None
    dport: int | None = None
    spi: int | None = None
    quoted: bool = False


def flows(seen: Seen) -> list[Flow]:
    """The packet and the packets in it, from the outermost on, as tshark sees them."""
    values = {name: iter(numbers) for name, numbers in seen.values.items()}
    found: list[Flow] = []
    before = ""
    for header in seen.headers:
        if found and found[-1].proto is None and not header.startswith("ipv6."):
            found[-1].proto = PROTOS.get(header, header)
        if header in ("ip", "ipv6"):
            ends = next(values[f"{header}.src"]), next(values[f"{header}.dst"])
            found.append(Flow(*ends, quoted=before.startswith("icmp")))
        elif header in WITH_PORTS:
            ports = [next(values[f"{WITH_PORTS[header]}.{side}port"]) for side in ("src", "dst")]
            if found[-1].proto == header:  # a Packet of AH tells no ports
                found[-1].sport, found[-1].dport = ports
        elif header in SPIS:
            spi = next(values[SPIS[header]])
            if found[-1].spi is None:  # of AH around ESP a Packet tells the outer one
                found[-1].spi = spi
        before = header
    return found


def told(packet: Packet | None) -> Iterator[Flow]:
    """The same, as a Packet tells it."""
    quoted = False
    while packet is not None:
        assert packet.saddr is not None
        assert packet.daddr is not None
        ends = int(packet.saddr), int(packet.daddr)
        spi = packet.spi if packet.proto != "tcp" else None  # RFC 9329, which tshark does not open
        yield Flow(*ends, packet.proto, packet.sport, packet.dport, spi, quoted)
        quoted = packet.quoted is not None
        packet = packet.quoted or packet.inner


@dataclass
class Compared:
    name: str
    packet: bytes
    seen: Seen


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Compared]:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    version = subprocess.run(["tshark", "--version"], capture_output=True, text=True, check=True).stdout
    if "4.0." not in version.partition("\n")[0]:
        pytest.skip("feature tshark-4.0: others open more, or less, of what is in a packet")
    names, packets = zip(*combined(), strict=True)
    seen = by_tshark(list(packets), tmp_path_factory.mktemp("tshark"))
    return [Compared(*each) for each in zip(names, packets, seen, strict=True)]


def test_there_are_many_and_each_is_another(everything: list[Compared]) -> None:
    assert len(everything) >= 2000
    assert len({each.packet for each in everything}) > 0.95 * len(everything)
    deepest = max(everything, key=lambda each: len(each.seen.headers))
    assert len(deepest.seen.headers) > 15


def test_the_same_headers_with_the_same_values(everything: list[Compared]) -> None:
    for each in everything:
        ours = by_walk(each.packet)
        assert ours.headers == each.seen.headers, each.name
        assert ours.values == each.seen.values, each.name


def test_a_packet_tells_the_same_of_itself_and_of_what_is_in_it(everything: list[Compared]) -> None:
    for each in everything:
        assert list(told(parse(each.packet, 0, 0, 0))) == flows(each.seen), each.name


def test_esp_in_tcp_which_tshark_does_not_open() -> None:
    packet = parse(around(4, *LEAVES["esp-in-tcp"][1:]), 0, 0, 0)
    assert (packet.proto, packet.dport, packet.spi, packet.seq) == ("tcp", 4500, 0x1003, 7)
