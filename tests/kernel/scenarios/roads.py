"""Longer roads than the veth pair itself: through b and back, and over a bridge in b."""

from scenarios import traffic
from scenarios.namespaces import Lab

BEYOND4, BEYOND6 = "10.77.0.9", "fd77::9"  # a reaches them through b, and b knows them behind a
NOBODY = b"\x02\x00\x00\x00\x99\x99"  # a bridge sends what is for it to every port


def turn_around(lab: Lab) -> None:
    """Let b forward what a sends to the addresses beyond, back out of the interface on which it came."""
    names = ("all", lab.b.iface)
    quiet = " ".join(f"net.ipv4.conf.{name}.send_redirects=0" for name in names)
    lab.b.run(f"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 {quiet}")
    for end, other in ((lab.a, lab.b), (lab.b, lab.a)):
        end.configure(f"route add 10.77.0.0/24 via {other.v4}", f"route add fd77::/64 via {other.v6}")


def bridge(lab: Lab) -> None:
    """In b: br0 takes b's IPv4 address and has the ports vb and p0, whose peer p1 stays outside of the bridge."""
    b = lab.b
    b.configure(
        "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link add p0 type veth peer name p1"
    )
    for link in ("p0", "p1"):
        b.set(f"net/ipv6/conf/{link}/disable_ipv6", 1)
    b.configure(
        f"address flush dev {b.iface}",
        *(f"link set {port} master br0" for port in (b.iface, "p0")),
        f"address add {b.v4}/24 dev br0",
        *(f"link set {link} up" for link in ("p1", "p0", "br0")),
    )


def through_the_bridge(lab: Lab, port: int, count: int) -> None:
    """UDP datagrams from a that b's bridge hands on to its other port."""
    packet = traffic.udp_packet(lab.a.v4, "10.66.66.66", port)
    traffic.frames(lab.a, lab.a.iface, to=NOBODY, kind=traffic.ETH_P_IP, body=packet, count=count)
