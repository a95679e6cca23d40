"""Finds a tool of the system and runs it, so that nothing but its own words decides what it answers."""

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dropwatch.names.foreign import printable

# Never the caller's PATH: it may name a directory of anybody's, and the program runs as root.
DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin")
_ENVIRONMENT = {"LC_ALL": "C", "PATH": ":".join(DIRECTORIES)}
_MOST_BYTES = 64 << 20
_COMPLAINT_BYTES = 4096
_PIECE_BYTES = 1 << 16


class ToolFailed(OSError):
    """A tool could not be run, did not end in time, or said that it failed. `str()` is one line of words.

    `status` is its exit status, None when it did not come so far.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def find(name: str) -> str | None:
    """The absolute path of a tool, None where it is not installed."""
    for directory in DIRECTORIES:
        path = Path(directory) / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def run(words: Sequence[str], timeout: float) -> str:
    """What a tool writes to its standard output; `words` begin with the path that `find` gave.

    Bytes that are no UTF-8 can be encoded again (`surrogateescape`). It runs in the network namespace that this thread
    is in. Raises ToolFailed, and nothing else.
    """
    name = printable(f"`{' '.join([Path(words[0]).name, *words[1:]])}`")
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,  # Ctrl+C is for whydrop, which then still gets a whole answer
        )
    except OSError as error:
        raise ToolFailed(f"{name} cannot be run: {error.strerror}") from error
    with process:
        try:
            answer, complaint = _read(process, name, time.monotonic() + timeout)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        why = next((printable(line.strip()) for line in _text(complaint).splitlines() if line.strip()), "")
        raise ToolFailed(f"{name} failed: {why or f'exit status {process.returncode}'}", process.returncode)
    return _text(answer)


def _read(process: subprocess.Popen[bytes], name: str, deadline: float) -> tuple[bytes, bytes]:
    """Both outputs to their ends; returns once the tool has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    answer, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as open_pipes:
        open_pipes.register(process.stdout, selectors.EVENT_READ, answer)
        open_pipes.register(process.stderr, selectors.EVENT_READ, complaint)
        while open_pipes.get_map():
            for key, _ in open_pipes.select(max(0.0, deadline - time.monotonic())):
                pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
                piece = os.read(pipe.fileno(), _PIECE_BYTES)
                if not piece:
                    open_pipes.unregister(pipe)
                elif key.data is answer or len(complaint) < _COMPLAINT_BYTES:
                    key.data.extend(piece)
            if len(answer) > _MOST_BYTES:
                raise ToolFailed(f"{name} answered with more than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise ToolFailed(f"{name} did not answer in time")
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"{name} did not end in time") from None
    return bytes(answer), bytes(complaint)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
