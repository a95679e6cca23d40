"""What to do where a packet is too big for its way: smaller segments of TCP, smaller packets of a program."""

from dropwatch.causes.fits import came_in
from dropwatch.model.drop import Drop, Fix


def smaller_segments(drop: Drop) -> tuple[Fix, ...]:
    """For what can send smaller: TCP by an option that is written into its SYNs, others by their own setting."""
    if drop.packet.proto != "tcp":
        return (Fix("have the program that sends it send smaller packets"),)
    tool = "ip6tables" if drop.packet.family == 6 else "iptables"
    chain = "FORWARD" if came_in(drop) else "OUTPUT"
    clamp = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    return (
        Fix(
            "have TCP use segments that fit, in connections that are made from then on",
            f"{tool} -t mangle -A {chain} {clamp}",
        ),
    )
