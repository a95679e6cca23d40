"""`whydrop trace --list-functions`: which functions a trace would watch."""

import re

from dropwatch.errors import CannotRunHere
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.skb_functions import listing
from dropwatch.render.lines.machine import Function
from dropwatch.render.lines.write import line


def list_functions(pattern: re.Pattern[str] | None, *, as_json: bool) -> str:
    """`--list-functions`: those that would be watched, one a line, with what is known of them."""
    symbols = Kallsyms()
    found = listing(pattern, symbols)
    if not found:
        raise CannotRunHere(
            "no function is known here that takes a packet: /proc/kallsyms or the kernel's BTF cannot be read",
            "run it as root; whydrop check tells what this host can do",
        )
    if as_json:
        return "".join(line(Function(**one._asdict())) for one in found)
    return "".join(f"{one.name}{' *' if one.curated else ''}\n" for one in found)
