"""Packets that are not complete yet: how many, what they have taken of their limit, and for how long they may wait."""

from contextlib import suppress
from pathlib import Path

from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

# Both are those of the namespace which the reading thread is in.
_NET, _SYSCTLS = Path("/proc/thread-self/net"), Path("/proc/sys/net")
_FILES = {4: ("sockstat", "FRAG:", "ipv4/ipfrag"), 6: ("sockstat6", "FRAG6:", "ipv6/ip6frag")}


@dataclass(frozen=True, slots=True)
class Fragments:
    """Of IPv4 or IPv6 in a namespace. `memory` and `limit` are bytes; `overlaps` is counted of IPv4 only."""

    queues: int
    memory: int
    limit: int | None
    seconds: int | None
    overlaps: int | None = None


def read_fragments(netns_inode: int, version: int) -> Fragments | None:
    """None where the kernel tells nothing of them. Raises OSError when the namespace is gone."""
    file, name, sysctl = _FILES[version]
    with entered(netns_inode):
        counts = counts_of((_NET / file).read_text(), name)
        if counts is None:
            return None
        overlaps = overlaps_of((_NET / "netstat").read_text()) if version == 4 else None
        return Fragments(*counts, _setting(f"{sysctl}_high_thresh"), _setting(f"{sysctl}_time"), overlaps)


def counts_of(text: str, name: str) -> tuple[int, int] | None:
    """`FRAG: inuse 3 memory 4304`: queues and bytes."""
    words = next((line.split() for line in text.splitlines() if line.startswith(name)), [])
    found = dict(zip(words[1::2], words[2::2], strict=False))
    return (int(found["inuse"]), int(found["memory"])) if {"inuse", "memory"} <= found.keys() else None


def overlaps_of(text: str) -> int | None:
    """ReasmOverlaps, of /proc/net/netstat."""
    lines = [line.split() for line in text.splitlines() if line.startswith("IpExt:")]
    found = dict(zip(*lines[:2], strict=False)) if len(lines) >= 2 else {}
    return int(found["ReasmOverlaps"]) if "ReasmOverlaps" in found else None


def _setting(name: str) -> int | None:
    with suppress(FileNotFoundError):
        return int((_SYSCTLS / name).read_text())
    return None
