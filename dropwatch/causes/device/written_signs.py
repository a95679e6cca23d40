"""Signs of what a program writes to its tun or tap device, and the device refuses (drivers/net/tun.c)."""

from dropwatch.causes import kernel_word
from dropwatch.causes.device.tun import WRITING
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict

_IP = frozenset({4, 6})


def not_ip(drop: Drop, host: Host) -> Verdict | None:
    """A tun device with IFF_NO_PI takes the version from the first byte. A frame of tap has an ethertype."""
    event = drop.event
    if not _refused(drop) or event.protocol or not event.packet or event.packet[0] >> 4 in _IP:
        return None
    fact = (
        f"its first byte is {event.packet[0]:#04x}, of no version of IP; an invalid virtio-net header, where the "
        "device has one, ends here as well"
    )
    return kernel_word.likely(drop, Evidence("packet", fact))


def virtio_header(drop: Drop, host: Host) -> Verdict | None:
    """Else these functions refuse nothing so early, but for memory of the program that cannot be read."""
    if not _refused(drop):
        return None
    if drop.reason is None:
        fact = "its virtio-net header is invalid, or else the program's memory could not be read"
        return kernel_word.likely(drop, Evidence("place", fact))
    fact = "all of it was read, and it is what the device takes: only its virtio-net header can have been refused"
    return kernel_word.certain(drop, Evidence("place", fact))


def _refused(drop: Drop) -> bool:
    here = kernel_word.place(drop) in WRITING and kernel_word.gave_no_reason(drop)
    return here and "as-written" in drop.event.notes
