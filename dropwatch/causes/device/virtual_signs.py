"""Signs of virtual interfaces: pairs of veth, queues of macvlan and ipvlan, tags of VLANs that nobody has."""

from dataclasses import replace

from dropwatch.causes import interface, kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.device.interfaces import QUEUE_OF_MACVLAN
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.model.forwarding import Device
from dropwatch.packet.frame import frame_header, mac

_HANDED_OVER = frozenset({"__dev_forward_skb", "__dev_forward_skb2"})
_OTHERS = frozenset({"ip_rcv_core", "ip6_rcv_core"})  # which drop first what is for another MAC address
_PAUSE = 0x8808  # ETH_P_PAUSE, which ipvlan passes on to nobody


def peer_down(drop: Drop, host: Host) -> Verdict | None:
    """An end that goes down takes the carrier from the other one first (veth_close), which sends on for a moment."""
    if not _between_the_ends(drop) or "no-carrier" not in drop.event.notes:
        return None
    return kernel_word.certain(
        drop, Evidence("interface at the drop", "it had no carrier: the other end is down")
    )


def peer_too_small(drop: Drop, host: Host) -> Verdict | None:
    """An end that is up refuses nothing but frames above its own MTU (is_skb_forwardable in net/core/dev.c)."""
    if not _between_the_ends(drop) or "no-carrier" in drop.event.notes:
        return None
    link = interface.link(drop, host, drop.event.ifindex)
    own = f", and {link.name} sends up to {link.mtu}" if link is not None else ""
    fact = f"a packet of {drop.packet.length} bytes: the other end is up and takes none above its MTU{own}"
    return kernel_word.certain(drop, Evidence("interface at the drop", fact))


def _between_the_ends(drop: Drop) -> bool:
    return (
        kernel_word.place(drop) in _HANDED_OVER
        and kernel_word.gave_no_reason(drop)
        and "veth_xmit" in kernel_word.way(drop)
    )


def broadcasts_of_macvlan(drop: Drop, host: Host) -> Verdict | None:
    """What is for many is freed where its queue is full, or after copies for interfaces in mode source."""
    header = frame_header(drop.event.link)
    said = drop.reason == "MACVLAN_BROADCAST_BACKLOG"
    unsaid = kernel_word.gave_no_reason(drop) and kernel_word.place(drop) == "macvlan_handle_frame"
    if not said and not (unsaid and header is not None and header.is_for_many):
        return None
    found = host.stacked(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns) or ()
    if not said and any(one.by_source for one in found):
        return None
    one = next((each for each in found if each.queue), None)
    if said:
        verdict = kernel_word.certain(drop)
    else:
        fact = "a frame for many; an interface in mode source with the flag nodst, elsewhere, has the same effect"
        verdict = kernel_word.likely(drop, Evidence("place", fact))
    if one is None:
        return verdict
    setting = f"bcqueuelen {one.queue}"
    culprit = Device(f"{one.name} {one.kind} {setting}", one.name, one.kind, setting)
    fix = of_catalogue(QUEUE_OF_MACVLAN, drop, {"MACVLAN": one.name})
    verdict = replace(verdict, culprit=culprit, fix=fix)
    return pinned.doubted(verdict, pinned.doubts(drop, host, pinned.Source("links", None)))


def groups_of_ipvlan(drop: Drop, host: Host) -> Verdict | None:
    """This function frees pause frames, and what its queue has no room for. It may be a part of ipvlan_handle_frame,
    which frees nothing else that is for many.
    """
    header, place = frame_header(drop.event.link), kernel_word.place(drop)
    inside = place == "ipvlan_handle_frame" and header is not None and header.is_for_many
    if not (inside or place == "ipvlan_multicast_enqueue") or drop.event.protocol == _PAUSE:
        return None
    if not kernel_word.gave_no_reason(drop):
        return None
    return kernel_word.certain(drop, Evidence("place", "this function drops what its queue has no room for"))


def tag_of_nobody(drop: Drop, host: Host) -> Verdict | None:
    """A frame for this very interface that the kernel takes for another host's: it had a tag, which is gone by now."""
    header = frame_header(drop.event.link)
    if drop.reason != "OTHERHOST" or kernel_word.place(drop) not in _OTHERS or header is None:
        return None
    link = interface.link(drop, host, drop.event.ifindex)
    if link is None or link.mac != mac(header.destination):
        return None
    fact = (
        f"the frame is for {link.mac}, the address of {link.name} itself, and marked as another host's: so is a frame "
        "whose VLAN tag no interface here has; only a filter of tc could have done it as well"
    )
    culprit = Device(
        f"{link.name} address {link.mac}", link.name, link.kind or None, mtu=link.mtu, state=link.state
    )
    verdict = replace(kernel_word.likely(drop, Evidence("netlink link", fact, "proof")), culprit=culprit)
    return pinned.doubted(verdict, pinned.doubts(drop, host, pinned.Source("links", None)))
