"""ICMP errors that quote too little of the packet that they are about, or a header that makes no sense."""

from dropwatch.causes import kernel_word
from dropwatch.causes.cause import Cause
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.packet.layer import Layer
from dropwatch.packet.payload import icmp_checksum_holds, transport

# linux/icmp.h, linux/icmpv6.h
_ERRORS = {"icmp": frozenset({3, 4, 5, 11, 12}), "icmp6": frozenset({1, 2, 3, 4})}
_ICMP, _IPV4, _IPV6, _BEHIND = 8, 20, 40, 8  # bytes of a header; what icmpv6_notify requires behind it
_CANNOT_BE_WALKED = frozenset({"IPV6_BAD_EXTHDR", "IPV6_TOO_MANY_EXTHDRS"})
_PLACES = {"icmp_rcv": "icmp", "icmpv6_rcv": "icmp6"}

ICMP_QUOTE = Cause(
    id="malformed.icmp-quote",
    title="an ICMP error quotes a header that makes no sense",
    why="""
An ICMP error quotes the packet that it is about: its IP header, and at least 8 bytes of what follows. By these the
kernel finds the socket or the SA that is to be told. In this error the quoted header cannot be read: the length of the
IPv4 header is below its minimum, or the extension headers of IPv6 lead nowhere. So nobody is told: a connection hangs
where it would be refused, or goes on to send packets that are too big. The router or firewall that sent it built it
wrongly, something rewrote the quote on the path (NAT does), or somebody tries out what this host does with it.
""",
    confirm="""
$ tcpdump -c 5 -vvXni DEV 'icmp or icmp6' and host SADDR
$ nstat -az IcmpInErrors Icmp6InErrors
""",
    fix=(
        Fix("see what it quotes", "tcpdump -c 5 -vvXni DEV 'icmp or icmp6' and host SADDR"),
        Fix("find out what sends it: its source is the router or firewall, or what rewrites for it"),
    ),
    seen_as=("IP_INHDR", "IPV6_BAD_EXTHDR", "IPV6_TOO_MANY_EXTHDRS", "NOT_SPECIFIED"),
    seen_at=tuple(_PLACES),
)


def cut_quote(drop: Drop, host: Host) -> Verdict | None:
    """In icmp_unreach, icmp_redirect and icmpv6_notify, with the reason PKT_TOO_SMALL or without one."""
    del host
    error = _error(drop)
    if error is None or not (kernel_word.gave_no_reason(drop) or drop.reason == "PKT_TOO_SMALL"):
        return None
    quoted = max(drop.packet.length - error.at - _ICMP, 0)
    header = _IPV4 if error.kind == "icmp" else _IPV6
    if quoted < header:
        words = "an IP header" if error.kind == "icmp" else "an IPv6 header"
        fact = f"an ICMP error that quotes {quoted} bytes: {words} has {header}"
    elif error.kind == "icmp6" and quoted < header + _BEHIND:
        fact = f"an ICMP error that quotes {quoted} bytes: an IPv6 header and what must follow have {header + _BEHIND}"
    else:
        return None
    return kernel_word.certain(drop, Evidence("packet", fact))


def bad_quote(drop: Drop, host: Host) -> Verdict | None:
    """A kernel without reasons frees an error with a wrong checksum in the same function."""
    del host
    error = _error(drop)
    if error is None:
        return None
    if error.kind == "icmp6":
        if drop.reason not in _CANNOT_BE_WALKED:
            return None
        return kernel_word.certain(
            drop, Evidence("place", "the headers that an ICMPv6 error quotes cannot be walked")
        )
    said = drop.reason == "IP_INHDR"
    length = (error.number(_ICMP, 1) & 0xF) * 4 if error.room > _ICMP else _IPV4
    if length >= _IPV4 or not (said or (drop.reason is None and icmp_checksum_holds(drop))):
        return None
    fact = f"the length in the header that an ICMP error quotes is {length} bytes, less than {_IPV4}"
    return kernel_word.certain(drop, Evidence("packet", fact))


def _error(drop: Drop) -> Layer | None:
    """Its header, where it died as one that came in."""
    kind = _PLACES.get(kernel_word.place(drop) or "")
    if kind is None or drop.packet.icmp_type not in _ERRORS[kind]:
        return None
    return transport(drop, kind)
