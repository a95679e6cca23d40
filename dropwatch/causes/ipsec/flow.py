"""Which flow the kernel looked an IPsec policy up for, when it refused a packet."""

from dropwatch.causes import kernel_word
from dropwatch.causes.ipsec.case import Case, interfaces
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.host.ipsec.policy_search import Flow, flow_of
from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import XfrmNote

_VTI_SENDS = ("vti_tunnel_xmit", "vti_xmit", "vti6_tnl_xmit", "vti6_xmit")
ENCRYPTING = frozenset(
    {"xfrm_output", "xfrm_output2", "xfrm_output_gso", "xfrm_output_one", "xfrm_output_resume"}
)
XFRM_INTERFACE_SENDS = frozenset({"xfrmi_xmit", "xfrmi_xmit2"})


def checked(case: Case) -> Flow | None:
    """For __xfrm_policy_check: of a packet that came in, after decryption.

    An xfrm interface only counts for packets that came through an SA (xfrmi_decode_session). A packet that is
    refused while xfrm_input still has it is on a VTI interface, whose key stands in for its mark (vti_rcv_cb).
    """
    drop = case.drop
    note = drop.event.xfrm
    mark: int | None = drop.packet.mark
    if note is not None and note.check is not None and note.check.mark is not None:
        mark = note.check.mark
    elif kernel_word.place(drop) == "xfrm_input":
        vti = _interface(case)
        mark = vti.ikey if vti is not None and vti.kind != "xfrm" else None
    through_state = note is not None and note.state is not None
    return flow_of(drop.packet, mark, _if_id(case) if through_state else 0)


def leaving(case: Case) -> Flow | None:
    """For xfrm_lookup: of a packet that is to leave, or of a send() that failed. A VTI's key is its mark."""
    drop = case.drop
    note: XfrmNote | None = drop.event.xfrm
    mark: int | None = drop.packet.mark
    if kernel_word.place(drop) in _VTI_SENDS:
        vti = _interface(case)
        mark = vti.okey if vti is not None else None
    if note is not None and note.lookup is not None:
        return flow_of(drop.packet, mark, note.lookup.if_id)
    return flow_of(drop.packet, mark, _if_id(case) if at_xfrm_interface(drop) else 0)


def vti_of(case: Case) -> IpsecInterface | None:
    """The VTI interface for an ESP packet that came in, by its end points (ip_tunnel_lookup)."""
    found = interfaces(case) or {}
    ends = (case.drop.packet.daddr, case.drop.packet.saddr)
    exact = [one for one in found.values() if one.kind != "xfrm" and (one.local, one.remote) == ends]
    return exact[0] if len(exact) == 1 else None


def refused_to_send(drop: Drop) -> bool:
    """An xfrm or VTI interface gave it up although no search failed: it got no SA at all (xfrmi_xmit2, vti_xmit), or
    its way leads back into the interface.
    """
    note = drop.event.xfrm
    silent = note is None or (note.lookup is None and not note.outbound and note.check is None)
    sends = at_xfrm_interface(drop) or kernel_word.place(drop) in _VTI_SENDS
    return sends and kernel_word.gave_no_reason(drop) and silent


def at_xfrm_interface(drop: Drop) -> bool:
    """It died where an xfrm interface sends."""
    return kernel_word.place(drop) in XFRM_INTERFACE_SENDS


def _if_id(case: Case) -> int | None:
    """That of the interface where it died, 0 where that is no xfrm interface, None where it could not be read."""
    found = interfaces(case)
    if found is None:
        return None
    interface = found.get(case.drop.event.ifindex)
    return interface.if_id if interface is not None else 0


def _interface(case: Case) -> IpsecInterface | None:
    found = interfaces(case) or {}
    return found.get(case.drop.event.ifindex)
