"""The options of the recorder's commands: `whydrop watch` and `whydrop last`."""

import click

from dropwatch.cli.arguments import filter_and_options, option, store_option, writing_options


def watch_options() -> list[click.Parameter]:
    """For `whydrop watch`."""
    kept = {"quiet", "duration", "all", "ready_file", "btf", "no_color", "debug"}
    return [
        store_option(),
        option("--keep", metavar="TIME", default="7d", text="How long minutes are kept: 7d."),
        option("--size", metavar="SIZE", default="256M", text="How large the database may become: 256M."),
        option(
            "--listen", metavar="ADDR:PORT", text="Metrics for Prometheus there: 127.0.0.1:9720, [::1]:9720."
        ),
        option(
            "--otlp", metavar="URL", text="Events for OpenTelemetry to this collector: http://127.0.0.1:4318."
        ),
        option(
            "--otlp-headers",
            metavar="FILE",
            text="Lines `Name: value` that the collector asks for, as a token; only you may read the file.",
        ),
        option(
            "--journal", is_flag=True, text="Events with their fields to journald: journalctl -t whydrop."
        ),
        option(
            "--light/--no-light",
            default=True,
            text="No cost for accepted packets (default); or every probe attached all the time.",
        ),
        *(param for param in filter_and_options() if param.name in kept),
    ]


def last_options() -> list[click.Parameter]:
    """For `whydrop last`."""
    without = {
        "stack",
        "quiet",
        "numeric",
        "all",
        "every_packet",
        "duration",
        "light",
        "ready_file",
        "btf",
        "time",
    }
    found = [param for param in filter_and_options() if param.name not in without | {"count"}]
    at = next(number for number, param in enumerate(found) if param.name == "json")
    return [
        *found[:at],
        store_option(),
        option("--since", metavar="TIME", text="From when: 2h (ago), 14:00, 2026-11-28T14:00."),
        option("--until", metavar="TIME", text="Until when; the default is now."),
        option("-c", "--count", metavar="N", text="Show N rows at most.", aliases=("--limit",)),
        *found[at:],
        *(param for param in writing_options() if param.name != "payload"),
    ]
