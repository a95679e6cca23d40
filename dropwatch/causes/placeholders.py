"""Puts a drop's own addresses, ports and names in place of the capitals in a fix."""

import re
from collections.abc import Mapping
from dataclasses import replace

from dropwatch.causes.fits import came_in
from dropwatch.model.drop import Drop, Fix
from dropwatch.names.foreign import is_option, quoted

# What a word stands for, in the words that are shown where a drop does not tell it.
MEANINGS = {
    "SADDR": "the packet's source address",
    "DADDR": "the packet's destination address",
    "SPORT": "the packet's source port",
    "DPORT": "the packet's destination port",
    "PROTO": "the packet's protocol",
    "PACKETMARK": "the packet's firewall mark",
    "DEV": "the interface",
    "ETHERTYPE": "the ethertype of the frame",
    "PID": "the process, which ss -p names for a socket",
}
_PLACEHOLDER = re.compile(rf"\b(?:{'|'.join(MEANINGS)})\b")
# sysctl's names use dots, so an interface name with a dot is written with a slash there (sysctl(8)).
_SYSCTL_DEV = re.compile(r"(?<=conf\.)DEV\b|(?<=neigh\.)DEV\b")
# As iptables calls them.
_PROTOCOLS = {"icmp6": "ipv6-icmp"}
# A command of ss(8), which takes what follows the last colon of an address for a port.
_SS = re.compile(r"(?:^|\s)ss -[^;|]*")


def fill(fix: Fix, drop: Drop) -> Fix:
    """The fix with what this drop tells; a placeholder for what it does not tell stays in a command.

    So does one whose value a tool would take for an option.
    """
    known = _values(drop)
    command = fix.command
    if command is not None and _PLACEHOLDER.search(command):
        words = {name: quoted(value) for name, value in known.items() if not is_option(value)}
        bracketed = {name: f"[{value}]" if ":" in value else value for name, value in words.items()}
        if "DEV" in words:
            device = quoted(known["DEV"].replace(".", "/"))
            command = _SYSCTL_DEV.sub(lambda _: device, command)
        command = _SS.sub(lambda found: _replaced(found[0], bracketed), command)
        command = _replaced(command, words)
    return replace(fix, text=_replaced(fix.text, MEANINGS | known), command=command)


def unfilled(command: str, drop: Drop) -> tuple[str, ...]:
    """The placeholders of a command for which this drop has no value that a tool would take."""
    known = _values(drop)
    return tuple(word for word in _PLACEHOLDER.findall(command) if is_option(known.get(word, "")))


def _values(drop: Drop) -> dict[str, str]:
    packet = drop.packet
    values = {
        "SADDR": packet.saddr,
        "DADDR": packet.daddr,
        "SPORT": packet.sport,
        "DPORT": packet.dport,
        "PROTO": _PROTOCOLS.get(packet.proto, packet.proto) if packet.proto is not None else None,
        "PACKETMARK": f"{packet.mark:#x}",
        "DEV": drop.iface.name if drop.iface is not None else None,
        "ETHERTYPE": f"0x{drop.event.protocol:04x}" if drop.event.protocol else None,
        "PID": drop.process.pid if drop.process is not None and not came_in(drop) else None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _replaced(text: str, known: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: known.get(found[0], found[0]), text)
