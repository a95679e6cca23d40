"""Stacks as flame graph tools read them: `frame;frame;frame count`, the outermost frame first."""

from collections import Counter

from dropwatch.model.drop import Finding, Frame, Totals
from dropwatch.model.resent import Lost

_NO_STACK = "[unknown]"


class FoldedRenderer:
    """Counts findings by stack; writes one line for each distinct stack when the run ends, the most frequent first.

    A stack is its functions: two places in one function are one frame, as flame graphs have it.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def finding(self, finding: Finding, now: float) -> str:
        names = [_name(frame) for frame in reversed(finding.drop.stack)]
        self._counts[";".join(names) or _NO_STACK] += 1
        return ""

    def tick(self, now: float) -> str:
        return ""

    def sent_again(self, lost: Lost, now: float) -> str:
        return ""

    def end(self, totals: Totals, now: float) -> str:
        rows = sorted(self._counts.items(), key=lambda row: (-row[1], row[0]))
        return "".join(f"{stack} {count}\n" for stack, count in rows)


def _name(frame: Frame) -> str:
    """Without what would end a frame or a line: the names of modules and BPF programs are not the kernel's own."""
    name = frame.function or f"0x{frame.address:x}"
    return "".join("_" if c in "; " or not c.isprintable() else c for c in name)
