"""Puts a drop's own addresses, ports and names in place of the capitals in a fix."""

import re
from collections.abc import Mapping
from dataclasses import replace

from dropwatch.model.drop import Drop, Fix
from dropwatch.names.foreign import is_option, quoted

# SADDR DADDR SPORT DPORT: of the packet. DEV: the interface where it died.
_PLACEHOLDER = re.compile(r"\b(?:SADDR|DADDR|SPORT|DPORT|DEV)\b")
# sysctl's names use dots, so an interface name with a dot is written with a slash there (sysctl(8)).
_SYSCTL_DEV = re.compile(r"(?<=conf\.)DEV\b|(?<=neigh\.)DEV\b")
# A command of ss(8), which takes what follows the last colon of an address for a port.
_SS = re.compile(r"(?:^|\s)ss -[^;|]*")


def fill(fix: Fix, drop: Drop) -> Fix:
    """The fix with what this drop tells. A placeholder stays where it does not, or a tool would see an option."""
    known = _values(drop)
    command = fix.command
    if command is not None:
        words = {name: quoted(value) for name, value in known.items() if not is_option(value)}
        bracketed = {name: f"[{value}]" if ":" in value else value for name, value in words.items()}
        if "DEV" in words:
            device = quoted(known["DEV"].replace(".", "/"))
            command = _SYSCTL_DEV.sub(lambda _: device, command)
        command = _SS.sub(lambda found: _replaced(found[0], bracketed), command)
        command = _replaced(command, words)
    return replace(fix, text=_replaced(fix.text, known), command=command)


def _values(drop: Drop) -> dict[str, str]:
    packet = drop.packet
    values = {
        "SADDR": packet.saddr,
        "DADDR": packet.daddr,
        "SPORT": packet.sport,
        "DPORT": packet.dport,
        "DEV": drop.iface.name if drop.iface is not None else None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _replaced(text: str, known: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: known.get(found[0], found[0]), text)
