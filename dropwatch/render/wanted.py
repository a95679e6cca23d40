"""What a filter asks for, in words: for the line that says what is watched."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from dropwatch.model.filter import Filter, Network, Owner, PortRange
from dropwatch.names import protocols

_LISTED = 4  # names of a list that are told


def wanted_words(wanted: Filter) -> str:
    """`udp packets from 10.0.0.1 to port 5000 or 5010-5020`; `packets` where nothing is asked for.

    Without the namespaces, which netns_words() tells.
    """
    return " ".join((_kind(wanted), *_parts(wanted)))


def kind_words(kind: str, wanted: Filter) -> str:
    """Of one kind of the filter, by its name: `to port 5000`, `udp`, `IPv4`."""
    if kind == "protos":
        return _or(sorted(protocols.name(number) for number in wanted.protos))
    if kind == "families":
        return _or(f"IPv{family}" for family in sorted(wanted.families))
    say = _WORDS.get(kind)
    return say(getattr(wanted, kind)) if say is not None else ""


def netns_words(wanted: Filter, name: Callable[[int], str | None], own: int | None) -> str:
    """`in netns b or c`, `in this network namespace`, `in every network namespace but netns b`."""

    def words(inodes: Sequence[int]) -> Iterator[str]:
        for inode in inodes:
            known = name(inode)
            here = known is None and inode == own
            yield "this network namespace" if here else f"netns {known or inode}"

    where = _or(words(wanted.netns)) or "every network namespace"
    excluded = wanted.but.netns if wanted.but is not None else ()
    return f"in {where} but {_or(words(excluded))}" if excluded else f"in {where}"


def _kind(wanted: Filter) -> str:
    protos = _or(sorted(protocols.name(number) for number in wanted.protos))
    families = "" if len(wanted.families) > 1 else "".join(f"IPv{family}" for family in wanted.families)
    return " ".join(word for word in (families, protos, "packets") if word)


def _parts(wanted: Filter) -> Iterator[str]:
    """Each kind that is asked for; one that has no words here is told by its name, never left out."""
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if field.name in _SAID or not value:
            continue
        say = _WORDS.get(field.name)
        words = say(value) if say is not None else f"with {field.name.replace('_', ' ')} {_plain(value)}"
        if words:
            yield words


def _networks(led_by: str) -> Callable[[tuple[Network, ...]], str]:
    return lambda networks: f"{led_by} {_or(map(_network, networks))}"


def _network(network: Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _ports(led_by: str) -> Callable[[tuple[PortRange, ...]], str]:
    return lambda ranges: f"{led_by} {_or(map(_range, ranges))}"


def _range(ports: PortRange) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _marks(marks: tuple[tuple[int, int], ...]) -> str:
    return "with mark " + _or(
        f"0x{value:x}" + ("" if mask == 0xFFFFFFFF else f"/0x{mask:x}") for value, mask in marks
    )


def _icmp_types(types: Iterable[tuple[int, int]]) -> str:
    return f"of type {_or(f'{protocols.name(proto)} {number}' for proto, number in sorted(types))}"


def _owner(owner: Owner) -> str:
    """Each of its kinds has to fit."""
    containers = [f"container {one}" for one in sorted(owner.containers)]
    kinds = (
        [f"pid {pid}" for pid in sorted(owner.pids)],
        sorted(owner.comms),
        sorted(owner.units),
        containers,
    )
    return f"of {' and '.join(_or(kind) for kind in kinds if kind)}"


def _but(excluded: Filter) -> str:
    """No value of any kind in it may fit."""
    protos = [protocols.name(number) for number in sorted(excluded.protos)]
    kinds = [*protos, *_parts(excluded)]
    return f"but not {_or(kinds)}" if kinds else ""


def _names(led_by: str) -> Callable[[Iterable[str]], str]:
    return lambda names: f"{led_by} {_or(sorted(names))}"


def _or(words: Iterable[str]) -> str:
    """`a, b or c`; of very many the first."""
    *others, last = list(words) or [""]
    if len(others) >= _LISTED:
        others, last = [*others[: _LISTED - 1]], f"{len(others) - _LISTED + 2} more"
    return f"{', '.join(others)} or {last}" if others else last


def _plain(value: Any) -> str:
    """A value of any type: what it says of itself, else its own kinds by their names."""
    if isinstance(value, Filter):
        return wanted_words(value)
    if is_dataclass(value):
        kinds = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(text := kinds.get("text"), str):
            return text
        return ", ".join(f"{kind.replace('_', ' ')} {_plain(each)}" for kind, each in kinds.items() if each)
    return _or(map(str, value)) if isinstance(value, tuple | frozenset) else str(value)


_SAID = frozenset({"families", "protos", "netns"})
_WORDS: dict[str, Callable[..., str]] = {
    "saddr": _networks("from"),
    "daddr": _networks("to"),
    "host": _networks("from or to"),
    "sport": _ports("from port"),
    "dport": _ports("to port"),
    "port": _ports("from or to port"),
    "ifaces": _names("on"),
    "marks": _marks,
    "icmp_types": _icmp_types,
    "owner": _owner,
    "expression": lambda expression: f"that match {expression}",
    "but": _but,
    "causes": _names("that die of"),
    "not_causes": _names("that do not die of"),
    "reasons": _names("with reason"),
    "not_reasons": _names("without reason"),
}
