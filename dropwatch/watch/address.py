"""`--listen ADDRESS:PORT`: where Prometheus finds the recorder."""

import ipaddress
import socket
from typing import NamedTuple

from dropwatch.errors import WrongUsage
from dropwatch.model.pattern import pattern

_HINT = "for example: --listen 127.0.0.1:9720, --listen '[::1]:9720', or a port alone: --listen 9720"
_PORT = pattern(r"[0-9]{1,5}")
_LOCAL = "127.0.0.1"


class Address(NamedTuple):
    """`host` is an address as text, never a name."""

    family: socket.AddressFamily
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """As it was typed. Raises WrongUsage: also for a name, which could be another address tomorrow."""
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise WrongUsage(f"--listen {text!r}: there is no port in it, from 1 to 65535", _HINT)
    if ":" not in text:
        return Address(socket.AF_INET, _LOCAL, int(port))
    bare = host.removeprefix("[").removesuffix("]")
    try:
        found = ipaddress.ip_address(bare)
    except ValueError as error:
        raise WrongUsage(f"--listen {text!r}: {host!r} is no IP address", _HINT) from error
    if (found.version == 6) != (host == f"[{bare}]"):
        raise WrongUsage(f"--listen {text!r}: an IPv6 address stands in [ ], and no other does", _HINT)
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    return Address(family, bare, int(port))
