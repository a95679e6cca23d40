"""The sign of a macvlan or ipvlan interface that should have the frame and is down."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.host.host import Host
from dropwatch.host.stacked import Stacked
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import Device
from dropwatch.packet.frame import frame_header, mac

_BRING_UP = (Fix("bring it up", "ip link set dev DEV up"),)
_OTHERS = ("ip_rcv_core", "ip6_rcv_core")  # which drop first what is for another MAC address


def down(drop: Drop, host: Host) -> Verdict | None:
    """One that is down does not have its address in the table of its parent (macvlan_stop): then the frame is that of
    another host.
    """
    told = drop.reason == "OTHERHOST" or kernel_word.gave_no_reason(drop)
    found = _stacked(drop, host) if told and kernel_word.place(drop) in _OTHERS else None
    if found is None:
        return None
    address, interfaces = found
    one = next((each for each in interfaces if each.mac == address and not each.up), None)
    if one is None or any(each.mac == address and each.up for each in interfaces):
        return None
    fact = f"after the drop: {one.name} has the address {address} of the frame, and is down"
    return _blamed(drop, host, one, fact)


def passthru_down(drop: Drop, host: Host) -> Verdict | None:
    """macvlan_handle_frame frees a frame to one host for this alone, where no interface is in mode source: that one has
    had a copy. In mode passthru there is one interface, which gets all.
    """
    if kernel_word.place(drop) != "macvlan_handle_frame" or not kernel_word.gave_no_reason(drop):
        return None
    found = _stacked(drop, host)
    if found is None or any(one.by_source for one in found[1]):
        return None
    _, interfaces = found
    if len(interfaces) != 1 or interfaces[0].up:
        fact = "the macvlan interface that it is for is down, and in another namespace"
        return kernel_word.likely(drop, Evidence("place", fact))
    fact = f"after the drop: {interfaces[0].name} gets all that comes in, and is down"
    return _blamed(drop, host, interfaces[0], fact)


def _stacked(drop: Drop, host: Host) -> tuple[str, tuple[Stacked, ...]] | None:
    """The address that a frame for one station is for, and what stands on the interface where it came in."""
    header = frame_header(drop.event.link)
    if header is None or header.is_for_many:
        return None
    found = host.stacked(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    return None if found is None else (mac(header.destination), found)


def _blamed(drop: Drop, host: Host, one: Stacked, fact: str) -> Verdict:
    said = kernel_word.certain(drop, Evidence("netlink route", fact, "proof"))
    culprit = Device(f"{one.name} {one.kind} address {one.mac}", one.name, one.kind, "down")
    said = replace(said, culprit=culprit, fix=of_catalogue(_BRING_UP, drop, {"DEV": one.name}))
    return pinned.doubted(said, pinned.doubts(drop, host, pinned.Source("links", None)))
