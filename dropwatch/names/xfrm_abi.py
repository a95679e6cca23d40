"""What linux/xfrm.h fixes for user space: numbers in the words of `ip xfrm`, addresses, selectors."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from dropwatch.model.drop import Address
from dropwatch.model.ipsec import Selector
from dropwatch.names.foreign import foreign

STATE_ESN = 128
"""XFRM_STATE_ESN, a flag of struct xfrm_usersa_info."""

INFINITE = 0xFFFFFFFFFFFFFFFF
"""XFRM_INF: a limit that is none."""

SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")
"""struct xfrm_selector: daddr, saddr, dport and its mask, sport and its mask (network order), family, ..."""

_PROTOS = {43: "route2", 50: "esp", 51: "ah", 60: "hao", 108: "comp"}
_MODES = {0: "transport", 1: "tunnel", 2: "ro", 3: "in_trigger", 4: "beet", 5: "iptfs"}
# the kernel lists the policies of single sockets too (XFRM_POLICY_MAX + dir)
_DIRS = {0: "in", 1: "out", 2: "fwd", 3: "socket in", 4: "socket out"}
_ACTIONS = {0: "allow", 1: "block"}
_DIRECTION_BITS = 7  # of a policy's index: xfrm_gen_index, net/xfrm/xfrm_policy.c
_ENCAPS = {1: "espinudp-nonike", 2: "espinudp", 7: "espintcp"}


def proto_word(number: int) -> str:
    """`esp`, `ah`, `comp`, ... for the protocol of an SA; the number as text when it has no word."""
    return _PROTOS.get(number, str(number))


def mode_word(number: int) -> str:
    """`transport`, `tunnel`, ... for an XFRM_MODE_*; the number as text when it has no word."""
    return _MODES.get(number, str(number))


def encap_word(number: int) -> str:
    """`espinudp`, ... for a UDP_ENCAP_* or TCP_ENCAP_*; the number as text when it has no word."""
    return _ENCAPS.get(number, str(number))


def direction_word(number: int) -> str:
    """`in`, `out`, `fwd` for an XFRM_POLICY_*, also those of single sockets; the number as text when it has no word."""
    return _DIRS.get(number, str(number))


def direction_of(index: int) -> str:
    """The direction that a policy's index tells, in the same words."""
    return direction_word(index & _DIRECTION_BITS)


def action_word(number: int) -> str:
    """`allow`, `block` for an XFRM_POLICY_ALLOW, _BLOCK; the number as text when it has no word."""
    return _ACTIONS.get(number, str(number))


def address(family: int, raw: bytes) -> Address:
    """An xfrm_address_t (16 bytes) as the address of AF_INET or AF_INET6."""
    return IPv6Address(raw) if family == socket.AF_INET6 else IPv4Address(raw[:4])


def address_or_any(family: int, raw: bytes) -> Address | None:
    """Like `address`, but None for the address of all zeros, which the kernel reads as any."""
    return address(family, raw) if any(raw) else None


def family_number(address_family: int) -> int:
    """4 or 6 for AF_INET and AF_INET6, 0 for any other."""
    return {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}.get(address_family, 0)


def selector(raw: bytes, outer_family: int) -> Selector:
    """A struct xfrm_selector (56 bytes). An address is None where its prefix length is 0: any fits.

    A selector may leave its family open, and an SA that is still being negotiated does so although it has
    addresses: they are then of the family of the SA (AF_INET or AF_INET6), given as `outer_family`.
    """
    daddr, saddr, dport, dport_mask, sport, sport_mask, family, len_d, len_s, proto, ifindex, _ = (
        SELECTOR.unpack(raw)
    )
    of = family or outer_family
    return Selector(
        family=family_number(family),
        saddr=address(of, saddr) if len_s else None,
        prefixlen_s=len_s,
        daddr=address(of, daddr) if len_d else None,
        prefixlen_d=len_d,
        proto=proto,
        sport=int.from_bytes(sport, "big"),
        sport_mask=int.from_bytes(sport_mask, "big"),
        dport=int.from_bytes(dport, "big"),
        dport_mask=int.from_bytes(dport_mask, "big"),
        ifindex=ifindex,
    )


def limit(value: int) -> int | None:
    """A byte or packet limit of struct xfrm_lifetime_cfg: None when infinite."""
    return None if value == INFINITE else value


def seconds(value: int) -> int | None:
    """A time limit of struct xfrm_lifetime_cfg: None when there is none, which is written 0."""
    return value or None


def algorithm_name(raw: bytes) -> str:
    """The name in front of every struct xfrm_algo*: 64 bytes, padded with zeros."""
    return foreign(raw.split(b"\0", 1)[0])
