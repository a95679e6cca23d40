"""Words of a filter, from the command line or from a program, become a Filter; what is wrong with them is told."""

import difflib
import fnmatch
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from dropwatch.errors import CannotRunHere
from dropwatch.host.interfaces import interface_exists
from dropwatch.host.netns.netns import resolve_netns
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.filter import Filter
from dropwatch.names import symbols
from dropwatch.names.foreign import foreign
from dropwatch.run.options import UNKNOWN
from dropwatch.run.wanted import values
from dropwatch.run.wanted.contradictions import refuse_impossible

_REASON_PREFIX = "SKB_DROP_REASON_"
_Value = TypeVar("_Value")


def filter_of(given: Mapping[str, Any]) -> Filter:
    """By option name, each a tuple of texts (`dport`), `ipv4` and `ipv6` true or false; `netns` stays empty.

    Raises WrongUsage for what the words alone show to be wrong.
    """
    wanted = _filter(given)
    refuse_impossible(wanted)
    return wanted


def on_this_host(wanted: Filter, netns: tuple[str, ...]) -> Filter:
    """With the namespaces that are meant. Raises WrongUsage for what is not on this host.

    CannotRunHere only when a network namespace may not be looked at.
    """
    wanted = replace(wanted, netns=tuple(resolve_netns(text) for text in netns))
    for name in wanted.ifaces:
        _refuse_missing_interface(name, wanted.netns)
    return wanted


def recorded_filter(given: Mapping[str, Any]) -> Filter:
    """As filter_of(), for a recording: names of drop reasons are those of the recording, this host knows others."""
    wanted = _filter({**given, "reason": ()})
    reasons = [text.upper().removeprefix("!") for text in given["reason"] if not text.startswith("!")]
    excluded = [text.upper().removeprefix("!") for text in given["reason"] if text.startswith("!")]
    wanted = replace(
        wanted,
        reasons=frozenset(name.removeprefix(_REASON_PREFIX) for name in reasons),
        not_reasons=frozenset(name.removeprefix(_REASON_PREFIX) for name in excluded),
    )
    refuse_impossible(wanted)
    return wanted


def _filter(given: Mapping[str, Any]) -> Filter:
    causes, not_causes = _names("--cause", given["cause"], cause_ids)
    reasons, not_reasons = _names("--reason", given["reason"], reason_names)
    return Filter(
        families=frozenset(family for family, option in ((4, "ipv4"), (6, "ipv6")) if given[option]),
        protos=frozenset(_each(values.protocol, "--proto", given)),
        saddr=_each(values.network, "--saddr", given),
        daddr=_each(values.network, "--daddr", given),
        host=_each(values.network, "--host", given),
        sport=sum(_each(values.ports, "--sport", given), ()),
        dport=sum(_each(values.ports, "--dport", given), ()),
        port=sum(_each(values.ports, "--port", given), ()),
        ifaces=tuple(map(foreign, given["iface"])),
        marks=_each(values.mark, "--mark", given),
        causes=causes,
        not_causes=not_causes,
        reasons=reasons,
        not_reasons=not_reasons,
    )


def _each(value: Callable[[str, str], _Value], option: str, given: Mapping[str, Any]) -> tuple[_Value, ...]:
    return tuple(value(option, text) for text in given[option.removeprefix("--")])


def _names(
    option: str, texts: tuple[str, ...], find: Callable[[str, str], frozenset[str]]
) -> tuple[frozenset[str], frozenset[str]]:
    """What is asked for, and what is excluded by a leading `!`."""
    asked = [find(option, text) for text in texts if not text.startswith("!")]
    excluded = [find(option, text[1:]) for text in texts if text.startswith("!")]
    return frozenset().union(*asked), frozenset().union(*excluded)


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
        known |= {reason.upper() for reason in _reasons_of_this_kernel()}
    if name not in known:
        raise values.refuse(option, text, "no such drop reason", _closest(name, known, "whydrop explain"))
    return frozenset({name})


def _reasons_of_this_kernel() -> frozenset[str]:
    try:
        return ReasonNames().known
    except CannotRunHere:
        return frozenset()


def _closest(text: str, known: Collection[str], listing: str) -> str:
    close = difflib.get_close_matches(text, known, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else f"{listing} lists them"


def _refuse_missing_interface(name: str, netns: tuple[int, ...]) -> None:
    """Namespaces that may not be looked into are given the benefit of the doubt."""
    if interface_exists(name, netns) is False:
        where = "the network namespaces asked for" if netns else "any network namespace of this host"
        raise values.refuse(
            "--iface",
            name,
            f"there is no such interface in {where}",
            "ip link lists those of one namespace, ip -all netns exec ip link those of all with names",
        )
