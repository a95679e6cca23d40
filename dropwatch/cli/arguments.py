"""The options of the command line, declared once for every command that watches or shows drops."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dropwatch import __version__

_Function = TypeVar("_Function", bound=Callable[..., Any])

SECTIONS = {
    "FILTER": "Which drops. Repeat an option for `or`; different options mean `and`.",
    "OPTIONS": "What is shown, and for how long.",
}


class SectionOption(click.Option):
    """An option that knows the heading under which --help lists it."""

    def __init__(self, *names: str, section: str, **settings: Any) -> None:
        super().__init__(list(names), **settings)
        self.section = section


def _filter(*names: str, metavar: str, text: str) -> SectionOption:
    return SectionOption(
        *names, section="FILTER", multiple=True, metavar=metavar, help=text, expose_value=True
    )


def _option(*names: str, text: str, **settings: Any) -> SectionOption:
    return SectionOption(*names, section="OPTIONS", help=text, **settings)


def filter_and_options() -> list[click.Parameter]:
    """Fresh parameters for one command; every value is still the text that was typed."""
    return [
        SectionOption("-4", "ipv4", section="FILTER", is_flag=True, help="IPv4 only."),
        SectionOption("-6", "ipv6", section="FILTER", is_flag=True, help="IPv6 only."),
        _filter("--proto", metavar="NAME|N", text="Protocol: udp, tcp, icmp, icmp6, esp, 47, ..."),
        _filter("--saddr", metavar="ADDR", text="Source address or prefix."),
        _filter("--daddr", metavar="ADDR", text="Destination address or prefix."),
        _filter("--host", metavar="ADDR", text="Either address."),
        _filter("--sport", metavar="PORT", text="Source port: number, name or range (5000-5010)."),
        _filter("--dport", metavar="PORT", text="Destination port, likewise."),
        _filter("--port", metavar="PORT", text="Either port."),
        _filter("--iface", metavar="NAME", text="Network interface, in any namespace."),
        _filter("--netns", metavar="WHICH", text="Network namespace: name, path, inode or pid."),
        _filter("--mark", metavar="V[/MASK]", text="Packet mark, hexadecimal or decimal."),
        _filter("--cause", metavar="[!]ID", text="Cause: ipsec.auth-failed, 'ipsec.*'; '!ID' excludes."),
        _filter("--reason", metavar="[!]NAME", text="The kernel's own drop reason; '!NAME' excludes."),
        _option("--json", is_flag=True, text="One JSON object a line on standard output."),
        _option("--stack", is_flag=True, text="The kernel's stack with every finding."),
        _option("--count", metavar="N", text="Stop after N findings."),
        _option("--duration", metavar="SECONDS", text="Stop after this time."),
        _option("--all", is_flag=True, text="Show harmless drops, too."),
        _option("--every-packet", is_flag=True, text="Tell every packet by itself, also equal ones."),
        _option(
            "--light",
            is_flag=True,
            text="Cost accepted packets nothing: rules are named from the second drop on.",
        ),
        _option("--ready-file", metavar="PATH", text="Create this file when every probe is attached."),
        _option("--no-color", is_flag=True, text="No colours, also on a terminal."),
        _option("--debug", is_flag=True, text="Show Python's traceback with an error."),
    ]


def replay_options() -> list[click.Parameter]:
    """As filter_and_options(), without what has no meaning for a recording."""
    live_only = {"duration", "light", "ready_file"}
    return [param for param in filter_and_options() if param.name not in live_only]


def writing_options() -> list[click.Parameter]:
    """For commands that can leave a file."""
    return [
        _option(
            "--write", metavar="FILE", text="A recording for whydrop replay; FILE.pcapng: for Wireshark."
        ),
        _option("--anonymize", is_flag=True, text="Replace the addresses in that file, consistently."),
        _option("--payload", is_flag=True, text="Keep payload in that file, not only headers."),
    ]


def folded_option() -> click.Parameter:
    """`whydrop stack --folded`."""
    text = "Count stacks instead, for flame graph tools."
    return _option("--folded", is_flag=True, text=text)


def findings_option() -> click.Parameter:
    """`whydrop replay --findings`."""
    return _option("--findings", is_flag=True, text="Show the drops one by one, whatever the run showed.")


def _instead(left_out: set[str], *added: click.Parameter) -> list[click.Parameter]:
    """filter_and_options() without some, and with others before --duration."""
    params = [param for param in filter_and_options() if param.name not in left_out]
    at = next(number for number, param in enumerate(params) if param.name == "duration")
    return [*params[:at], *added, *params[at:]]


def summary_options() -> list[click.Parameter]:
    """As filter_and_options(), for `whydrop summary`."""
    return _instead(
        {"count", "every_packet", "stack"},
        _option(
            "--interval", metavar="SECONDS", text="Time between summaries: 1 with the full screen, else 10."
        ),
        _option("--count", metavar="N", text="Stop after N summaries."),
        _option("--stack", is_flag=True, text="With --json: the stack of each row's last sample."),
    )


def trace_options() -> list[click.Parameter]:
    """As filter_and_options(), for `whydrop trace`."""
    return _instead(
        {"count", "every_packet", "light", "all"},
        _option("--all", is_flag=True, text="No effect: a trace always shows harmless drops."),
        _option(
            "--functions", metavar="REGEX", text="Also kernel functions that take a packet and match this."
        ),
        _option("--list-functions", is_flag=True, text="Only list the functions that would be watched."),
        _option(
            "--fields",
            metavar="NAMES",
            multiple=True,
            text="With each step: len, gso_size, gso_segs, mark, ... of struct sk_buff.",
        ),
        _option("--tree", is_flag=True, text="Show the calls as a tree, with their durations."),
        _option("--count", metavar="N", text="Stop after N packets."),
    )


def version_option() -> click.Option:
    """`--version` prints the version and ends."""

    def show(context: click.Context, param: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            click.echo(f"whydrop {__version__}")
            context.exit()

    return _option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=show, text="Show the version."
    )


def write_sections(params: list[click.Parameter], context: click.Context, out: click.HelpFormatter) -> None:
    """The options under their headings; those without one come last."""
    rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in SECTIONS}
    for param in params:
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is not None:
            rows.setdefault(getattr(param, "section", "OPTIONS"), []).append(record)
    for heading, records in rows.items():
        if records:
            with out.section(heading):
                out.write_text(SECTIONS[heading])
                out.write_dl(records, col_max=24)
