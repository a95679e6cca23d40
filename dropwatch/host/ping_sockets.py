"""Which sockets wait for echo replies that are no raw ones (ping without privileges)."""

from collections.abc import Iterator
from pathlib import Path

from dropwatch.host.netns.enter import entered

# /proc/net is the namespace of the process; this thread may be in another.
_LISTINGS = (Path("/proc/thread-self/net/icmp"), Path("/proc/thread-self/net/icmp6"))
_MOST_BYTES = 1 << 20


def read_ping_sockets(netns_inode: int) -> tuple[int, ...]:
    """The identifiers that their messages have. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        return tuple(identifier for path in _LISTINGS for identifier in _identifiers(path))


def _identifiers(path: Path) -> Iterator[int]:
    """As of UDP: number, own address and port, ..., in hexadecimal; here the identifier stands for the port."""
    try:
        with path.open() as file:
            listing = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return
    for line in listing.splitlines()[1:]:
        words = line.split()
        if len(words) > 1:
            yield int(words[1].rpartition(":")[2], 16)
