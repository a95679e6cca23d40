"""Frames that a bridge keeps: its ports and the frame tell why, also on kernels that give no reason."""

import struct
from typing import NamedTuple

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.roads import NOBODY, bridge
from scenarios.traffic import ETH_P_IP
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop, stopped, told

SENT = 3
PORT = 5871
BEHIND = b"\x02\x00\x00\x00\x77\x77"
ENTERED = "bridge fdb replace 02:00:00:00:77:77 dev {port} master static"


class Loss(NamedTuple):
    """`setup` is carried out in b, where the bridge has the ports vb, by which the frames come, and p0."""

    setup: tuple[str, ...]
    cause: str
    setting: str
    blamed: str | None = "vb"
    to: bytes = BEHIND
    vid: int | None = None
    size: int = 8


LOSSES = {
    "disabled": Loss(("bridge link set dev vb state 0",), "device.bridge-stp", "state disabled"),
    "listening": Loss(("bridge link set dev vb state 1",), "device.bridge-stp", "state listening"),
    "learning": Loss(("bridge link set dev vb state 2",), "device.bridge-stp", "state learning"),
    "listening where it should leave": Loss(
        (ENTERED.format(port="p0"), "bridge link set dev p0 state 1"),
        "device.bridge-stp",
        "state listening",
        blamed="p0",
    ),
    "back through its port": Loss(
        (ENTERED.format(port="vb"),), "device.bridge-hairpin", "hairpin off", blamed="vb"
    ),
    "isolated": Loss(
        (ENTERED.format(port="p0"), *(f"bridge link set dev {port} isolated on" for port in ("vb", "p0"))),
        "device.bridge-isolated",
        "isolated on",
        blamed="p0",
    ),
    "locked": Loss(
        ("bridge link set dev vb locked on learning off", "bridge fdb flush dev vb master dynamic"),
        "device.bridge-locked",
        "locked on",
    ),
    "no PVID": Loss(
        ("ip link set br0 type bridge vlan_filtering 1", "bridge vlan del dev vb vid 1"),
        "device.bridge-vlan-filter",
        "no VLAN, no PVID",
    ),
    "another VLAN": Loss(
        ("ip link set br0 type bridge vlan_filtering 1", "bridge vlan add dev vb vid 10-20"),
        "device.bridge-vlan-filter",
        "VLANs 1 10-20, PVID 1",
        vid=30,
    ),
    "no other port has the VLAN": Loss(
        ("ip link set br0 type bridge vlan_filtering 1", "bridge vlan del dev p0 vid 1"),
        "device.bridge-no-port",
        "p0: no VLAN, no PVID",
        blamed=None,
        to=NOBODY,
    ),
    "no flooding": Loss(
        ("bridge link set dev p0 flood off",),
        "device.bridge-no-port",
        "p0: flood off",
        blamed=None,
        to=NOBODY,
    ),
    "too big": Loss(
        (ENTERED.format(port="p0"), "ip link set p0 mtu 1200", "ip link set br0 mtu 1500"),
        "device.too-big-for-port",
        "mtu 1200",
        blamed="p0",
        size=1400,
    ),
}


def settled(lab: Lab) -> None:
    """The kernel hears of a carrier up to a second later; what has changed since a drop is doubted."""
    links = ("vb", "p0", "br0")
    eventually(
        lambda: all("state UP" in lab.b.run(f"ip link show {link}").stdout for link in links),
        "all have their carrier",
    )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_frame_that_a_bridge_keeps(lab: Lab, whydrop: Whydrop, loss: Loss) -> None:
    bridge(lab)
    settled(lab)
    assert lab.b.iface == "vb"
    for command in loss.setup:
        done = lab.b.run(command, check=False)
        if (
            "locked" in command
            and done.returncode == 0
            and "locked on" not in lab.b.run("bridge -d link").stdout
        ):
            pytest.skip("feature bridge-locked: this kernel has no such setting of a port")
        assert done.returncode == 0, done.stderr
    body = traffic.udp_packet(lab.a.v4, "10.66.66.66", PORT, data=bytes(loss.size))
    kind = ETH_P_IP
    if loss.vid is not None:
        kind, body = 0x8100, struct.pack("!HH", loss.vid, ETH_P_IP) + body
    traffic.frames(lab.a, lab.a.iface, to=loss.to, kind=kind, body=body, count=SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (loss.cause, "certain"), told(line)
        blamed = line["object"]
        if loss.blamed is None:
            assert any(loss.setting in fact["text"] for fact in line["evidence"]), line
        else:
            assert (blamed["kind"], blamed["bridge"]) == ("bridge-port", "br0"), line
            assert (blamed["interface"], blamed["setting"]) == (loss.blamed, loss.setting), line


@pytest.mark.parametrize("tag", [None, 15])
def test_the_bridge_itself_lacks_the_vlan(lab: Lab, whydrop: Whydrop, tag: int | None) -> None:
    """A frame for the host: its port has the VLAN, in which the bridge knows the port's address, and has not got it."""
    bridge(lab)
    settled(lab)
    for command in (
        "ip link set br0 type bridge vlan_filtering 1",
        "bridge vlan add dev vb vid 15",
        "bridge vlan add dev br0 vid 30 self",
        "bridge vlan del dev br0 vid 1 self",
    ):
        lab.b.run(command)
    body = traffic.udp_packet(lab.a.v4, lab.b.v4, PORT)
    kind = ETH_P_IP
    if tag is not None:
        kind, body = 0x8100, struct.pack("!HH", tag, ETH_P_IP) + body
    to = traffic.hardware_address(lab.b, lab.b.iface)
    traffic.frames(lab.a, lab.a.iface, to=to, kind=kind, body=body, count=SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        shown, blamed = told(line), line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (
            "device.bridge-vlan-filter",
            "certain",
        ), shown
        assert (blamed["interface"], blamed["bridge"]) == ("br0", "br0"), shown
        assert blamed["setting"] == "VLANs 30, no PVID", shown
        assert f"the frame is of VLAN {tag or 1}, from port vb" in line["evidence"][0]["text"], shown
        assert f"bridge vlan add dev br0 vid {tag or 1} self" in str(line["fix"][1]["command"]), line["fix"]


def test_a_port_that_forwards_again_by_the_reading(lab: Lab, whydrop: Whydrop) -> None:
    bridge(lab)
    lab.b.run("bridge link set dev vb state 1")
    body = traffic.udp_packet(lab.a.v4, "10.66.66.66", PORT)
    with stopped(whydrop):
        traffic.frames(lab.a, lab.a.iface, to=NOBODY, kind=ETH_P_IP, body=body, count=SENT)
        lab.b.run("bridge link set dev vb state 3")
    for line in deaths(whydrop, lab.b, SENT, PORT):
        if line["reason"] != "BRIDGE_INGRESS_STP_STATE":
            assert (line["cause"]["id"], line["cause"]["confidence"]) == ("device.bridge-stp", "likely"), line
