"""Which kernels have shown which cause: what the recordings of the last run on all of them have in them."""

from collections.abc import Iterator
from functools import cache

from dropwatch.explain import catalogue
from dropwatch.names import symbols

_BEGIN, _END = "<!-- coverage -->\n", "<!-- end of coverage -->\n"


@cache
def kernels() -> tuple[str, ...]:
    """All that any recording is of, the oldest first."""
    found = {kernel for cause_id in catalogue.causes() for kernel in _seen(cause_id)}
    return tuple(sorted(found, key=lambda kernel: [int(part) for part in kernel.split(".")]))


def marks(cause_id: str) -> str:
    """A cell for each kernel, with a mark where a recording of it has the cause."""
    seen = _seen(cause_id)
    return " | ".join("•" if kernel in seen else " " for kernel in kernels())


def readme(text: str) -> str:
    """The text of README.md, with how many causes of each family each kernel has shown."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        return text
    return before + _BEGIN + "\n".join(_by_family()) + "\n" + _END + after


def _by_family() -> Iterator[str]:
    yield f"| causes of | known | {' | '.join(f'recorded on {kernel}' for kernel in kernels())} |"
    yield f"|---|--:|{'--:|' * len(kernels())}"
    for family in symbols.families():
        ids = [cause.id for cause in catalogue.causes().values() if cause.family == family]
        if ids:
            counts = [sum(kernel in _seen(cause_id) for cause_id in ids) for kernel in kernels()]
            yield f"| {family} | {len(ids)} | {' | '.join(map(str, counts))} |"


def _seen(cause_id: str) -> tuple[str, ...]:
    shown = catalogue.shown(cause_id)
    return shown.kernels if shown is not None else ()
