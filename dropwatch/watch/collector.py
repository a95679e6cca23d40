"""`--otlp URL` and `--otlp-headers FILE`: where a collector of OpenTelemetry is, and what it wants to be told."""

import os
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from dropwatch.errors import WhydropError, WrongUsage
from dropwatch.model.pattern import pattern

_HINT = "for example: --otlp http://127.0.0.1:4318, --otlp https://collector.example/v1/logs"
_HEADERS_HINT = "a line for each: Authorization: Bearer ...; the file is yours, and chmod 600"
_PATH = "/v1/logs"
_PLAIN = pattern(r"[!-~]+")
_NAME = pattern(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = pattern(r"[ -~]*")
_OWN = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)
_LARGEST = 64 << 10


class Collector(NamedTuple):
    """`port` None is that of the scheme, `path` has what stands behind a `?` too."""

    is_tls: bool
    host: str
    port: int | None
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{'https' if self.is_tls else 'http'}://{host}{port}{self.path.partition('?')[0]}"


def collector(url: str, headers: Path | None) -> Collector:
    """As it was typed. Raises WrongUsage."""
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as a resolver will
    except ValueError as error:
        raise WrongUsage(f"--otlp {url!r}: {error}", _HINT) from error
    if parts.username is not None or parts.password is not None:
        raise WrongUsage(
            "--otlp: a password in a URL can be read by everybody (ps)",
            "use --otlp-headers FILE with a line Authorization: ...",
        )
    if not _PLAIN.fullmatch(url) or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise WrongUsage(f"--otlp {url!r} is no address of a collector", _HINT)
    path = (_PATH if parts.path in ("", "/") else parts.path) + (f"?{parts.query}" if parts.query else "")
    sent = () if headers is None else _headers(headers)
    return Collector(parts.scheme == "https", parts.hostname, port, path, sent)


def _headers(path: Path) -> tuple[tuple[str, str], ...]:
    """Raises WrongUsage for a file that others may read or write to, or that has something else in it."""
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip() or line.startswith("#"):
            continue
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise WrongUsage(f"--otlp-headers {path}: line {number} is not Name: value", _HEADERS_HINT)
        if name.lower() in _OWN:
            raise WrongUsage(
                f"--otlp-headers {path}: {name} is whydrop's own",
                "leave it out: only what the collector asks for",
            )
        found.append((name, value))
    return tuple(found)


def _text(path: Path) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # of a FIFO too
        try:
            why = _why_not(os.fstat(file))
            raw = b"" if why else os.read(file, _LARGEST + 1)
        finally:
            os.close(file)
    except OSError as error:
        raise WhydropError(f"--otlp-headers {path}: {error.strerror}", _HEADERS_HINT) from error
    if why or len(raw) > _LARGEST:
        raise WrongUsage(f"--otlp-headers {path}: {why or 'it is too large'}", _HEADERS_HINT)
    return raw.decode("latin-1")


def _why_not(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file"
    if found.st_uid not in (0, os.geteuid()):
        return "it belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
        return "others may read it or write to it"
    return ""
