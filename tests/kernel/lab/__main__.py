"""The laboratory's command line: `python -m lab fetch|run|shell` (with PYTHONPATH=tests/kernel)."""

import argparse
import os
import sys
from pathlib import Path

from lab.fetch import CannotFetch, fetch
from lab.guest import Guest, GuestDied
from lab.matrix import kernels
from lab.userland import root_of


def main(words: list[str]) -> int:
    """Exit status: the guest's command's own; 1 when the laboratory failed, 2 for wrong usage."""
    cut = words.index("--") if "--" in words else len(words)
    options, command = _parser().parse_args(words[:cut]), words[cut + 1 :]
    try:
        chosen = kernels(options.kernel)
        fetched = [fetch(kernel) for kernel in chosen]
        if options.verb == "fetch":
            return 0
        guest = Guest(
            fetched[0],
            command or ["bash", "-l"],
            cwd=Path.cwd(),
            env={"TERM": os.environ.get("TERM", "linux")},
            stdout=sys.stdout.buffer,
            stderr=sys.stderr.buffer,
            interactive=options.verb == "shell",
            cpus=options.cpus,
            root=root_of(chosen[0], options.userland),
        )
        with guest:
            if not guest.ended(options.timeout):
                raise GuestDied(f"still running after {options.timeout:.0f} s\n{guest.console_tail()}")
            if options.console:
                print(guest.console_tail(), file=sys.stderr)
            return guest.status()
    except (CannotFetch, GuestDied, ValueError) as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab", description="Debian kernels in QEMU on this machine's own root."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, words in (
        ("fetch", "get the kernels into the cache"),
        ("run", "run the command after -- in a guest: its output and exit status are passed through"),
        ("shell", "a root shell in a guest, on this terminal"),
    ):
        sub = verbs.add_parser(verb, help=words)
        sub.add_argument("--kernel", default="" if verb == "fetch" else "6.1", help="label in matrix.toml")
        sub.add_argument("--timeout", type=float, default=1e6 if verb == "shell" else 1500, help="seconds")
        sub.add_argument("--cpus", type=int, default=1, help="with one, some per-CPU data has another place")
        sub.add_argument("--userland", default="", help="a suite of Debian whose root it gets: trixie, sid")
        sub.add_argument("--console", action="store_true", help="show the guest's console at the end")
    return parser


sys.exit(main(sys.argv[1:]))
