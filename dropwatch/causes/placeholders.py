"""Puts a drop's own addresses, ports and names in place of the capitals in a fix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from dropwatch.causes.fits import came_in
from dropwatch.model.drop import Drop, Fix
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import is_option, quoted

NOTHING: Mapping[str, str] = MappingProxyType({})
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
    "PID": "the process id, from ss -p",
}
_PLACEHOLDER = pattern(r"\b[A-Z]{2,}\b")
# The name of a setting, in which sysctl(8) takes a slash for a dot of an interface's name, and a `=` for its end.
_IN_SYSCTL = ("conf.", "neigh.")
# As iptables calls them.
_PROTOCOLS = {"icmp6": "ipv6-icmp"}
# A command of ss(8), which takes what follows the last colon of an address for a port.
_SS = pattern(r"(?:^|\s)ss -[^;|]*")


def fill(fix: Fix, drop: Drop, also: Mapping[str, str] = NOTHING) -> Fix:
    """The fix with what this drop tells, and what stands `also` for a word; other placeholders stay in a command.

    So does one whose value a tool would take for something else. All is put in at once: a name may look like a
    placeholder.
    """
    known = {**_values(drop), **also}
    command = fix.command
    if command is not None:
        ss = [found.span() for found in _SS.finditer(command)]
        command = _PLACEHOLDER.sub(lambda found: _word(found, known, ss) or found[0], command)
    return replace(fix, text=_replaced(fix.text, MEANINGS | known), command=command)


def unfilled(command: str, drop: Drop, also: Mapping[str, str] = NOTHING) -> tuple[str, ...]:
    """The capitals in a command for which there is no value that a tool would take."""
    known = {**_values(drop), **also}
    return tuple(found[0] for found in _PLACEHOLDER.finditer(command) if _word(found, known, ()) is None)


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


def _word(found: re.Match[str], known: Mapping[str, str], ss: Sequence[tuple[int, int]]) -> str | None:
    """What stands for a placeholder in a command, as one word for a shell; None where the tool would misread it."""
    value = known.get(found[0], "")
    if is_option(value):
        return None
    if found[0] == "DEV" and found.string.endswith(_IN_SYSCTL, 0, found.start()):
        return None if "=" in value else quoted(value.replace(".", "/"))
    if ":" in value and any(start <= found.start() < end for start, end in ss):
        return f"[{quoted(value)}]"
    return quoted(value)


def _replaced(text: str, known: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: known.get(found[0], found[0]), text)
