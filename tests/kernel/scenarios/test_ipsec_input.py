"""What xfrm_input refuses, in one pair of namespaces: each packet's cause beside the kernel's own counters."""

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator

import pytest
from scenarios import traffic, tunnels
from scenarios.namespaces import Lab, joined_pair
from scenarios.tallies import Tally, said, told
from scenarios.tunnels import Way, way
from scenarios.whydrop_process import Whydrop

ESP, AH, COMP = 50, 51, 108
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h
MODES = [(family, mode) for family in (4, 6) for mode in ("transport", "tunnel", "beet")]
KIND = {4: 0x0800, 6: 0x86DD}


@pytest.fixture(scope="module")
def lab(whydrop: Whydrop) -> Iterator[Lab]:
    """One pair for the whole file. Headers of protocols that no SA has asked for yet are looked at all the same."""
    subprocess.run(["modprobe", "-a", "esp4", "esp6", "ah4", "ah6", "ipcomp", "ipcomp6"], check=True)
    with joined_pair() as pair:
        yield pair
        shown = str(whydrop.lines())
        assert not [key for key in tunnels.KEYS if key in shown], "a key was shown"


@pytest.fixture
def tally(lab: Lab, whydrop: Whydrop) -> Tally:
    return Tally(lab, whydrop)


@pytest.mark.parametrize(("family", "mode"), MODES)
def test_keys_differ(lab: Lab, tally: Tally, family: int, mode: str) -> None:
    """Three algorithms: AEAD, cipher and HMAC with one cipher key, AH (which BEET has not)."""
    cipher_key = tunnels.key(32)
    algorithms: dict[str, Callable[[], str]] = {
        "rfc4106(gcm(aes))": tunnels.gcm,
        "cbc(aes)": lambda: tunnels.cbc_sha256(cipher_key),
    }
    if mode != "beet":
        algorithms["hmac(sha256)"] = tunnels.sha256
    ways: dict[str, tuple[str, Way]] = {}
    for name, make in algorithms.items():
        one = way(lab, family, mode, "ah" if name == "hmac(sha256)" else "esp")
        one.lead_in(make())
        lab.b.configure(one.state(make()))
        one.send(3)
        ways[one.spi_text] = (name, one)
    found = tally.deaths(3 * len(ways))
    told(found, "ipsec.auth-failed", "the keys or the integrity algorithm differ")
    assert tally.rose() == {"XfrmInStateProtoError": len(found)}
    for line in found:
        packet, thing = line["packet"], line["object"]
        name, one = ways[packet["spi"]]
        assert (packet["proto"], packet["family"]) == (one.proto, family)
        assert (packet["saddr"], packet["daddr"]) == one.outer
        assert (thing["kind"], thing["spi"]) == ("xfrm-state", one.spi_text)
        assert name in thing["text"]
        assert (line["where"]["layer"], line["where"]["direction"]) == ("ipsec", "in")
        assert all(
            word in said(line) for word in (one.spi_text, f"seq {packet['seq']}", "mark 0x0", *one.outer)
        )
        assert line["iface"]["name"] == lab.b.iface
    for _, one in ways.values():
        assert tunnels.use(lab.b, one).failed == 3
        assert [line["packet"]["seq"] for line in found if line["packet"]["spi"] == one.spi_text] == [1, 2, 3]


@pytest.mark.parametrize(
    ("family", "mode"), [(4, "tunnel"), (6, "tunnel"), (4, "transport"), (6, "transport")]
)
def test_cipher_without_a_check(lab: Lab, tally: Tally, family: int, mode: str) -> None:
    """The padding is nonsense. What passes by chance is of a protocol by chance, and dies of that or not at all."""
    one = way(lab, family, mode)
    one.lead_in(tunnels.cbc())
    lab.b.configure(one.state(tunnels.cbc()))
    one.send(16, size=1)
    tally.settle()
    rose = tally.rose()
    refused = [line for line in tally.found() if line["packet"]["spi"] == one.spi_text]
    told(refused, "ipsec.decrypt-garbage", one.spi_text, confidence=("likely", "certain"))
    assert len(refused) == rose.get("XfrmInStateProtoError", 0) + rose.get("XfrmInStateModeError", 0) >= 8
    assert {line["object"]["spi"] for line in refused} == {one.spi_text}


