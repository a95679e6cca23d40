"""Whether segment routing over IPv6 (SRv6) is accepted on an interface."""

import os
from pathlib import Path

from dropwatch.host.ipv4 import Setting
from dropwatch.host.netns.enter import entered
from dropwatch.names.foreign import raw_name

_SYSCTLS = Path("/proc/sys/net/ipv6/conf")  # those of the namespace which the reading thread is in


def read_seg6_enabled(netns_inode: int, interface: str) -> Setting | None:
    """None where the kernel has no SRv6, or the interface is gone. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        try:
            here, every = (
                int((_SYSCTLS / name / "seg6_enabled").read_text())
                for name in (os.fsdecode(raw_name(interface)), "all")
            )
        except FileNotFoundError:
            return None
    return Setting(here, every)
