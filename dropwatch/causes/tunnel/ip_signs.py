"""Signs of GRE, IP in IP and 6in4 on the way in: which interface comes nearest to the packet, and what differs."""

from dataclasses import replace
from typing import NamedTuple

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.tunnel.encapsulation import OTHER_KIND, PEER, gre_key, gre_option, peer
from dropwatch.causes.tunnel.facts import blamed, described, died_silent_at, doubts_of, proof, tunnels_of
from dropwatch.causes.tunnel.overlay import BRING_UP
from dropwatch.host.host import Host
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.payload import Gre, gre

# Where a packet is freed for which no interface is found, and the kinds of interfaces that are searched.
_NO_INTERFACE = {
    "gre_rcv": (),
    "tunnel4_rcv": ("ipip", "sit"),
    "tunnel64_rcv": ("sit",),
    "tunnel6_rcv": ("ip6tnl",),
    "tunnel46_rcv": ("ip6tnl",),
}
# Which interfaces take GRE with IP inside, and which also with Ethernet inside.
_GRE_KINDS = {4: ("gre", "gretap"), 6: ("ip6gre", "ip6gretap")}
_IN_IP = ("ipip", "ipv6")
_ETHERNET = 0x6558  # ETH_P_TEB
_ERSPAN = (0x88BE, 0x22EB)  # ETH_P_ERSPAN, ETH_P_ERSPAN2: their keys are something else
_TAKES_OUT = ("ip_tunnel_rcv", "__ip6_tnl_rcv")


class _Case(NamedTuple):
    """The interfaces that may take such a packet; `header` is None of what is not GRE. `others` are of the other kind,
    which carries Ethernet where this is IP.
    """

    tunnels: tuple[Tunnel, ...]
    header: Gre | None
    others: tuple[Tunnel, ...] = ()


def other_key(drop: Drop, host: Host) -> Verdict | None:
    """Addresses fit, the key does not (ip_tunnel_key_match)."""
    case = _case(drop, host)
    if case is None or case.header is None or _takes(case, drop, down=True):
        return None
    fitting = [one for one in case.tunnels if one.up and _addresses_fit(one, drop)]
    if not fitting:
        return None
    own = [one for one in fitting if one.remote is not None] or fitting
    one, key = own[0], case.header.key
    has = f"key {key}" if key is not None else "no key"
    wants = "; ".join(f"{each.name} takes {_key(each)}" for each in own[:3])
    said = kernel_word.certain(drop, proof(f"the packet has {has}; {wants}"))
    setting = f"ikey {one.key}" if one.key is not None else "no key"
    also = {"KEY": str(key)} if key is not None else {}
    return blamed(said, drop, host, one, setting, gre_key(one.kind, has_key=key is not None), also)


def unknown_peer(drop: Drop, host: Host) -> Verdict | None:
    """No interface that is up has these addresses. Handlers of IPsec take what is theirs before."""
    case = _case(drop, host)
    if case is None or _takes(case, drop, down=True):
        return None
    saddr, daddr = drop.packet.saddr, drop.packet.daddr
    fact = f"the packet is from {saddr} to {daddr}"
    nearest = _nearest(case, drop)
    if nearest is None:
        what = "GRE" if case.header is not None else "such"
        said = kernel_word.certain(
            drop, proof(f"{fact}; this namespace has no {what} interface with addresses")
        )
        doubts = doubts_of(drop, host)
        if doubts:
            said = replace(said, confidence="likely", evidence=(*said.evidence, *doubts))
        return replace(said, fix=of_catalogue(PEER, drop))
    setting = _differs(nearest, drop)
    page = OTHER_KIND if nearest in case.others else peer(nearest.kind)
    said = kernel_word.certain(drop, proof(f"{fact}; nearest is {described(nearest)}: {setting} differs"))
    return blamed(said, drop, host, nearest, setting, page)


def taken_by_nobody(drop: Drop, host: Host) -> Verdict | None:
    """Of interfaces that could not be read, since their namespace is gone, this is all that is known."""
    place = _handler(drop)
    if place is None or drop.packet.saddr is None or drop.packet.fragment_offset:
        return None
    if (place == "gre_rcv" and not _is_known(gre(drop))) or tunnels_of(drop, host) is not None:
        return None
    fact = f"from {drop.packet.saddr} to {drop.packet.daddr}: no interface took it; which there were cannot be read"
    return replace(kernel_word.likely(drop, Evidence("place", fact)), fix=of_catalogue(PEER, drop))


def down(drop: Drop, host: Host) -> Verdict | None:
    """An interface that is down is passed over."""
    case = _case(drop, host)
    if case is None:
        return None
    fitting = [one for one in case.tunnels if not one.up and _fits(case, one, drop)]
    if not fitting or _takes(case, drop):
        return None
    off = fitting[0]
    fact = f"after the drop: {off.name} has the addresses of the packet and is down"
    said = kernel_word.certain(drop, proof(fact))
    return blamed(said, drop, host, off, "down", BRING_UP, {"DEV": off.name})


def options(drop: Drop, host: Host) -> Verdict | None:
    """ip_tunnel_rcv: the interface has checksums and the packet none, or the other way; or it wants a number."""
    found = _taken_out(drop, host)
    if found is None:
        return None
    header, one = found
    if header.checksum != one.checksum:
        has = "has a checksum" if header.checksum else "has no checksum"
        setting, wants = ("icsum", "requires one") if one.checksum else ("no icsum", "takes none")
        words = "noicsum" if one.checksum else "icsum"
    elif one.sequence and header.sequence is None:
        has, setting, wants, words = "has no sequence number", "iseq", "requires one", "noiseq"
    else:
        return None
    said = kernel_word.certain(drop, proof(f"the packet {has}, and {one.name} {wants}"))
    return blamed(said, drop, host, one, setting, gre_option(one.kind, words))