@pytest.mark.parametrize("family", [4, 6])
def test_sent_twice(lab: Lab, tally: Tally, family: int) -> None:
    """A captured packet once more, at once, and when the window of 12 has gone past it."""
    one = way(lab, family, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "replay-window 12"))
    hardware = traffic.hardware_address(lab.b, lab.b.iface)

    def resend(packet: bytes) -> None:
        traffic.frames(lab.a, lab.a.iface, to=hardware, kind=KIND[family], body=packet, count=1)

    with one.read() as reader:
        with tunnels.captured(lab.a, lab.a.iface, family) as packets:
            one.send(6)
        reader.take(6)
        resend(packets[2])
        told(tally.deaths(1), "ipsec.replay", "sequence number 3", one.spi_text, "window 12", "6")
        one.send(14)
        reader.take(14)
        resend(packets[4])
        found = tally.deaths(2)
    told(found[1:], "ipsec.replay", "sequence number 5", one.spi_text, "window 12", "20", "below 9")
    assert [line["packet"]["seq"] for line in found] == [3, 5]
    assert {line["object"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmInStateSeqError": 2}
    counted = tunnels.use(lab.b, one)
    assert (counted.too_old, counted.replayed, counted.packets) == (1, 1, 20)


def test_sent_twice_with_extended_numbers(lab: Lab, tally: Tally) -> None:
    """In the window it is a replay. An older number is taken for one of the next 2^32 and fails its check."""
    one = way(lab, 4, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms, "replay-window 48 flag esn")
    lab.b.configure(one.state(algorithms, "replay-window 48 flag esn"))
    hardware = traffic.hardware_address(lab.b, lab.b.iface)
    with one.read() as reader:
        with tunnels.captured(lab.a, lab.a.iface, 4) as packets:
            one.send(60)
        reader.take(60)
        for packet in (packets[40], packets[1]):
            traffic.frames(lab.a, lab.a.iface, to=hardware, kind=KIND[4], body=packet, count=1)
        found = tally.deaths(2)
    told(found[:1], "ipsec.replay", "sequence number 41", "window 48", "60")
    assert tally.rose() == {"XfrmInStateSeqError": 1, "XfrmInStateProtoError": 1}
    told(found[1:], "ipsec.replay", "sequence number 2 is below the window", "13", confidence=("likely",))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("wrapped", [False, True])
def test_encapsulation(lab: Lab, tally: Tally, family: int, wrapped: bool) -> None:
    """The SA wants UDP and plain ESP comes, and the reverse."""
    one = way(lab, family, "transport")
    any_address = "0.0.0.0" if family == 4 else "::"
    around = f"encap espinudp 4517 4519 {any_address}"
    algorithms = tunnels.gcm()
    one.lead_in(algorithms, around if wrapped else "")
    lab.b.configure(one.state(algorithms, "" if wrapped else around))
    with traffic.open_socket(lab.b, traffic.family_of(any_address), socket.SOCK_DGRAM) as ike:
        ike.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        ike.bind((any_address, 4519))
        one.send(3)
        found = tally.deaths(3)
    told(found, "ipsec.encap-mismatch", one.spi_text, "udp 4517 > 4519" if wrapped else "espinudp")
    assert {line["object"]["spi"] for line in found} == {one.spi_text}
    assert {line["packet"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmInStateMismatch": 3}


@pytest.mark.parametrize("family", [4, 6])
def test_transport_for_a_tunnel(lab: Lab, tally: Tally, family: int) -> None:
    one = way(lab, family, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.but(mode="tunnel").state(algorithms))
    one.send(3)
    found = tally.deaths(3)
    told(
        found,
        "ipsec.mode-mismatch",
        one.spi_text,
        "mode tunnel",
        "transport",
        confidence=("certain", "likely"),
    )
    assert {line["object"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmInStateModeError": 3}


@pytest.mark.parametrize("family", [4, 6])
def test_tunnel_for_transport(lab: Lab, tally: Tally, family: int) -> None:
    """Decrypted, it is a packet of protocol 4 or 41 that nobody takes: no reason of IPsec is the kernel's."""
    one = way(lab, family, "tunnel")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.but(mode="transport").state(algorithms))
    one.send(3)
    found = tally.deaths(3)
    assert tunnels.use(lab.b, one).packets == 3
    told(found, "ipsec.mode-mismatch", "transport", "tunnel", confidence=("certain", "likely"))


@pytest.mark.parametrize("family", [4, 6])
def test_cut_off(lab: Lab, tally: Tally, family: int) -> None:
    """Headers that end too early, and packets that are shorter than the algorithms of their SA need."""
    address = (lab.b.v4, lab.b.v6)[family == 6]
    short = {ESP: 7, AH: 11, COMP: 3}
    for proto, length in short.items():
        tunnels.raw(lab.a, address, proto, bytes(length), 2)
    found = tally.deaths(6)
    told(found, "ipsec.header-error", "spi")
    assert [line["object"] for line in found] == [None] * 6
    assert tally.rose() == {"XfrmInHdrError": 6}
    tally = tally.again()
    esp, ah = way(lab, family), way(lab, family, proto="ah")
    lab.b.configure(esp.state(tunnels.gcm()), ah.state(tunnels.sha256()))
    tunnels.raw(lab.a, address, ESP, struct.pack("!II", esp.spi, 1) + bytes(5))
    tunnels.raw(lab.a, address, AH, struct.pack("!BBHII", 17, 4, 0, ah.spi, 1) + bytes(7))
    found = tally.deaths(2)
    told(found, "ipsec.header-error", confidence=("certain", "likely"))
    assert [line["object"]["spi"] for line in found] == [esp.spi_text, ah.spi_text]
    assert tally.rose() == {"XfrmInStateProtoError": 2}


@pytest.mark.parametrize("family", [4, 6])
def test_compression(lab: Lab, tally: Tally, family: int) -> None:
    """What is compressed arrives; with a number that is unknown here it does not."""
    one = way(lab, family, proto="comp")
    one.open("comp deflate")
    with one.read() as reader:
        one.send(3, size=1100)
        reader.take(3)
        assert tunnels.use(lab.b, one).packets == 3
        lab.b.run(f"ip xfrm state delete {one.identity}")
        one.send(2, size=1100)
        found = tally.deaths(2)
    told(found, "ipsec.no-state", one.spi_text)
    assert {line["packet"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmInNoStates": 2}
