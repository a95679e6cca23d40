"""What the probes noted of a packet, field by field: as plain values for JSON, and as text.

It follows the fields of the notes, so that it needs no change when a probe learns to note more.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dropwatch.host.ipsec.text import state_line
from dropwatch.model.drop import Event
from dropwatch.model.ipsec import XfrmState
from dropwatch.model.netfilter import HookFunction, NftChain


def notes_object(event: Event) -> dict[str, Any]:
    """`{"xfrm": {...}, "netfilter": {...}, "notes": [...]}`: what is there of them, without what no probe filled in."""
    found = {"xfrm": _plain(event.xfrm), "netfilter": _plain(event.netfilter), "notes": _plain(event.notes)}
    return {name: value for name, value in found.items() if value}


def notes_text(event: Event) -> list[tuple[str, str]]:
    """Pairs of what it is about (`IPsec`, `netfilter nft`, ...) and `name value, name value`."""
    rows = [("IPsec", _words(event.xfrm))] if event.xfrm is not None else []
    if event.netfilter is not None:
        for field in fields(event.netfilter):
            value = getattr(event.netfilter, field.name)
            if not _is_default(field, value):
                rows.append((f"netfilter {field.name.replace('_', ' ')}", _words(value)))
    if event.notes:
        rows.append(("noted", ", ".join(sorted(event.notes))))
    return [(name, text or "looked at, and found nothing to note") for name, text in rows]


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        found = {f.name: _named(f.name, getattr(value, f.name)) for f in _filled(value)}
        return found | ({"text": state_line(value)} if isinstance(value, XfrmState) else {})
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, IPv4Address | IPv6Address) else value


def _named(name: str, value: Any) -> Any:
    return f"0x{value:08x}" if name == "spi" and isinstance(value, int) else _plain(value)


def _words(value: Any) -> str:
    """One value in words: a note inside a note stands in brackets, its fields between commas."""
    match value:
        case XfrmState():
            return _state(value)
        case NftChain():
            return f"{value.name} (handle {value.handle})"
        case HookFunction():
            name = value.name or "a function without a name"
            module = f" [{value.module}]" if value.module else ""
            return f"{name}{module}{'' if value.watched else ' (not watched)'}"
        case tuple() | frozenset():
            items = sorted(value) if isinstance(value, frozenset) else value
            return " then ".join(_bracketed(item) for item in items) or "none"
        case bytes():
            return f"{len(value)} bytes"
        case bool():
            return "yes" if value else "no"
    if is_dataclass(value):
        return ", ".join(f"{_spoken(f)} {_field(value, f)}" for f in _filled(value))
    return str(value)


def _field(note: Any, field: "Field[Any]") -> str:
    value = getattr(note, field.name)
    if field.name == "spi" and isinstance(value, int):
        return f"0x{value:08x}"
    return _bracketed(value)


def _bracketed(value: Any) -> str:
    plain = isinstance(value, XfrmState | NftChain | HookFunction)
    return f"({_words(value)})" if is_dataclass(value) and not plain else _words(value)


def _spoken(field: "Field[Any]") -> str:
    return field.name.replace("_", " ")


def _state(state: XfrmState) -> str:
    counts = (
        f"state {state.state}" if state.state else "",
        f"{state.lifetime.packets} packets and {state.lifetime.bytes} bytes through it",
        f"seq {state.seq}",
        f"oseq {state.oseq}",
        f"failed: integrity {state.stat_integrity_failed}, replay {state.stat_replay}, "
        f"replay window {state.stat_replay_window}",
    )
    return f"{state_line(state)} ({', '.join(count for count in counts if count)})"


def _filled(note: Any) -> list["Field[Any]"]:
    return [field for field in fields(note) if not _is_default(field, getattr(note, field.name))]


def _is_default(field: "Field[Any]", value: Any) -> bool:
    if value is None:
        return True
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return field.default is not MISSING and bool(value == field.default)
