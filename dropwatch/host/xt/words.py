"""What an entry of a legacy table says, in plain words: for when there is no tool to list it."""

import socket
from ipaddress import ip_address

from dropwatch.host.xt.blob import LAYOUTS, XtTable, c_string, matches
from dropwatch.model.netfilter import XtFamily
from dropwatch.names import protocols

# The bits of `invflags`: IPT_INV_*, which IP6T_INV_* agree with, and ARPT_INV_*.
_INVERTED: dict[str, int] = {"iniface": 0x01, "outiface": 0x02, "src": 0x08, "dst": 0x10, "proto": 0x40}
_INVERTED_ARP = {"iniface": 0x01, "outiface": 0x02, "src": 0x04, "dst": 0x08}
_PROTO_ASKED = 0x01  # IP6T_F_PROTO
_FRAGMENTS = 0x01, 0x20  # IPT_F_FRAG, IPT_INV_FRAG
_DOMAINS = {"ip": socket.AF_INET, "arp": socket.AF_INET, "ip6": socket.AF_INET6}


def rule_words(table: XtTable, offset: int) -> str:
    """`source 10.0.0.0/8, protocol udp, matches udp and comment, target DROP`."""
    words = header_words(table.family, table.bytes_of(offset))
    names = list(matches(table, offset))
    if names:
        words.append(f"matches {' and '.join(names)}")
    words.append(f"target {target_name(table, offset) or 'none'}")
    return ", ".join(words)


def target_name(table: XtTable, offset: int) -> str | None:
    """`DROP`, `REJECT`, the chain that is entered; None for a rule that only counts."""
    entry = table.entries[offset]
    if entry.jump is not None:
        return table.heads[entry.jump].name if entry.jump in table.heads else None
    return entry.target or entry.verdict


def comment(table: XtTable, offset: int) -> str | None:
    """The words of `-m comment --comment`."""
    data = matches(table, offset).get("comment")
    return c_string(data) if data is not None else None


def header_words(family: XtFamily, raw: bytes) -> list[str]:
    """Addresses, interfaces and protocol of struct ipt_ip, ip6t_ip6 or arpt_arp at the beginning of `raw`."""
    layout = LAYOUTS[family]
    if len(raw) < layout.header_size:
        return []
    header = layout.header.from_buffer_copy(raw[: layout.header_size])
    bits = _INVERTED_ARP if family == "arp" else _INVERTED

    def inverted(name: str) -> str:
        return "not " if header.invflags & bits[name] else ""

    words = []
    for name, mask, word in (("src", "smsk", "source"), ("dst", "dmsk", "destination")):
        address = _network(bytes(_raw(header, name)), bytes(_raw(header, mask)))
        if address:
            words.append(f"{word} {inverted(name)}{address}")
    for name, word in (("iniface", "in"), ("outiface", "out")):
        interface = _interface(bytes(getattr(header, name)), bytes(getattr(header, f"{name}_mask")))
        if interface:
            words.append(f"{word} interface {inverted(name)}{interface}")
    if family == "arp":
        return words
    if header.proto and (family == "ip" or header.flags & _PROTO_ASKED):
        words.append(f"protocol {inverted('proto')}{protocols.name(header.proto)}")
    if family == "ip" and header.flags & _FRAGMENTS[0]:
        words.append("not the first fragment" if not header.invflags & _FRAGMENTS[1] else "no later fragment")
    return words


def _raw(header: object, name: str) -> bytes:
    field = getattr(type(header), name)
    return bytes(memoryview(header).cast("B")[field.offset : field.offset + field.size])  # type: ignore[arg-type]


def _network(address: bytes, mask: bytes) -> str | None:
    """`10.0.0.0/8`, None for any address."""
    if not any(mask):
        return None
    bits = "".join(f"{byte:08b}" for byte in mask)
    length = bits.rstrip("0")
    form = str(len(length)) if "0" not in length else str(ip_address(mask))
    return str(ip_address(address)) if form == str(len(bits)) else f"{ip_address(address)}/{form}"


def _interface(name: bytes, mask: bytes) -> str | None:
    """`eth0`, `eth+`, None for any. The mask covers the end of a whole name, and of the beginning of one not."""
    if not any(mask):
        return None
    text = c_string(name)
    whole = mask[len(text) :][:1] not in (b"", b"\0")
    return text if whole or text.endswith("+") else f"{text}+"
