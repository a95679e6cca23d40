"""Reads the counters of the protocols and of the CPUs' queues from the files below /proc/net."""

from collections.abc import Iterator
from pathlib import Path

_NET = Path(
    "/proc/thread-self/net"
)  # of the namespace that this thread is in; /proc/net is the main thread's
_XFRM_PREFIX = "Xfrm"


def protocol_counters() -> dict[str, int]:
    """`UdpNoPorts`, `TcpExtListenDrops`, `Ip6InNoRoutes`, `XfrmInNoStates` and all the others.

    A file that is not there (a kernel without IPv6 or IPsec) gives none. Raises OSError when none can be read.
    """
    found = paired((_NET / "snmp").read_text()) | paired((_NET / "netstat").read_text())
    for name in ("snmp6", "xfrm_stat"):
        try:
            found |= listed((_NET / name).read_text())
        except OSError:
            continue
    return found


def softnet_counters() -> dict[str, int]:
    """`dropped` and `time_squeeze` of all CPUs together; they belong to no namespace. Raises OSError."""
    return softnet((_NET / "softnet_stat").read_text())


def paired(text: str) -> dict[str, int]:
    """The form of snmp and netstat: a line of names, a line of numbers, both led by the protocol."""
    lines = text.splitlines()
    return dict(_pairs(lines[::2], lines[1::2]))


def _pairs(names: list[str], numbers: list[str]) -> Iterator[tuple[str, int]]:
    for head, values in zip(names, numbers, strict=False):
        protocol, _, words = head.partition(":")
        if values.partition(":")[0] == protocol:
            for word, value in zip(words.split(), values.partition(":")[2].split(), strict=False):
                yield f"{protocol}{word}", int(value)


def listed(text: str) -> dict[str, int]:
    """The form of snmp6 and xfrm_stat: a name and a number in each line."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def softnet(text: str) -> dict[str, int]:
    """A line of hexadecimal numbers for each CPU (softnet_seq_show in net/core/net-procfs.c)."""
    rows = [[int(word, 16) for word in line.split()] for line in text.splitlines()]
    rows = [row for row in rows if len(row) > 2]
    return {"dropped": sum(row[1] for row in rows), "time_squeeze": sum(row[2] for row in rows)}


def is_xfrm(name: str) -> bool:
    """All of xfrm_stat are losses: the list need not be curated."""
    return name.startswith(_XFRM_PREFIX)
