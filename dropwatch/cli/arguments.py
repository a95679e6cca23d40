"""The options of the command line, declared once for every command that watches or shows drops."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dropwatch import __version__
from dropwatch.render.clock import TIMES
from dropwatch.render.layout import WHEN

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Function = TypeVar("_Function", bound=Callable[..., Any])

SECTIONS = {
    "FILTER": "Which drops: an EXPRESSION as tcpdump takes it (man pcap-filter), options, or both. "
    "Values in a list or of a repeated option mean `or`, different options `and`; a leading `!` excludes. "
    "Packets that may carry what is asked for (ESP, fragments, ICMP errors, tunnels) are found, too.",
    "OPTIONS": "What is shown, and for how long.",
}


class SectionOption(click.Option):
    """An option that knows its heading in --help, and which values there are. `aliases` are understood, not listed."""

    def __init__(self, *names: str, section: str, aliases: tuple[str, ...] = (), **settings: Any) -> None:
        super().__init__([*names, *aliases], **settings)
        self.section = section
        self.aliases = aliases

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        known = self.opts
        self.opts = [name for name in known if name not in self.aliases]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = known

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        return completed(self, ctx, incomplete)


class CompletedArgument(click.Argument):
    """An argument of whose values a shell can be told."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        return completed(self, ctx, incomplete)


def completed(param: click.Parameter, context: click.Context, incomplete: str) -> list["CompletionItem"]:
    """The values that a parameter may have, for a shell; click knows those of a choice."""
    from dropwatch.cli.completion import complete

    found = complete(param, incomplete)
    return param.type.shell_complete(context, param, incomplete) if found is None else found


class Expression(click.Argument):
    """The words of a pcap-filter expression, quoted together or not."""

    def __init__(self) -> None:
        super().__init__(["expression"], nargs=-1, metavar="EXPRESSION")


def _filter(*names: str, metavar: str, text: str, aliases: tuple[str, ...] = ()) -> SectionOption:
    return SectionOption(
        *names,
        section="FILTER",
        aliases=aliases,
        multiple=True,
        metavar=metavar,
        help=text,
        expose_value=True,
    )


def option(*names: str, text: str, **settings: Any) -> SectionOption:
    """OPTIONS."""
    return SectionOption(*names, section="OPTIONS", help=text, **settings)


def filters() -> list[click.Parameter]:
    """FILTER."""
    return [
        SectionOption("-4", "ipv4", section="FILTER", is_flag=True, help="IPv4 only."),
        SectionOption("-6", "ipv6", section="FILTER", is_flag=True, help="IPv6 only."),
        _filter(
            "--proto",
            metavar="NAME|N",
            text="Protocol: udp, tcp, icmp, icmp6, esp, arp, 47, ...",
            aliases=("--protocol",),
        ),
        _filter("--saddr", metavar="ADDR", text="Source address or prefix.", aliases=("--src", "--source")),
        _filter(
            "--daddr",
            metavar="ADDR",
            text="Destination address or prefix.",
            aliases=("--dst", "--destination"),
        ),
        _filter("--host", metavar="ADDR", text="Either address."),
        _filter(
            "--sport",
            metavar="PORT",
            text="Source port: 53, domain, 5000-5010 or 53,80.",
            aliases=("--src-port",),
        ),
        _filter("--dport", metavar="PORT", text="Destination port.", aliases=("--dst-port",)),
        _filter("--port", metavar="PORT", text="Either port."),
        _filter("--icmp-type", metavar="TYPE", text="Type of ICMP or ICMPv6: echo-request, 3, ..."),
        _filter(
            "-i",
            "--iface",
            metavar="NAME",
            text="Network interface, in any namespace.",
            aliases=("--interface",),
        ),
        _filter(
            "--netns",
            metavar="WHICH",
            text="Network namespace: name, path, inode, pid, or all.",
            aliases=("--namespace",),
        ),
        _filter("--mark", metavar="V[/MASK]", text="Packet mark, hexadecimal or decimal."),
        _filter("--pid", metavar="PID", text="Process that owns the packet."),
        _filter("--comm", metavar="NAME", text="Name of the process that owns the packet."),
        _filter("--unit", metavar="NAME", text="Systemd unit of that process (nginx.service)."),
        _filter(
            "--container",
            metavar="ID",
            text="Container of that process: its name, or the beginning of its ID.",
        ),
        _filter("--cause", metavar="ID", text="Cause: ipsec.auth-failed, 'ipsec.*', '!unknown'."),
        _filter("--reason", metavar="NAME", text="The kernel's own drop reason."),
    ]


