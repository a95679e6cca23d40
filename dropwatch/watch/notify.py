"""What systemd is told by a service of Type=notify (sd_notify(3)), where it has asked."""

import contextlib
import os
import socket


def notify(*words: str) -> None:
    """`READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=...`: each of them a line. Nobody hears it without systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
    ):
        out.sendto("\n".join(words).encode(), "\0" + address[1:] if address[0] == "@" else address)
