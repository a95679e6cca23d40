"""Ports that do not receive: the backup of a bond, also of one that it has left since."""

import socket
import time

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, stopped

IPV6, IPV4, LLDP = 0x86DD, 0x0800, 0x88CC
FAMILIES = {IPV6: 6, IPV4: 4, LLDP: None}
SENT = 5
PORT = 5895


@pytest.mark.parametrize("kind", [IPV6, IPV4, LLDP], ids=["IPv6", "IPv4", "LLDP"])
def test_a_backup_port_of_a_bond(lab: Lab, whydrop: Whydrop, kind: int) -> None:
    """What has a handler dies of the port, what has none of that."""
    lab.b.run("ip link add bond0 type bond mode active-backup")
    lab.b.run("ip link add first type dummy")
    lab.b.run(f"ip link set {lab.b.iface} down")
    for port in ("first", lab.b.iface):
        lab.b.run(f"ip link set {port} master bond0")
    lab.b.run("ip link set bond0 up")
    eventually(lambda: "state UP" in lab.b.run("ip link show bond0").stdout, "the bond is up")
    quiet = time.monotonic_ns()  # what comes earlier may meet another bond than is read
    body = {IPV6: b"\x60", IPV4: b"\x45"}.get(kind, b"\0") + bytes(60)
    traffic.frames(lab.a, lab.a.iface, to=traffic.BROADCAST, kind=kind, body=body, count=SENT)

    def ours(line: Line) -> bool:
        inside = line.get("type") == "drop" and (line.get("netns") or {}).get("name") == lab.b.name
        here = inside and line["where"]["function"].startswith("__netif_receive_skb")
        here = here and line["monotonic_ns"] > quiet and line["iface"]["name"] == lab.b.iface
        return bool(here and line["packet"]["family"] == FAMILIES[kind])

    for line in whydrop.wait_for(ours, SENT)[:SENT]:
        if line["reason"] is None:
            assert line["cause"]["confidence"] != "certain", line
            continue
        if kind == LLDP:
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (
                "device.unhandled-protocol",
                "certain",
            ), line
            continue
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("device.bond-inactive", "certain"), line
        blamed = line["object"]
        assert (blamed["kind"], blamed["interface"]) == ("bond-port", lab.b.iface), line
        assert (blamed["master"], blamed["mode"], blamed["active"]) == ("bond0", "active-backup", "first"), (
            line
        )


@pytest.mark.parametrize("moved", [True, False])
def test_the_bond_of_a_port_that_was_moved(lab: Lab, whydrop: Whydrop, moved: bool) -> None:
    """By the reading it is a backup port of another bond."""
    lab.b.configure(f"link set {lab.b.iface} down")
    for number in (0, 1):
        lab.b.configure(
            f"link add bond{number} type bond mode active-backup",
            f"link add first{number} type dummy",
            f"link set first{number} master bond{number}",
            f"link set bond{number} up",
        )
    lab.b.configure(f"link set {lab.b.iface} master bond0")
    body = traffic.udp_packet(lab.a.v4, lab.b.v4, PORT)
    with stopped(whydrop):
        traffic.frames(lab.a, lab.a.iface, to=traffic.BROADCAST, kind=IPV4, body=body, count=3)
        if moved:
            down = (f"link set {lab.b.iface} nomaster", f"link set {lab.b.iface} down")
            lab.b.configure(*down, f"link set {lab.b.iface} master bond1")
    for line in deaths(whydrop, lab.b, 3, PORT):
        if line["reason"] is not None:
            found = line["cause"]["id"], line["cause"]["confidence"]
            assert found == ("device.bond-inactive", "likely" if moved else "certain"), line
            said = any(
                "the interfaces of this namespace changed" in fact["text"] for fact in line["evidence"]
            )
            assert said == moved, line


@pytest.mark.parametrize("bridged", [True, False])
def test_what_switches_tell_one_another_is_no_loss(lab: Lab, whydrop: Whydrop, bridged: bool) -> None:
    """Spanning tree of a bridge in b, and frames of LLDP and LACP, to a host that takes part in neither."""
    if bridged:
        ports = ("link add br0 type bridge stp_state 1 hello_time 100", f"link set {lab.b.iface} master br0")
        with traffic.open_socket(lab.a, socket.AF_PACKET, socket.SOCK_RAW) as tap:
            tap.bind((lab.a.iface, 4))  # ETH_P_802_2
            tap.settimeout(60)
            lab.b.configure(*ports, "link set br0 up")
            for _ in range(3):
                tap.recv(100)
    else:
        for kind, group in ((LLDP, b"\x0e"), (0x8809, b"\x02")):
            to = b"\x01\x80\xc2\0\0" + group
            traffic.frames(lab.b, lab.b.iface, to=to, kind=kind, body=bytes(60), count=3)
    traffic.frames(lab.b, lab.b.iface, to=traffic.BROADCAST, kind=0x88B5, body=bytes(60), count=1)
    (last,) = deaths(whydrop, lab.a, 1)
    assert last["packet"]["proto"] in ("0x88b5", None), last
