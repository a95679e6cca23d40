"""`--journal`: events as fields of journald's, by its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

import errno
import os
import socket
import struct

from dropwatch.errors import CannotRunHere
from dropwatch.render.lines.made import time_text
from dropwatch.watch.events import Notice, facts, story
from dropwatch.watch.sender import Delivered

SOCKET = "/run/systemd/journal/socket"
_IDENTIFIER = "whydrop"
_WARNING, _INFO = 4, 6  # syslog(3)
_LENGTH = struct.Struct("<Q")
_MOST = 64
_ROOM_SECONDS = 2.0  # for journald to read on


class Journal:
    """A datagram for each event. Raises CannotRunHere where there is no journald."""

    name = "journal"
    where = "the journal"
    most = _MOST
    patience = 0.0

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with _socket() as tried:
                tried.connect(path)
        except OSError as error:
            raise CannotRunHere(
                f"--journal: there is no journald at {path}: {_words(error)}",
                "without systemd's journal: --otlp URL, or whydrop last --json",
            ) from error

    def deliver(self, notices: list[Notice], seconds: float) -> Delivered:
        """Those behind one that could not be sent are lost with it: there is nobody who reads."""
        with _socket() as out:  # not connected: a journald that is started anew is found again
            out.settimeout(min(seconds, _ROOM_SECONDS))
            for at, notice in enumerate(notices):
                try:
                    out.sendto(datagram(notice), self._path)
                except OSError as error:
                    return Delivered(len(notices) - at, _words(error))
        return Delivered()


def datagram(notice: Notice) -> bytes:
    """As journald reads it. The names of fields are whydrop's own, whatever the values are."""
    fields: dict[str, str | int | list[str]] = {
        "MESSAGE": story(notice),
        "PRIORITY": _INFO if notice.is_harmless else _WARNING,
        "SYSLOG_IDENTIFIER": _IDENTIFIER,
        "TIME": time_text(notice.finding.drop.time),
    }
    fields |= {name.upper(): value for name, value in facts(notice).items()}
    return b"".join(
        _field(name, "\n".join(value) if isinstance(value, list) else str(value))
        for name, value in fields.items()
    )


def _field(name: str, value: str) -> bytes:
    """A value that has more than one line stands behind its length."""
    raw = value.encode()
    if b"\n" in raw:
        return name.encode() + b"\n" + _LENGTH.pack(len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return os.strerror(errno.ETIMEDOUT)
    return error.strerror or str(error)
