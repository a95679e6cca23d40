"""Functions of the kernel in which several causes are met, and what is common to them."""

from dropwatch.model.drop import Drop

# Where a datagram enters UDP. It dies there when no socket takes it.
UDP_ENTRANCES = frozenset({"__udp4_lib_rcv", "__udp6_lib_rcv", "udp_rcv", "udpv6_rcv"})
# Where a frame is given to its device, or to the device's qdisc.
SENDING = frozenset({"__dev_queue_xmit", "br_dev_queue_push_xmit", "dev_queue_xmit"})


def is_off(drop: Drop) -> bool:
    """The device was down or had no carrier, and the reason does not say that something else refused the packet."""
    return "no-carrier" in drop.event.notes and _says_no_more(drop)


def is_not_active(drop: Drop) -> bool:
    """The device was up, with a carrier, but had the qdisc noop: it had just come up, or got another one."""
    notes = drop.event.notes
    return "no-queue" in notes and "no-carrier" not in notes and _says_no_more(drop)


def _says_no_more(drop: Drop) -> bool:
    return drop.reason in {"QDISC_DROP", "DEV_READY", "NOT_SPECIFIED", None}
