"""Which flow the kernel looked an IPsec policy up for, when it refused a packet."""

from dropwatch.causes import kernel_word
from dropwatch.host.host import Host
from dropwatch.host.xfrm_policy_search import Flow, flow_of
from dropwatch.model import Drop
from dropwatch.xfrm_model import XfrmNote

_VTI = ("vti_tunnel_xmit", "vti_xmit", "vti6_tnl_xmit", "vti6_xmit")
XFRM_INTERFACE_SENDS = frozenset({"xfrmi_xmit", "xfrmi_xmit2"})


def checked(drop: Drop, host: Host) -> Flow | None:
    """For __xfrm_policy_check: of a packet that came in, after decryption.

    An xfrm interface only counts for packets that came through an SA (xfrmi_decode_session). A packet that is
    refused while xfrm_input still has it is on a VTI interface, whose mark stands in for its own (vti_rcv_cb).
    """
    note = drop.event.xfrm
    mark: int | None = drop.packet.mark
    if kernel_word.place(drop) == "xfrm_input":
        mark = None
    through_state = note is not None and note.state is not None
    return flow_of(drop.packet, mark, _if_id(drop, host) if through_state else 0)


def leaving(drop: Drop, host: Host) -> Flow | None:
    """For xfrm_lookup: of a packet that is to leave, or of a send() that failed. VTI has a mark of its own."""
    note: XfrmNote | None = drop.event.xfrm
    mark: int | None = drop.packet.mark
    if kernel_word.place(drop) in _VTI:
        mark = None
    if note is not None and note.lookup is not None:
        return flow_of(drop.packet, mark, note.lookup.if_id)
    return flow_of(drop.packet, mark, _if_id(drop, host) if at_xfrm_interface(drop) else 0)


def refused_to_send(drop: Drop) -> bool:
    """An xfrm interface gave it up although no search failed: it got no SA at all (xfrmi_xmit2), it was too long, or
    its way leads back into the interface.
    """
    note = drop.event.xfrm
    silent = note is None or (note.lookup is None and not note.outbound and note.check is None)
    return at_xfrm_interface(drop) and kernel_word.gave_no_reason(drop) and silent


def at_xfrm_interface(drop: Drop) -> bool:
    """It died where an xfrm interface sends."""
    return kernel_word.place(drop) in XFRM_INTERFACE_SENDS


def _if_id(drop: Drop, host: Host) -> int | None:
    """That of the interface where it died, 0 where that is no xfrm interface, None where it could not be read."""
    found = host.xfrm_interfaces(drop.event.netns, drop.event.monotonic_ns)
    return None if found is None else found.get(drop.event.ifindex, 0)