def filter_and_options() -> list[click.Parameter]:
    """Fresh parameters for one command; every value is still the text that was typed."""
    return [
        *filters(),
        option("-j", "--json", is_flag=True, text="One JSON object a line on standard output."),
        option("--stack", is_flag=True, text="The kernel's stack with every finding."),
        option("-v", "--verbose", "verbosity", count=True, text="More of a finding; -vv: the stack, too."),
        option(
            "-q",
            "--quiet",
            is_flag=True,
            text="On standard error only errors, and what it comes to at the end.",
        ),
        option("-n", "numeric", is_flag=True, text="No effect: addresses and ports are always numbers."),
        option("-c", "--count", metavar="N", text="Stop after N findings.", aliases=("--limit",)),
        option("--duration", metavar="TIME", text="Stop after this time: 60, 90s, 5m, 1h30m."),
        option("--all", is_flag=True, text="Show harmless drops, too."),
        option("--every-packet", is_flag=True, text="Report every packet separately, even equal ones."),
        option(
            "--light",
            is_flag=True,
            text="No cost for accepted packets; rules are named from the second drop on.",
        ),
        option("--ready-file", metavar="PATH", text="Create this file when every probe is attached."),
        option(
            "--btf",
            metavar="FILE",
            text="The kernel's BTF, where it carries none: of exactly this kernel (whydrop check).",
        ),
        option(
            "--time",
            type=click.Choice(TIMES),
            text="How times are written: clock (default), date (with the zone), utc, epoch (seconds), none.",
        ),
        option(
            "--color",
            type=click.Choice(WHEN),
            text="Colours: auto (default: on a terminal; NO_COLOR, FORCE_COLOR), always, never.",
        ),
        option("--no-color", is_flag=True, text="The same as --color never."),
        option("--debug", is_flag=True, text="Show Python's traceback with an error."),
    ]


def replay_options() -> list[click.Parameter]:
    """As filter_and_options(), without what has no meaning for a recording."""
    live_only = {"duration", "light", "ready_file", "btf"}
    return [param for param in filter_and_options() if param.name not in live_only]


def writing_options() -> list[click.Parameter]:
    """For commands that can leave a file."""
    return [
        option(
            "-w",
            "--write",
            metavar="FILE",
            text="A recording for whydrop replay; FILE.pcapng: for Wireshark; FILE.html: a page for a ticket.",
            aliases=("--output",),
        ),
        option("--anonymize", is_flag=True, text="Replace the addresses in that file, consistently."),
        option("--payload", is_flag=True, text="Keep payload in that file, not only headers."),
    ]


def store_option() -> click.Parameter:
    """`--store FILE`, of the recorder."""
    return option("--store", metavar="FILE", text="The database: /var/lib/whydrop/drops.sqlite.")


def report_options() -> list[click.Parameter]:
    """For `whydrop report`."""
    without = {"json", "stack", "every_packet", "no_color"}
    where = option(
        "-o", "--output", metavar="PAGE", text="Where the page goes: beside FILE; `-`: standard output."
    )
    about = [param for param in writing_options() if param.name != "write"]
    return [
        *(param for param in replay_options() if param.name not in without),
        where,
        *about,
        store_option(),
    ]


def diff_options() -> list[click.Parameter]:
    """For `whydrop diff`."""
    without = {"stack", "every_packet", "count"}
    return [*(param for param in replay_options() if param.name not in without), store_option()]


def folded_option() -> click.Parameter:
    """`whydrop stack --folded`."""
    text = "Count stacks instead, for flame graph tools."
    return option("--folded", is_flag=True, text=text)


def findings_option() -> click.Parameter:
    """`whydrop replay --findings`."""
    return option("--findings", is_flag=True, text="Show the drops one by one, whatever the run showed.")


def _instead(left_out: set[str], *added: click.Parameter) -> list[click.Parameter]:
    """filter_and_options() without some, and with others before --duration."""
    params = [param for param in filter_and_options() if param.name not in left_out]
    at = next(number for number, param in enumerate(params) if param.name == "duration")
    return [*params[:at], *added, *params[at:]]


def summary_options() -> list[click.Parameter]:
    """As filter_and_options(), for `whydrop summary`."""
    return _instead(
        {"count", "every_packet", "stack"},
        option("--interval", metavar="TIME", text="Time between summaries: 1 with the full screen, else 10."),
        option("-c", "--count", metavar="N", text="Stop after N summaries.", aliases=("--limit",)),
        option("--stack", is_flag=True, text="With --json: the stack of each row's last sample."),
    )


def trace_options() -> list[click.Parameter]:
    """As filter_and_options(), for `whydrop trace`."""
    return _instead(
        {"count", "every_packet", "light", "all"},
        option("--all", is_flag=True, text="No effect: a trace always shows harmless drops."),
        option(
            "--functions", metavar="REGEX", text="Also kernel functions that take a packet and match this."
        ),
        option("--list-functions", is_flag=True, text="Only list the functions that would be watched."),
        option(
            "--fields",
            metavar="NAMES",
            multiple=True,
            text="With each step: len, gso_size, gso_segs, mark, ... of struct sk_buff.",
        ),
        option("--tree", is_flag=True, text="Show the calls as a tree, with their durations."),
        option("-c", "--count", metavar="N", text="Stop after N packets.", aliases=("--limit",)),
    )


def read_option() -> click.Option:
    """`-r FILE`, as tcpdump has it: whydrop replay FILE."""
    return option("-r", "--read", metavar="FILE", text="Show a recording: as whydrop replay FILE.")


def version_option() -> click.Option:
    """`--version` prints the version and ends."""

    def show(context: click.Context, param: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            click.echo(f"whydrop {__version__}")
            context.exit()

    return option(
        "-V",
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        text="Show the version.",
    )


def shown_name(param: click.Parameter) -> str:
    """The name of an option that a user is told: the long one, no alias."""
    return next((name for name in param.opts if name.startswith("--")), param.opts[0])


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
