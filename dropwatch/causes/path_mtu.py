"""What to do where a packet is too big for its way: smaller segments of TCP, smaller packets of a program."""

from dropwatch.causes.fits import came_in
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Fix


def who_set_it(route: Route) -> str:
    """Whose MTU it is that such a packet does not fit into: the route's own, or the interface's."""
    if route.mtu is None:
        return f"the MTU of {route.device}"
    learned = (
        f", which an ICMP error told and which is forgotten in {route.expires} s" if route.expires else ""
    )
    return f"the MTU of the route through {route.device}{learned}"


def smaller_segments(drop: Drop) -> tuple[Fix, ...]:
    """For what can send smaller: TCP by an option that is written into its SYNs, others by their own setting."""
    if drop.packet.proto != "tcp":
        return (Fix("make the program send smaller packets"),)
    tool = "ip6tables" if drop.packet.family == 6 else "iptables"
    chain = "FORWARD" if came_in(drop) else "OUTPUT"
    clamp = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    return (
        Fix(
            "have TCP use segments that fit, in new connections",
            f"{tool} -t mangle -A {chain} {clamp}",
        ),
    )
