"""Ports that do not receive: the backup of a bond."""

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop

IPV6, IPV4, LLDP = 0x86DD, 0x0800, 0x88CC
FAMILIES = {IPV6: 6, IPV4: 4, LLDP: None}
SENT = 5


@pytest.mark.parametrize("kind", [IPV6, IPV4, LLDP], ids=["IPv6", "IPv4", "LLDP"])
def test_a_backup_port_of_a_bond(lab: Lab, whydrop: Whydrop, kind: int) -> None:
    """What has a handler dies of the port, what has none of that."""
    lab.b.run("ip link add bond0 type bond mode active-backup")
    lab.b.run("ip link add first type dummy")
    lab.b.run(f"ip link set {lab.b.iface} down")
    for port in ("first", lab.b.iface):
        lab.b.run(f"ip link set {port} master bond0")
    lab.b.run("ip link set bond0 up")
    body = {IPV6: b"\x60", IPV4: b"\x45"}.get(kind, b"\0") + bytes(60)
    traffic.frames(lab.a, lab.a.iface, to=traffic.BROADCAST, kind=kind, body=body, count=SENT)

    def ours(line: Line) -> bool:
        inside = line.get("type") == "drop" and (line.get("netns") or {}).get("name") == lab.b.name
        here = inside and line["where"]["function"].startswith("__netif_receive_skb")
        return here and line["iface"]["name"] == lab.b.iface and line["packet"]["family"] == FAMILIES[kind]

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
