"""What a Python program can do: watch this host, or read a recording, and get the findings as objects.

The command line is made of the same runs and the same words; it adds a terminal and signals. Nothing here prints, and
no signal is touched.
"""

import difflib
import warnings
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from dropwatch.errors import WrongUsage
from dropwatch.recording import new_file
from dropwatch.run.context import Nobody, Run
from dropwatch.run.mode import FIRST_OF_A_SORT, Mode, Silent
from dropwatch.run.options import Options
from dropwatch.run.stop import Stop
from dropwatch.run.wanted import values
from dropwatch.run.wanted.doubts import doubts
from dropwatch.run.wanted.words import filter_of, on_this_host, recorded_filter

if TYPE_CHECKING:
    from typing_extensions import Unpack

_One = str | int | IPv4Address | IPv6Address | IPv4Network | IPv6Network
Word = _One | Iterable[_One]


class FilterWords(TypedDict, total=False):
    """The filter options of the command line, by their names: a value, or several, of which one has to fit."""

    ipv4: bool
    ipv6: bool
    proto: Word
    saddr: Word
    daddr: Word
    host: Word
    sport: Word
    dport: Word
    port: Word
    icmp_type: Word
    iface: Word
    netns: Word
    mark: Word
    pid: Word
    comm: Word
    unit: Word
    container: Word
    cause: Word
    reason: Word
    expression: str


_FLAGS = ("ipv4", "ipv6")
_NAMES = tuple(FilterWords.__annotations__)


def live(
    *,
    count: int | None = None,
    duration: float | None = None,
    all: bool = False,
    light: bool = False,
    write: str | Path | None = None,
    **wanted: "Unpack[FilterWords]",
) -> Run:
    """A run on this host, as root: `with live(dport=5000) as run: for finding in run: ...`.

    When the block begins every probe is attached; drops wait for the iteration, which ends after `count` findings or
    `duration` seconds, or when stop() is called. `all` also gives what is known to be harmless, `light` costs accepted
    packets nothing, `write` leaves a recording. Raises WrongUsage here, CannotRunHere when the block is entered; warns
    of an interface or a process that is asked for and not there yet.
    """
    from dropwatch.run.live import Live  # the probes: only for who needs them

    words = _words(wanted)
    found = on_this_host(filter_of(words), words["netns"])
    for doubt in doubts(found):
        warnings.warn(doubt, stacklevel=2)
    options = Options(
        all_drops=all,
        light=light,
        count=None if count is None else values.count("--count", str(count)),
        duration=None if duration is None else values.seconds("--duration", f"{duration:.9f}"),
        write=_file(write),
        wanted=found,
    )
    return Live(options, lambda symbols, listener: Mode(Silent(), FIRST_OF_A_SORT), Nobody(), Stop())


def replay(
    path: str | Path,
    *,
    count: int | None = None,
    all: bool = False,
    write: str | Path | None = None,
    **wanted: "Unpack[FilterWords]",
) -> Run:
    """The drops in a recording, judged again: `with replay("drops.whydrop") as run: for finding in run: ...`.

    Needs no root. Raises WrongUsage for what is no recording; iterating raises WhydropError after what can be read of a
    damaged one. Namespaces and drop reasons are those of the recording.
    """
    from dropwatch.run.replay import Replay

    words = _words(wanted)
    options = Options(
        all_drops=all,
        count=None if count is None else values.count("--count", str(count)),
        write=_file(write),
        wanted=recorded_filter(words),
    )
    silent = Mode(Silent())
    return Replay(
        Path(path),
        options,
        words["netns"],
        lambda options, start, listener: silent,
        Nobody(),
        Stop(),
        as_findings=True,
    )


def _file(write: str | Path | None) -> Path | None:
    if write is None:
        return None
    new_file.refuse_bad_path(Path(write))
    return Path(write)


def _words(wanted: FilterWords) -> dict[str, Any]:
    """As the command line has them: every option, each a tuple of texts."""
    for name in wanted:
        if name not in _NAMES:
            close = " or ".join(difflib.get_close_matches(name, _NAMES, n=2))
            hint = f"did you mean {close}?" if close else f"there are {', '.join(_NAMES)}"
            raise WrongUsage(f"there is no filter {name!r}", hint)
    given: dict[str, Any] = dict(wanted)
    flags = {name: bool(given.pop(name, False)) for name in _FLAGS}
    words = {name: _texts(given.get(name, ())) for name in _NAMES if name not in _FLAGS}
    return flags | words


def _texts(word: Word) -> tuple[str, ...]:
    if isinstance(word, str | int | IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return (str(word),)
    return tuple(str(one) for one in word)
