"""Which ethertypes a host handles on every interface, as /proc/net/ptype lists them."""

from collections.abc import Iterator
from pathlib import Path

from dropwatch.host.netns.enter import entered

# /proc/net is the namespace of the process; this thread may be in another.
_HANDLERS = Path("/proc/thread-self/net/ptype")


def read_ethertypes(netns_inode: int) -> tuple[int, ...]:
    """Those that are handled on every interface. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        return tuple(_ethertypes(_HANDLERS.read_bytes()))


def _ethertypes(listing: bytes) -> Iterator[int]:
    """Type, device and function; a sniffer has ALL, or a device. A device's name may be no text, and have what text
    takes for a blank or an end of a line."""
    for line in listing.splitlines()[1:]:
        words = line.split()
        if len(words) == 2 and words[0] != b"ALL":
            yield int(words[0], 16)
