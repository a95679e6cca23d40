"""Words of a filter, from the command line or from a program, become a Filter; what is wrong with them is told."""

import difflib
import fnmatch
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dropwatch.errors import WrongUsage
from dropwatch.host.netns.netns import resolve_netns
from dropwatch.model.expression import Expression
from dropwatch.model.filter import Filter, Owner
from dropwatch.names import symbols
from dropwatch.run.options import UNKNOWN
from dropwatch.run.wanted import values
from dropwatch.run.wanted.contradictions import refuse_impossible
from dropwatch.run.wanted.doubts import reasons_of_this_kernel

_REASON_PREFIX = "SKB_DROP_REASON_"
_ANY_INTERFACE = "any"  # of tcpdump
_ALL_NAMESPACES = "all"
_KINDS = (
    *("proto", "saddr", "daddr", "host", "sport", "dport", "port", "icmp_type", "iface", "mark"),
    *("pid", "comm", "unit", "container"),
)
_Value = TypeVar("_Value")


def filter_of(given: Mapping[str, Any]) -> Filter:
    """By option name, each a tuple of texts (`dport`), `ipv4` and `ipv6` true or false, `expression` a text or words of
    one; `netns` stays empty.

    A text may be a list (`53,80`), and a leading `!` excludes what is in it. Raises WrongUsage for what the words alone
    show to be wrong, CannotRunHere for an expression without libpcap.
    """
    wanted = _filter(given)
    refuse_impossible(wanted)
    return wanted


def on_this_host(wanted: Filter, netns: tuple[str, ...]) -> Filter:
    """With the namespaces that are meant. Raises WrongUsage for one that is not on this host: they are told apart by
    their numbers, so that one which comes later cannot be asked for. CannotRunHere when one may not be looked at.
    """
    asked, excluded = sorted_out(netns)
    if _ALL_NAMESPACES in excluded:
        raise WrongUsage(
            "--netns '!all' leaves no network namespace to watch",
            "name those that are not wanted: --netns '!b'",
        )
    inodes = () if _ALL_NAMESPACES in asked else tuple(resolve_netns(text) for text in asked)
    wanted = replace(wanted, netns=inodes)
    if excluded:
        wanted = replace(
            wanted, but=replace(wanted.but or Filter(), netns=tuple(resolve_netns(text) for text in excluded))
        )
    return wanted


def recorded_filter(given: Mapping[str, Any]) -> Filter:
    """As filter_of(), for a recording: names of drop reasons are those of the recording, this host knows others."""
    wanted = _filter({**given, "reason": ()})
    reasons, excluded = sorted_out(given["reason"])
    wanted = replace(
        wanted,
        reasons=frozenset(name.upper().removeprefix(_REASON_PREFIX) for name in reasons),
        not_reasons=frozenset(name.upper().removeprefix(_REASON_PREFIX) for name in excluded),
    )
    refuse_impossible(wanted)
    return wanted


def sorted_out(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is asked for, and what is excluded, of texts that may be lists."""
    asked: list[str] = []
    excluded: list[str] = []
    for text in texts:
        into = excluded if text.startswith("!") else asked
        into.extend(text.removeprefix("!").split(",") if "," in text.strip(",") else [text.removeprefix("!")])
    return tuple(asked), tuple(excluded)


def _filter(given: Mapping[str, Any]) -> Filter:
    causes, not_causes = _names("--cause", given["cause"], cause_ids)
    reasons, not_reasons = _names("--reason", given["reason"], reason_names)
    asked, excluded = {}, {}
    for kind in _KINDS:
        asked[kind], excluded[kind] = sorted_out(given.get(kind, ()))
    but = _kinds(excluded)
    return replace(
        _kinds(asked),
        families=frozenset(family for family, option in ((4, "ipv4"), (6, "ipv6")) if given[option]),
        causes=causes,
        not_causes=not_causes,
        reasons=reasons,
        not_reasons=not_reasons,
        expression=_expression(given.get("expression", ())),
        but=but if but != Filter() else None,
    )


def _kinds(given: Mapping[str, tuple[str, ...]]) -> Filter:
    """Of the options that have values and may exclude some."""
    owner = Owner(
        pids=frozenset(_each(values.pid, "pid", given)),
        comms=frozenset(_each(values.comm, "comm", given)),
        units=frozenset(_each(values.unit, "unit", given)),
        containers=frozenset(_each(values.container, "container", given)),
    )
    return Filter(
        protos=frozenset(_each(values.protocol, "proto", given)),
        saddr=_each(values.network, "saddr", given),
        daddr=_each(values.network, "daddr", given),
        host=_each(values.network, "host", given),
        sport=sum(_each(values.ports, "sport", given), ()),
        dport=sum(_each(values.ports, "dport", given), ()),
        port=sum(_each(values.ports, "port", given), ()),
        icmp_types=frozenset().union(*_each(values.icmp_types, "icmp_type", given)),
        ifaces=tuple(name for name in _each(values.interface, "iface", given) if name != _ANY_INTERFACE),
        marks=_each(values.mark, "mark", given),
        owner=owner if owner != Owner() else None,
    )


def _expression(words: str | tuple[str, ...]) -> Expression | None:
    """The words are one text, as tcpdump joins them."""
    if isinstance(words, tuple) and not words:
        return None
    from dropwatch.pcap.libpcap import compile_expression  # only for who needs it

    return compile_expression(words if isinstance(words, str) else " ".join(words))


def _each(value: Callable[[str, str], _Value], kind: str, given: Mapping[str, Any]) -> tuple[_Value, ...]:
    return tuple(value(f"--{kind.replace('_', '-')}", text) for text in given[kind])


def _names(
    option: str, texts: tuple[str, ...], find: Callable[[str, str], frozenset[str]]
) -> tuple[frozenset[str], frozenset[str]]:
    """What is asked for, and what is excluded by a leading `!`."""
    asked, excluded = sorted_out(texts)
    return (
        frozenset().union(*(find(option, text) for text in asked)),
        frozenset().union(*(find(option, text) for text in excluded)),
    )


def cause_ids(option: str, text: str) -> frozenset[str]:
    """The ids behind `ipsec.auth-failed`, `ipsec`, `ipsec.out-*` or `unknown`."""
    from dropwatch.causes import CATALOGUE  # a third of all modules

    ids = {cause.id for cause in CATALOGUE} | {UNKNOWN}
    found = frozenset(fnmatch.filter(ids, text.lower())) | frozenset(fnmatch.filter(ids, f"{text.lower()}.*"))
    if not found:
        raise values.refuse(option, text, "no such cause", _closest(text.lower(), ids, "whydrop explain"))
    return found


def reason_names(option: str, text: str) -> frozenset[str]:
    """The name of a drop reason in upper case, which this kernel has or whydrop has words for."""
    name = text.upper().removeprefix(_REASON_PREFIX)
    known = {reason.upper() for reason in symbols.reasons()}
    if name not in known:
        known |= reasons_of_this_kernel()
    if name not in known:
        raise values.refuse(option, text, "no such drop reason", _closest(name, known, "whydrop explain"))
    return frozenset({name})


def _closest(text: str, known: Collection[str], listing: str) -> str:
    close = difflib.get_close_matches(text, known, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else f"{listing} lists them"
