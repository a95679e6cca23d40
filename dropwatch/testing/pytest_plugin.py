"""pytest finds this module by itself where whydrop is installed, and with it the fixture `no_drops`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dropwatch.run.api import FilterWords

_LINGER_SECONDS = 0.5  # what was sent last has to arrive, and to die


@pytest.fixture
def no_drops() -> Callable[..., AbstractContextManager[None]]:
    """`with no_drops(netns="b", dport=5000): send()` fails when a packet that fits was dropped inside of the block.

    The failure says which, why and where, as the command line does. The words are those of its filter options; what is
    known to be harmless is no failure, a drop that could not be delivered to whydrop is one. Where whydrop cannot run
    (not root, an old kernel) the test is skipped.
    """
    return _no_drops


@contextmanager
def _no_drops(**wanted: "Unpack[FilterWords]") -> Iterator[None]:
    # What is imported here costs nothing to those who do not use it.
    from dropwatch.errors import CannotRunHere
    from dropwatch.run.api import live
    from dropwatch.testing.told import told

    run = live(duration=_LINGER_SECONDS, **wanted)
    with ExitStack() as stack:
        try:
            stack.enter_context(run)
        except CannotRunHere as error:
            pytest.skip(f"{error.message}; {error.hint}")
        yield
        findings = list(run)
    if findings or run.totals.lost:
        pytest.fail(told(findings, run.totals), pytrace=False)
