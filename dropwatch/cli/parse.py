"""Words of the command line become Options; everything wrong with them is told from here."""

import difflib
import fnmatch
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dropwatch.causes import CATALOGUE
from dropwatch.cli import values
from dropwatch.cli.contradictions import refuse_impossible
from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.host.interfaces import interface_exists
from dropwatch.host.netns.netns import resolve_netns
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.filter import Filter
from dropwatch.names import symbols
from dropwatch.recording import new_file
from dropwatch.run import command, ready
from dropwatch.run.options import UNKNOWN, Options, View

_REASON_PREFIX = "SKB_DROP_REASON_"
_Value = TypeVar("_Value")


def parse_stack(given: Mapping[str, Any], after_dashes: tuple[str, ...] = ()) -> Options:
    """As parse(), for `whydrop stack`: one packet unless told otherwise; `folded` counts until something ends it."""
    if given["folded"] and given["json"]:
        raise WrongUsage("--folded and --json are two formats of one output", "leave one of them away")
    options = parse(given, after_dashes)
    if given["folded"]:
        return replace(options, view="folded")
    return replace(options, view="stack", count=1 if options.count is None else options.count)


def parse_summary(given: Mapping[str, Any], after_dashes: tuple[str, ...] = ()) -> Options:
    """As parse(), for `whydrop summary`."""
    options = parse(given, after_dashes)
    interval = None if given["interval"] is None else values.seconds("--interval", given["interval"])
    return replace(options, view="summary", interval=interval)


def parse_trace(given: Mapping[str, Any], after_dashes: tuple[str, ...] = ()) -> Options:
    """As parse(), for `whydrop trace`."""
    functions = None if given["functions"] is None else pattern(given["functions"])
    fields = tuple(name.strip() for text in given["fields"] for name in text.split(",") if name.strip())
    options = parse({**given, "all": True}, after_dashes)
    view: View = "tree" if given["tree"] else "trace"
    return replace(options, view=view, functions=functions, fields=fields)


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression as it was typed. Raises WrongUsage."""
    try:
        return re.compile(text)
    except re.error as error:
        raise WrongUsage(
            f"--functions: {text!r} is no regular expression: {error}",
            "for example: --functions '^(ip|udp)_'",
        ) from error


def parse(given: Mapping[str, Any], after_dashes: tuple[str, ...] = ()) -> Options:
    """Options from the texts of the command line, by option name (`dport` is a tuple of texts).

    Raises WrongUsage: first for what the words alone show to be wrong, then for what is not on this host.
    CannotRunHere only when a network namespace may not be looked at.
    """
    wanted = _filter(given)
    refuse_impossible(wanted)
    options = Options(
        json=given["json"],
        stack=given["stack"],
        all_drops=given["all"],
        no_color=given["no_color"],
        count=None if given["count"] is None else values.count("--count", given["count"]),
        duration=None if given["duration"] is None else values.seconds("--duration", given["duration"]),
        ready_file=None if given["ready_file"] is None else Path(given["ready_file"]),
        command=after_dashes,
        debug=given["debug"],
        **_writing(given),
    )
    if options.ready_file is not None:
        ready.refuse_bad_path(options.ready_file)
    if options.command:
        command.refuse_missing(options.command)
    wanted = replace(wanted, netns=tuple(resolve_netns(text) for text in given["netns"]))
    for name in wanted.ifaces:
        _refuse_missing_interface(name, wanted.netns)
    return replace(options, wanted=wanted)


def parse_replay(given: Mapping[str, Any]) -> Options:
    """As parse(), for a recording: of this host it asks nothing, so that names are those of the recording.

    Namespaces are left to the recording, too: `wanted.netns` stays empty.
    """
    wanted = _filter({**given, "reason": ()})
    reasons = [text.upper().removeprefix("!") for text in given["reason"] if not text.startswith("!")]
    excluded = [text.upper().removeprefix("!") for text in given["reason"] if text.startswith("!")]
    wanted = replace(
        wanted,
        reasons=frozenset(name.removeprefix(_REASON_PREFIX) for name in reasons),
        not_reasons=frozenset(name.removeprefix(_REASON_PREFIX) for name in excluded),
    )
    refuse_impossible(wanted)
    return Options(
        wanted=wanted,
        json=given["json"],
        stack=given["stack"],
        all_drops=given["all"],
        no_color=given["no_color"],
        count=None if given["count"] is None else values.count("--count", given["count"]),
        debug=given["debug"],
        **_writing(given),
    )


def _writing(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options about a file, for commands that have them. Raises WrongUsage where they make no sense."""
    file, anonymize, payload = given.get("write"), given.get("anonymize", False), given.get("payload", False)
    if file is None and (anonymize or payload):
        word = "--anonymize" if anonymize else "--payload"
        raise WrongUsage(
            f"{word} is about the file of --write, and there is none", f"--write drops.whydrop {word}"
        )
    if anonymize and payload:
        raise WrongUsage("--anonymize cannot look into payload", "leave --payload away: headers are kept")
    if file is not None:
        new_file.refuse_bad_path(Path(file))
    return {"write": None if file is None else Path(file), "anonymize": anonymize, "payload": payload}


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
        ifaces=given["iface"],
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
