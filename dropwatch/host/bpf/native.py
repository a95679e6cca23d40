"""Interfaces whose driver runs an XDP program: what that drops is no packet yet, and only the driver may count it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from dropwatch.errors import WhydropError
from dropwatch.host.bpf.programs import TYPE_XDP, programs_of_type
from dropwatch.host.bpf.xdp import XdpProgram, read_xdp
from dropwatch.host.counters import driver
from dropwatch.host.netns.enter import entered
from dropwatch.model.pattern import pattern
from dropwatch.model.xdp import XdpError

NOTHING: Mapping[XdpError, int] = MappingProxyType({})
_MOST_NAMESPACES = 256
_OF_A_QUEUE = pattern(r"\d")
_OF_XDP = pattern(r"xdp", re.IGNORECASE)

_Counters = dict[str, int]
_Key = tuple[int, XdpProgram]


class NativeXdp:
    """Of these namespaces, or of the first of them. `called` says what a namespace is called, `in_view` whether an
    interface of this name is looked at at all.
    """

    def __init__(
        self,
        namespaces: Callable[[], Iterable[int]],
        called: Callable[[int], str | None],
        in_view: Callable[[str], bool] = lambda _: True,
        is_any_loaded: Callable[[], bool] = lambda: any(True for _ in programs_of_type(TYPE_XDP)),
        read: Callable[[int], tuple[XdpProgram, ...]] = read_xdp,
        count: Callable[[int, str], _Counters] = lambda inode, name: counted(inode, name),
    ) -> None:
        self._namespaces, self._called, self._in_view = namespaces, called, in_view
        self._is_any_loaded, self._read, self._count = is_any_loaded, read, count
        self._began: dict[_Key, _Counters] = {}

    def start(self) -> tuple[str, ...]:
        """What is there now, in sentences; what was dropped before is not counted."""
        self._began = {key: self._counters(key) for key in self._found()}
        return tuple(_sentence(key, self._name(key), "") for key in self._began)

    def end(self, errors: Mapping[XdpError, int] = NOTHING) -> tuple[str, ...]:
        """The same of all that were there at the beginning or are there now, with what their drivers have counted, and
        what the kernel has counted of their `errors`.
        """
        keys = dict.fromkeys((*self._began, *self._found()))
        return tuple(
            _sentence(key, self._name(key), self._count_words(key) + _error_words(key, errors))
            for key in keys
        )

    def _count_words(self, key: _Key) -> str:
        began, now = self._began.get(key), self._counters(key)
        risen = _sum({name: count - (began or {}).get(name, 0) for name, count in now.items()})
        if risen <= 0:
            return ""
        when = "meanwhile" if began is not None else "in all, also before that program was there"
        return f"; its driver counted {risen:,} XDP drops {when}"

    def _name(self, key: _Key) -> str:
        inode, _ = key
        return self._called(inode) or str(inode)

    def _found(self) -> Iterator[_Key]:
        """What cannot be read is gone, or whatever reads it later says so."""
        if not self._loaded():
            return
        for inode in list(dict.fromkeys(self._namespaces()))[:_MOST_NAMESPACES]:
            try:
                there = self._read(inode)
            except WhydropError:
                raise
            except (OSError, ValueError, LookupError):
                continue
            yield from (
                (inode, one) for one in there if one.mode != "generic" and self._in_view(one.interface)
            )

    def _loaded(self) -> bool:
        try:
            return self._is_any_loaded()
        except OSError:
            return True

    def _counters(self, key: _Key) -> _Counters:
        inode, one = key
        try:
            return self._count(inode, one.interface)
        except OSError:
            return {}


def _sentence(key: _Key, namespace: str, counted: str) -> str:
    _, one = key
    name = f" name {one.program.name}" if one.program.name else ""
    return (
        f"XDP program id {one.program.id}{name}, {one.mode} on {one.interface} of namespace {namespace}: "
        f"what it drops before there is a packet{counted}"
    )


def counted(netns_inode: int, interface: str) -> _Counters:
    """The driver's counters of what XDP drops or fails to send on. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        found = driver.trouble_counters(interface)
    return {name: count for name, count in found.items() if _OF_XDP.search(name)}


def _error_words(key: _Key, errors: Mapping[XdpError, int]) -> str:
    """`; errors: 3 XDP_ABORTED, 2 failed redirect`."""
    inode, one = key
    mine = (inode, one.ifindex, one.program.id)
    found = [
        f"{count:,} {error.action}"
        for error, count in sorted(errors.items(), key=lambda each: (-each[1], each[0].action))
        if (error.netns, error.ifindex, error.program) == mine
    ]
    return f"; errors of the program: {', '.join(found)}" if found else ""


def _sum(risen: _Counters) -> int:
    """A driver may count for each of its queues, for all together, or both."""
    queues = sum(count for name, count in risen.items() if _OF_A_QUEUE.search(name))
    return max(queues, sum(count for name, count in risen.items() if not _OF_A_QUEUE.search(name)))
