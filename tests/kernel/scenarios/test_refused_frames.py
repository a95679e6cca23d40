"""Frames that no interface takes: macvlan interfaces that are down, senders that cannot be."""

import socket

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.roads import NOBODY, bridge
from scenarios.traffic import ETH_P_IP
from scenarios.whydrop_process import Whydrop, told

SENT = 3
PORT = 5884
MAC = "02:00:00:00:00:5a"


@pytest.mark.parametrize("mode", ["bridge", "passthru"])
@pytest.mark.parametrize("here", [True, False], ids=["here", "in another namespace"])
def test_a_macvlan_interface_that_is_down(lab: Lab, whydrop: Whydrop, mode: str, here: bool) -> None:
    lab.b.set("net/ipv6/conf/default/disable_ipv6", 1)
    lab.b.configure(f"link add mv0 link {lab.b.iface} address {MAC} type macvlan mode {mode}")
    if not here:
        lab.b.configure(f"link set mv0 netns {lab.a.name}")
    body = traffic.udp_packet(lab.a.v4, "10.66.66.66", PORT)
    to = bytes.fromhex(MAC.replace(":", ""))
    traffic.frames(lab.a, lab.a.iface, to=to, kind=ETH_P_IP, body=body, count=SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        found = line["cause"]["id"], line["cause"]["confidence"]
        if here:
            assert found == ("device.macvlan-no-match", "certain"), told(line)
            blamed = {key: line["object"][key] for key in ("interface", "type", "setting")}
            assert blamed == {"interface": "mv0", "type": "macvlan", "setting": "down"}, told(line)
        elif mode == "passthru":
            assert found == ("device.macvlan-no-match", "likely"), told(line)
        else:
            assert "certain" not in found, told(line)


@pytest.mark.parametrize("source", [bytes(6), b"\x03\0\0\0\0\1"], ids=["nobody", "a group"])
def test_a_sender_that_cannot_be(lab: Lab, whydrop: Whydrop, source: bytes) -> None:
    bridge(lab)
    body = traffic.udp_packet(lab.a.v4, "10.66.66.66", PORT)
    with traffic.open_socket(lab.a, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((lab.a.iface, 0))
        for _ in range(SENT):
            sender.send(NOBODY + source + ETH_P_IP.to_bytes(2, "big") + body)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        found = line["cause"]["id"], line["cause"]["confidence"]
        assert found == ("device.mac-source-invalid", "certain"), told(line)