def out_of_order(drop: Drop, host: Host) -> Verdict | None:
    """The rest of what ip_tunnel_rcv refuses by the header of GRE: a number that is less than the next one."""
    found = _taken_out(drop, host)
    if found is None:
        return None
    header, one = found
    if header.checksum != one.checksum or not one.sequence or header.sequence is None:
        return None
    fact = (
        f"the packet has the number {header.sequence}, and {one.name} (iseq) takes none before the last one"
    )
    said = kernel_word.certain(drop, proof(fact))
    return blamed(said, drop, host, one, "iseq", gre_option(one.kind, "noiseq"))


def _case(drop: Drop, host: Host) -> _Case | None:
    place = _handler(drop)
    if place is None or drop.packet.fragment_offset:
        return None
    header = gre(drop) if place == "gre_rcv" else None
    if drop.packet.saddr is None or (place == "gre_rcv" and not _is_known(header)):
        return None
    found = tunnels_of(drop, host)
    if found is None:
        return None
    kinds = _NO_INTERFACE[place] or _gre_kinds(drop, header)
    here = [one for one in found if not one.elsewhere and (one.up or not _is_fallback(one))]
    others = _GRE_KINDS.get(drop.packet.family or 0, ()) if header is not None else ()
    return _Case(
        tuple(one for one in here if one.kind in kinds),
        header,
        tuple(one for one in here if one.kind in others and one.kind not in kinds),
    )


def _handler(drop: Drop) -> str | None:
    """Where no interface was found. IPsec's handler is the last that such a packet is given to, where its module is
    loaded, and frees what it has no SA for (xfrm_tunnel_rcv, net/ipv4/xfrm4_tunnel.c).
    """
    if died_silent_at(drop, *_NO_INTERFACE):
        return kernel_word.place(drop)
    if not died_silent_at(drop, "xfrm_input") or drop.packet.proto not in _IN_IP:
        return None
    return next(
        (name for name, kinds in _NO_INTERFACE.items() if kinds and name in kernel_word.way(drop)), None
    )


def _taken_out(drop: Drop, host: Host) -> tuple[Gre, Tunnel] | None:
    """The header of GRE as long as it is the packet's own, and the one interface that it is for."""
    if not died_silent_at(drop, *_TAKES_OUT):
        return None
    header = gre(drop)
    if header is None or not _is_known(header):
        return None
    kinds = _gre_kinds(drop, header)
    tunnels = tuple(one for one in tunnels_of(drop, host) or () if one.kind in kinds and not one.elsewhere)
    case = _Case(tunnels, header)
    fitting = [one for one in tunnels if one.up and _fits(case, one, drop)]
    exact = [one for one in fitting if one.remote == drop.packet.saddr] or fitting
    return (header, exact[0]) if len(exact) == 1 else None


def _is_known(header: Gre | None) -> bool:
    return header is not None and not header.version and header.protocol not in _ERSPAN


def _gre_kinds(drop: Drop, header: Gre | None) -> tuple[str, ...]:
    kinds = _GRE_KINDS.get(drop.packet.family or 0, ())
    return kinds if header is not None and header.protocol == _ETHERNET else kinds[:1]


def _takes(case: _Case, drop: Drop, *, down: bool = False) -> bool:
    """One would take it; with `down` also one that is not up."""
    return any((one.up or down) and _fits(case, one, drop) for one in case.tunnels)


def _fits(case: _Case, one: Tunnel, drop: Drop) -> bool:
    if one.external:
        return True
    if not _addresses_fit(one, drop):
        return False
    if case.header is None:
        return one.inner in (0, 4 if _handler(drop) in ("tunnel4_rcv", "tunnel46_rcv") else 41)
    return one.key == case.header.key or _is_fallback(one)


def _addresses_fit(one: Tunnel, drop: Drop) -> bool:
    """`local` may be a group that many listen to."""
    packet = drop.packet
    if one.remote is not None and one.remote.is_multicast:
        return one.remote == packet.daddr
    return one.remote in (None, packet.saddr) and one.local in (None, packet.daddr)


def _is_fallback(one: Tunnel) -> bool:
    """gre0, tunl0, ...: those that the module makes take what no other takes, as soon as they are up."""
    return one.remote is None and one.local is None and one.key is None


def _nearest(case: _Case, drop: Drop) -> Tunnel | None:
    """The one with the most in common; none of those that the module makes."""
    of_kinds = (case.tunnels, case.others)
    own = next((own for own in map(_with_addresses, of_kinds) if own), None)
    if not own:
        return None
    packet, key = drop.packet, case.header.key if case.header is not None else None

    def common(one: Tunnel) -> tuple[int, int, int]:
        return (
            (one.remote == packet.saddr) + (one.local in (None, packet.daddr)),
            int(one.up),
            int(one.key == key),
        )

    return max(own, key=common)


def _with_addresses(tunnels: tuple[Tunnel, ...]) -> list[Tunnel]:
    return [one for one in tunnels if one.remote is not None or one.local is not None]


def _differs(one: Tunnel, drop: Drop) -> str:
    """`remote 10.0.0.2`, `local 10.0.0.1`, or both, in ip's words."""
    packet = drop.packet
    words = [f"remote {one.remote}"] if one.remote not in (None, packet.saddr) else []
    words += [f"local {one.local}"] if one.local not in (None, packet.daddr) else []
    return " ".join(words) or ("down" if not one.up else f"type {one.kind}")


def _key(one: Tunnel) -> str:
    return "no key" if one.key is None else f"key {one.key}"
