"""Words of the command line become Options; everything wrong with them is told from here."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dropwatch.errors import WrongUsage
from dropwatch.recording import new_file
from dropwatch.run import command, ready
from dropwatch.run.options import Options, View
from dropwatch.run.wanted import values
from dropwatch.run.wanted.words import filter_of, on_this_host, recorded_filter


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
    wanted = filter_of(given)
    options = Options(
        json=given["json"],
        stack=given["stack"],
        all_drops=given["all"],
        every_packet=given.get("every_packet", False),
        light=given.get("light", False),
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
    return replace(options, wanted=on_this_host(wanted, given["netns"]))


def parse_replay(given: Mapping[str, Any]) -> Options:
    """As parse(), for a recording: of this host it asks nothing, so that names are those of the recording.

    Namespaces are left to the recording, too: `wanted.netns` stays empty.
    """
    wanted = recorded_filter(given)
    return Options(
        wanted=wanted,
        json=given["json"],
        stack=given["stack"],
        all_drops=given["all"],
        every_packet=given.get("every_packet", False),
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
