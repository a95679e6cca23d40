"""Where the functions are by which a system call sends, and those that may refuse it (bpf/sends.c)."""

from collections.abc import Iterable

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.wire.layout import CodeRange
from dropwatch.wire.send import CALLERS, CONNECTING, PROBED, SendCode


def read_send_code(symbols: Kallsyms) -> SendCode:
    """What is known now: to be asked again when a module has come."""
    found = SendCode()
    _fill(found.probed, PROBED, symbols)
    _fill(found.caller, CALLERS, symbols)
    _fill(found.connecting, CONNECTING, symbols)
    return found


def _fill(ranges: "Iterable[CodeRange]", names: tuple[str, ...], symbols: Kallsyms) -> None:
    for each, name in zip(ranges, names, strict=False):
        each.start, each.end = symbols.extent(name)
