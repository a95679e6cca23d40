"""Other addresses for the real ones: always the same for the same, and alike where the real ones are alike.

Two addresses that share their first n bits share the first n bits of what stands for them, so that prefixes, routes and
selectors still fit (Xu and others, "Prefix-preserving IP address anonymization", 2002). What an address is for is kept:
private stays private, link-local link-local; multicast, loopback, broadcast and unspecified addresses stay as they are.
The key lives as long as one recording and is written nowhere.
"""

import hashlib
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dropwatch.model.pattern import pattern

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_KEPT_WHOLE = tuple(
    ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/64", "ff00::/8")
)
_KEPT_PREFIX = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("fc00::/7", "fe80::/10", "64:ff9b::/96"),
    )
)
_EMBEDDING = (
    ip_network("::ffff:0:0/96"),
    ip_network("64:ff9b::/96"),
)  # an IPv4 address is in the last 32 bits
# A bit is not turned where that would move an address into or out of one of these: (length, bits before it).
_FIXED = frozenset(
    (network.version, length, int(network.network_address) >> (network.max_prefixlen - length))
    for network in (*_KEPT_WHOLE, *_KEPT_PREFIX)
    for length in range(network.prefixlen)
)
_IN_TEXT = pattern(
    r"""(?<![^\W_])(?<![:.])(?P<mac>[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5})(?![\w:])
      | (?<![\d.])(?P<v4>\d{1,3}(?:\.\d{1,3}){3})(?!\d|\.\d)(?:/(?P<mask>\d{1,3}(?:\.\d{1,3}){3}|\d{1,2})(?!\d))?
      | (?<![^\W_])(?<![:.])(?P<v6>[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f:]*(?:\d{1,3}(?:\.\d{1,3}){3})?)
        (?:/(?P<length>\d{1,3}))?""",
    re.IGNORECASE | re.VERBOSE,
)
_SPELT_OUT = pattern(r"((?:\\x[0-9a-f]{2})+)")  # as names/foreign.py spells bytes
_MOST_REMEMBERED = 1 << 16


class Anonymizer:
    """`key` is 16 or more random bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[Address, Address] = {}

    def address(self, address: Address) -> Address:
        """The address that stands for this one."""
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            found = self._known[address] = self._other(address)
        return found

    def network(self, network: Network) -> Network:
        """The network that holds what stands for the addresses of this one."""
        return (
            ip_network((int(self.address(network.network_address)), network.prefixlen), strict=False)
            if (network.version == 4)
            else IPv6Network((int(self.address(network.network_address)), network.prefixlen), strict=False)
        )

    def packed(self, address: bytes) -> bytes:
        """As in a packet: 4 or 16 bytes, or 6 of a MAC address."""
        if len(address) == 4:
            return self.address(IPv4Address(address)).packed
        return self.address(IPv6Address(address)).packed if len(address) == 16 else self._mac(address)

    def text(self, text: str) -> str:
        """The same words with other addresses; prefixes and MAC addresses too."""
        parts = _SPELT_OUT.split(text)  # a tab before an address is a letter and digits, and no part of it
        return "".join(
            part if at % 2 else _IN_TEXT.sub(self._replaced, part) for at, part in enumerate(parts)
        )

    def kernel_address(self, address: int) -> int:
        """Another kernel address: the real ones tell where the kernel lies in memory. 0 stays 0."""
        return address and 0xFF << 56 | int.from_bytes(self._digest(b"k%d" % address, 7), "big")

    def _other(self, address: Address) -> Address:
        if isinstance(address, IPv6Address) and any(address in network for network in _EMBEDDING):
            inside = self.address(IPv4Address(int(address) & 0xFFFFFFFF))
            return IPv6Address(int(address) >> 32 << 32 | int(inside))
        if any(address in network for network in _KEPT_WHOLE):
            return address
        bits, value, other = address.max_prefixlen, int(address), 0
        for length in range(bits):
            before = value >> (bits - length)
            bit = value >> (bits - length - 1) & 1
            if (address.version, length, before) not in _FIXED:
                bit ^= self._digest(b"%d %d %d" % (address.version, length, before), 1)[0] & 1
            other = other << 1 | bit
        return type(address)(other)

    def _mac(self, address: bytes) -> bytes:
        """Multicast and all zeros are nobody's; the bit of locally made addresses stays."""
        if len(address) != 6 or address[0] & 1 or not any(address):
            return address
        other = self._digest(b"m" + address, 6)
        return bytes((other[0] & 0xFC | address[0] & 3,)) + other[1:]

    def _digest(self, data: bytes, size: int) -> bytes:
        return hashlib.blake2b(data, key=self._key, digest_size=size).digest()

    def _replaced(self, found: re.Match[str]) -> str:
        if found["mac"]:
            numbers = found["mac"].split(":")  # ebtables writes 2:0:0:0:0:a
            form = "x" if any(len(number) == 1 for number in numbers) else "02x"
            return ":".join(format(byte, form) for byte in self._mac(bytes(int(one, 16) for one in numbers)))
        text, mask = (found["v4"], found["mask"]) if found["v4"] else (found["v6"], found["length"])
        bare = text if text.endswith("::") else text.rstrip(":")
        try:
            address = ip_address(bare)
        except ValueError:
            return found[0]
        other = self.address(address)
        if mask is not None and _is_network(address, mask):
            other = self.network(ip_network(f"{bare}/{mask}")).network_address
        return f"{other}{text[len(bare) :]}{'' if mask is None else f'/{mask}'}"


def _is_network(address: Address, mask: str) -> bool:
    """False also for a mask that is none: then the address stands alone."""
    try:
        ip_network(f"{address}/{mask}")
    except ValueError:
        return False
    return True
