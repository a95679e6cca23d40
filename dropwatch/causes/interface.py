"""A network interface as the object of a finding: the one that is down, or whose MTU is too small."""

from dropwatch.host.host import Host
from dropwatch.host.link import Link
from dropwatch.model.drop import Drop
from dropwatch.model.forwarding import Device


def link(drop: Drop, host: Host, which: int | str | None) -> Link | None:
    """The interface of this index or name in the drop's namespace."""
    return host.link(drop.event.netns, which, drop.event.monotonic_ns) if which else None


def too_small(found: Link) -> Device:
    return Device(f"{found.name} mtu {found.mtu}", found.name, mtu=found.mtu, state=found.state)


def down(found: Link) -> Device:
    return Device(f"{found.name} state {found.state}", found.name, mtu=found.mtu, state=found.state)
