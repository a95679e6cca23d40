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

_NOT_INTO_PAYLOAD, _LEAVE_IT = (
    "--anonymize cannot look into payload",
    "leave out --payload: headers are kept",
)


def parse_stack(given: Mapping[str, Any], after_dashes: tuple[str, ...] = ()) -> Options:
    """As parse(), for `whydrop stack`: one packet unless told otherwise; `folded` counts until something ends it."""
    if given["folded"] and given["json"]:
        raise WrongUsage("--folded and --json are two formats of one output", "choose one of them")
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
    but = options.wanted.but
    if options.wanted.owner is not None or (but is not None and but.owner is not None):
        raise WrongUsage(
            "--pid, --comm, --unit and --container are for packets that die, and a trace follows all",
            "ask for the flow instead: --host, --port, or an expression",
        )
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
        **appearance(given),
        count=None if given["count"] is None else values.count("--count", given["count"]),
        duration=None if given["duration"] is None else values.seconds("--duration", given["duration"]),
        ready_file=None if given["ready_file"] is None else Path(given["ready_file"]),
        command=after_dashes,
        debug=given["debug"],
        btf=None if given.get("btf") is None else Path(given["btf"]),
        **_writing(given),
    )
    if options.ready_file is not None:
        ready.refuse_bad_path(options.ready_file)
    if options.command:
        command.refuse_missing(options.command)
    return replace(options, wanted=on_this_host(wanted, given["netns"]))


def parse_report(given: Mapping[str, Any]) -> Options:
    """As parse_replay(), for `whydrop report`, which always has a file to be --anonymize about."""
    options = parse_replay(
        {"json": False, "stack": False, "no_color": True, **given, "anonymize": False, "payload": False}
    )
    if given["anonymize"] and given["payload"]:
        raise WrongUsage(_NOT_INTO_PAYLOAD, _LEAVE_IT)
    return replace(options, anonymize=given["anonymize"], payload=given["payload"])


def parse_diff(given: Mapping[str, Any]) -> Options:
    """As parse_replay(), for `whydrop diff`, which compares all there is."""
    return parse_replay({"stack": False, "count": None, **given})


def refuse_live_only(given: Mapping[str, Any], after_dashes: tuple[str, ...]) -> None:
    """What has no meaning with -r FILE. Raises WrongUsage."""
    named = {"duration": "--duration", "light": "--light", "ready_file": "--ready-file", "btf": "--btf"}
    for name, option in named.items():
        if given[name]:
            raise WrongUsage(f"{option} is for a live run, and -r reads a recording", f"leave out {option}")
    if after_dashes:
        raise WrongUsage("-r reads a recording, and runs no command", "leave out `--` and what follows")


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
        **appearance(given),
        count=None if given["count"] is None else values.count("--count", given["count"]),
        debug=given["debug"],
        **_writing(given),
    )


def appearance(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options about how it looks. A command may lack some of them."""
    return {
        "no_color": given["no_color"],
        "color": given.get("color") or "auto",
        "times": given.get("time") or "clock",
        "verbosity": given.get("verbosity", 0),
        "quiet": given.get("quiet", False),
    }


def _writing(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options about a file, for commands that have them. Raises WrongUsage where they make no sense."""
    file, anonymize, payload = given.get("write"), given.get("anonymize", False), given.get("payload", False)
    if file is None and (anonymize or payload):
        word = "--anonymize" if anonymize else "--payload"
        raise WrongUsage(
            f"{word} is about the file of --write, and there is none", f"--write drops.whydrop {word}"
        )
    if anonymize and payload:
        raise WrongUsage(_NOT_INTO_PAYLOAD, _LEAVE_IT)
    if file is not None:
        new_file.refuse_bad_path(Path(file))
    return {"write": None if file is None else Path(file), "anonymize": anonymize, "payload": payload}
