"""One run of whydrop beside the server: its lines and what it says, bounded in time and size, and its end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

import anyio

from dropwatch.errors import WhydropError

_ENTRY = (  # as packaging/bin/whydrop: isolated, and called whydrop
    "import sys; from dropwatch.privilege.caller import isolate; isolate(); "
    "from dropwatch.cli.main import main; sys.exit(main())"
)
_LONGEST_LINE = 4 << 20
_MOST_SAID = 1 << 16
_ENDS_WITHIN_SECONDS = 5.0
_LOOKS_EVERY_SECONDS = 0.01
_calls: set[anyio.CancelScope] = set()


async def run(words: Sequence[str], seconds: float, take: Callable[[bytes], None]) -> tuple[int, str]:
    """Exit code, and standard error; `take` is given each line of standard output.

    It has a group of its own, which ends with this call, however that ends. Raises WhydropError where it takes longer.
    """
    try:
        with anyio.fail_after(seconds) as scope:
            _calls.add(scope)
            return await _ran(words, take)
    except TimeoutError as error:
        raise WhydropError(
            f"it took more than {seconds:g} s", "ask for less, or run the command in a shell"
        ) from error
    finally:
        _calls.discard(scope)
    raise WhydropError("the server ends", "start it again")


async def end_all() -> None:
    """What still runs, also what is only being started, and what had to wait for its turn."""
    while _calls:
        for scope in tuple(_calls):
            scope.cancel()
        await anyio.sleep(_LOOKS_EVERY_SECONDS)


async def _ran(words: Sequence[str], take: Callable[[bytes], None]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _ENTRY, *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        limit=_LONGEST_LINE,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.gather(_said(process), _lines(process, take))
        return await process.wait(), said
    finally:
        _end(process)
        with anyio.move_on_after(_ENDS_WITHIN_SECONDS, shield=True):
            await process.wait()


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _lines(process: asyncio.subprocess.Process, take: Callable[[bytes], None]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        take(line)


async def _said(process: asyncio.subprocess.Process) -> str:
    """The end of it: that is where an error stands."""
    assert process.stderr is not None
    kept = b""
    while part := await process.stderr.read(_MOST_SAID):
        kept = (kept + part)[-_MOST_SAID:]
    return kept.decode(errors="replace")
