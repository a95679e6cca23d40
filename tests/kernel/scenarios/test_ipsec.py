"""The main job: `whydrop --dport 5000` explains ESP packets that cannot be decrypted and show no port."""

import socket

import pytest
from scenarios import esp
from scenarios.namespaces import Lab, Namespace
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h
WAYS = [(family, mode) for family in (4, 6) for mode in ("transport", "tunnel")]


@pytest.fixture
def whydrop(filtered: Whydrop) -> Whydrop:
    return filtered


def dead_in(end: Namespace, whydrop: Whydrop, count: int) -> list[Line]:
    found = whydrop.wait_for(lambda line: _died_in(end, line), count)
    assert len(found) == count, found
    return found


def _died_in(end: Namespace, line: Line) -> bool:
    """By name: the kernel gives the inode number of a namespace that is gone to the next one."""
    return line.get("type") == "drop" and (line.get("netns") or {}).get("name") == end.name


def counter(end: Namespace, name: str) -> int:
    lines = end.run("cat /proc/net/xfrm_stat").stdout.splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines}[name]


def causes(lines: list[Line]) -> set[tuple[str, str, str]]:
    return {(line["cause"]["id"], line["cause"]["confidence"], line["match"]) for line in lines}


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_keys_that_differ(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    way = esp.connection(lab, family, mode, 0x1001)
    way.add_state(lab.a, esp.aead(esp.GOOD_KEY))
    way.add_state(lab.b, esp.aead(esp.OTHER_KEY))
    way.add_policies()
    way.send(7)
    found = dead_in(lab.b, whydrop, 7)
    assert causes(found) == {("ipsec.auth-failed", "certain", "ipsec")}
    assert {line["object"]["kind"] for line in found} == {"xfrm-state"}
    assert {line["object"]["spi"] for line in found} == {way.spi_text}
    assert [line["packet"]["seq"] for line in found] == list(range(1, 8))
    first = found[0]
    assert first["packet"]["proto"] == "esp"
    assert (first["packet"]["saddr"], first["packet"]["daddr"]) == way.outer
    assert first["where"]["function"].startswith("xfrm_input")
    assert (first["where"]["layer"], first["where"]["direction"]) == ("ipsec", "in")
    assert first["iface"]["name"] == lab.b.iface
    assert first["netns"]["name"] == lab.b.name
    assert counter(lab.b, "XfrmInStateProtoError") == 7
    shown = lab.b.run(f"ip -s xfrm state get {way.identity}").stdout
    assert "failed 7" in shown
    assert "rfc4106(gcm(aes))" in first["object"]["text"]
    assert esp.OTHER_KEY.removeprefix("0x") not in str(found), "a key was shown"


def test_other_hmac_key(lab: Lab, whydrop: Whydrop) -> None:
    way = esp.connection(lab, 4, "transport", 0x1002)
    way.add_state(lab.a, esp.cbc_hmac(esp.HMAC_KEY))
    way.add_state(lab.b, esp.cbc_hmac(esp.OTHER_HMAC_KEY))
    way.add_policies()
    way.send(5)
    assert causes(dead_in(lab.b, whydrop, 5)) == {("ipsec.auth-failed", "certain", "ipsec")}


def test_ah_with_another_key(lab: Lab, whydrop: Whydrop) -> None:
    way = esp.connection(lab, 4, "transport", 0x1003, proto="ah")
    way.add_state(lab.a, f"auth-trunc hmac(sha256) {esp.HMAC_KEY} 128")
    way.add_state(lab.b, f"auth-trunc hmac(sha256) {esp.OTHER_HMAC_KEY} 128")
    way.add_policies()
    way.send(3)
    found = dead_in(lab.b, whydrop, 3)
    assert causes(found) == {("ipsec.auth-failed", "certain", "ipsec")}
    assert {line["packet"]["proto"] for line in found} == {"ah"}


def test_esp_in_udp(lab: Lab, whydrop: Whydrop) -> None:
    """NAT traversal: what arrives looks like UDP to port 4500."""
    way = esp.connection(lab, 4, "transport", 0x1004)
    for end, key in ((lab.a, esp.GOOD_KEY), (lab.b, esp.OTHER_KEY)):
        way.add_state(end, esp.aead(key), "encap espinudp 4500 4500 0.0.0.0")
    way.add_policies()
    with lab.b.entered():
        ike = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ike:
        ike.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        ike.bind(("0.0.0.0", 4500))
        way.send(3)
        found = dead_in(lab.b, whydrop, 3)
    assert causes(found) == {("ipsec.auth-failed", "certain", "ipsec")}
    assert {line["packet"]["spi"] for line in found} == {way.spi_text}


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_sa_deleted(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    """The peer still uses an SA that is gone here, after a rekeying say: the one that is here now is named."""
    way = esp.connection(lab, family, mode, 0x2001)
    way.add_state(lab.a, esp.aead(esp.GOOD_KEY))
    way.add_policies()
    successor = esp.connection(lab, family, "transport", 0x2002)
    esp.Connection(lab, mode, way.inner, way.outer, successor.spi).add_state(lab.b, esp.aead(esp.GOOD_KEY))
    way.send(5)
    found = dead_in(lab.b, whydrop, 5)
    assert causes(found) == {("ipsec.no-state", "certain", "ipsec")}
    assert {line["packet"]["spi"] for line in found} == {way.spi_text}
    assert all("0x00002002" in line["object"]["text"] for line in found), found[0]
    assert counter(lab.b, "XfrmInNoStates") == 5


def test_another_tunnel_stays_out(lab: Lab, whydrop: Whydrop) -> None:
    other = esp.Connection(
        lab,
        "transport",
        (lab.a.v6, lab.b.v6),
        (lab.a.v6, lab.b.v6),
        0x3002,
        selector="proto udp dport 6000",
        reqid=2,
    )
    way = esp.connection(lab, 4, "transport", 0x3001)
    for each in (other, way):
        each.add_state(lab.a, esp.aead(esp.GOOD_KEY))
        each.add_state(lab.b, esp.aead(esp.OTHER_KEY))
        each.add_policies()
    other.send(5, port=6000)
    eventually(lambda: counter(lab.b, "XfrmInStateProtoError") == 5, "the other tunnel's packets die")
    way.send(3)
    found = dead_in(lab.b, whydrop, 3)
    assert {line["packet"]["spi"] for line in found} == {way.spi_text}


def test_what_arrives_is_no_finding(lab: Lab, whydrop: Whydrop) -> None:
    """Protected traffic that is decrypted and read gives nothing; the datagram after the reader has gone does."""
    way = esp.connection(lab, 4, "tunnel", 0x4001)
    for end in (lab.a, lab.b):
        way.add_state(end, esp.aead(esp.GOOD_KEY))
    way.add_policies()
    with lab.b.entered():
        reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with reader:
        reader.bind((way.inner[1], esp.PORT))
        reader.settimeout(60)
        way.send(7)
        for _ in range(7):
            reader.recv(100)
    way.send(1)
    (last,) = dead_in(lab.b, whydrop, 1)
    assert last["match"] == "direct"
    assert (last["packet"]["proto"], last["packet"]["dport"]) == ("udp", 5000)
