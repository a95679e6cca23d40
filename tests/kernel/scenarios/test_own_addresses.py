"""Packets for an address of this host that are not taken for it: a VRF does not have it, or it may not be used yet."""

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.test_connections import RED
from scenarios.whydrop_process import Line, Whydrop

PORT = 5890
OUTSIDE = "10.66.0.1"


def test_an_address_outside_of_the_vrf(lab: Lab, whydrop: Whydrop) -> None:
    rules = ("rule add pref 32765 table local", "rule del pref 0 table local")
    lab.b.configure(f"address add {OUTSIDE}/32 dev lo", *RED, f"link set {lab.b.iface} master red", *rules)
    lab.b.configure("route add unreachable default table 77 metric 4278198272")
    lab.a.configure(f"route add {OUTSIDE} via {lab.b.v4}")
    traffic.datagrams(lab.a, OUTSIDE, [PORT] * 3)
    for line in deaths(whydrop, lab.b, 3, PORT):
        if line["reason"] is not None:
            found = line["cause"]["id"], line["cause"]["confidence"]
            assert found == ("routing.address-elsewhere", "likely"), line
            assert f"{OUTSIDE} is an address of lo" in line["evidence"][0]["text"], line


@pytest.mark.parametrize("here", [True, False], ids=["tentative", "of nobody"])
def test_an_address_that_nobody_may_use_yet(lab: Lab, whydrop: Whydrop, here: bool) -> None:
    """Duplicate address detection asks for a minute; whoever knows the hardware address sends to it already."""
    wanted = f"{lab.b.v6}66"
    hardware = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    for name, value in (("accept_dad", 1), ("dad_transmits", 60)):
        lab.b.set(f"net/ipv6/conf/{lab.b.iface}/{name}", value)
    if here:
        lab.b.configure(f"address add {wanted}/64 dev {lab.b.iface}")
    lab.a.configure(f"neigh add {wanted} lladdr {hardware} dev {lab.a.iface} nud permanent")
    traffic.datagrams(lab.a, wanted, [PORT] * 3)
    for line in deaths(whydrop, lab.b, 3, PORT):
        if line["reason"] is not None:
            expected = "routing.address-gone" if here else "routing.forwarding-off"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (expected, "certain"), line


def test_a_network_whose_vxlan_interface_is_down(lab: Lab, whydrop: Whydrop) -> None:
    """Another one on the same port is up: the kernel says that none has this identifier."""
    lab.b.configure(
        f"link add vx1 type vxlan id 1 dstport 4789 dev {lab.b.iface}",
        f"link add vx2 type vxlan id 2 dstport 4789 dev {lab.b.iface}",
        "link set vx1 up",
    )
    lab.a.configure(
        f"link add vx2 type vxlan id 2 dstport 4789 remote {lab.b.v4} dev {lab.a.iface}",
        "link set vx2 up",
        "address add 10.55.0.1/24 dev vx2",
        "neigh add 10.55.0.2 lladdr 02:00:00:00:00:07 dev vx2",
    )
    traffic.datagrams(lab.a, "10.55.0.2", [PORT])
    found = whydrop.wait_for(lambda line: line["type"] == "drop" and of_vxlan(lab, line))
    for line in found:
        if line["reason"] not in (None, "NOT_SPECIFIED"):
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("device.down", "likely"), line
            assert "vx2 has the VNI 2 and is down" in line["evidence"][0]["text"], line


def of_vxlan(lab: Lab, line: Line) -> bool:
    return line["packet"]["dport"] == 4789 and (line["netns"] or {}).get("name") == lab.b.name
