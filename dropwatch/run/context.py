"""One run as a context to iterate over: what a live run and a replay have in common."""

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from dropwatch.errors import WhydropError
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.nothing import Nothing
from dropwatch.run.stop import Stop

if TYPE_CHECKING:
    from typing_extensions import Self


class Face(Protocol):
    """Who looks on: gets the text as it comes, and says when nobody reads it any more.

    `explains`: where nothing matches it is to know what there was.
    """

    @property
    def reader_left(self) -> bool: ...
    @property
    def explains(self) -> bool: ...
    def starting(self) -> None: ...
    def ready(self, watched: str, blind_spots: tuple[str, ...]) -> None: ...
    def show(self, text: str) -> None: ...


class Nobody:
    """No text is wanted."""

    reader_left = False
    explains = False

    def starting(self) -> None:
        """Nobody waits for it."""

    def ready(self, watched: str, blind_spots: tuple[str, ...]) -> None:
        """Nobody waits for it."""

    def show(self, text: str) -> None:
        """Nobody reads it."""


class Run(ABC):
    """`with` begins and ends it, iterating over it gives each finding that is shown by itself, until it is over.

    Iteration ends with the duration, the count, stop() or the end of the recording; then `totals` are known, and
    `last_words` is the text that is still to be shown. Leaving the block ends the run where it is.
    """

    def __init__(self, face: Face, stop: Stop) -> None:
        self._face, self._stop = face, stop
        self._contexts = contextlib.ExitStack()
        self._findings: Generator[Finding, None, None] | None = None
        self._totals: Totals | None = None
        self.last_words = ""
        self.nothing: Nothing | None = None  # what it knows where nothing matched

    def __enter__(self) -> "Self":
        with contextlib.ExitStack() as contexts:
            self._open(contexts)
            self._contexts = contexts.pop_all()
        self._findings = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._contexts:
            if self._findings is not None and self._totals is None and kind is None:
                self._stop.at_once()
                deque(self._findings, maxlen=0)
            elif self._findings is not None:
                self._findings.close()

    def __iter__(self) -> Iterator[Finding]:
        if self._findings is None:
            raise RuntimeError("a run is read inside its block: with ... as run")
        return self._findings

    def stop(self) -> None:
        """Ends the run in good order: what has come is still read."""
        self._stop.ask()

    @property
    def is_over(self) -> bool:
        return self._totals is not None

    @property
    def totals(self) -> Totals:
        """The closing statement. Raises WhydropError before the run is over."""
        if self._totals is None:
            raise WhydropError("the totals are not known: the run is not over", "read them after the block")
        return self._totals

    @abstractmethod
    def _open(self, contexts: contextlib.ExitStack) -> None:
        """Begins it; `contexts` take what is to be closed at the end."""

    @abstractmethod
    def _read(self) -> Generator[Finding, None, None]:
        """Findings to the end; then sets `_totals` and `last_words`."""
