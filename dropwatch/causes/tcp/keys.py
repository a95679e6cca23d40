"""Signs of TCP-MD5 and TCP-AO: which socket has keys for whom, and how the segment is signed."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.family import Judgement
from dropwatch.causes.socket import receiver
from dropwatch.causes.socket.lookup import came_in
from dropwatch.causes.socket.unclaimed import Compared, culprit_of, with_owner
from dropwatch.host.host import Host
from dropwatch.host.sockets import Md5Key
from dropwatch.model.drop import Drop, Evidence
from dropwatch.packet.payload import AoSignature, ao_signature, is_signed

_MISSING, _UNEXPECTED, _WRONG = "tcp.md5-missing", "tcp.md5-unexpected", "tcp.md5-wrong"
_REASONS = {"TCP_MD5NOTFOUND": _MISSING, "TCP_MD5UNEXPECTED": _UNEXPECTED, "TCP_MD5FAILURE": _WRONG}
# What the kernel compares: its reason says in what the two differ.
_AO = {
    "TCP_AONOTFOUND": "the socket has a key of TCP-AO for the sender",
    "TCP_AOUNEXPECTED": "the socket has no key of TCP-AO",
    "TCP_AOKEYNOTFOUND": "the socket has no key of this id (RecvID) for the sender",
    "TCP_AOFAILURE": "the socket expects another signature, or one of another length",
}
_UNSIGNED = "the segment is not signed with TCP-AO"
_PLACES = frozenset({"tcp_v4_rcv", "tcp_v6_rcv"})
_SHOWN = 3


def md5(drop: Drop, host: Host) -> Judgement | None:
    """A kernel without reasons says nothing of signatures: then the segment and the keys tell what it may be."""
    cause_id = _REASONS.get(drop.reason or "")
    silent = kernel_word.gave_no_reason(drop) and kernel_word.place(drop) in _PLACES
    if cause_id is None and not silent:
        return None
    one = _socket(drop, host)
    if one is None:
        return (cause_id, kernel_word.certain(drop)) if cause_id is not None else None
    key = next((key for key in one.socket.keys if drop.packet.saddr and key.is_for(drop.packet.saddr)), None)
    facts = (Evidence("netlink sock_diag", f"after the drop: {_keys(one, key, drop)}"),)
    if cause_id is not None:
        said = kernel_word.certain(drop, *facts)
        named = one.pinned
    else:
        cause_id = _as_far_as_known(is_signed(drop), key)
        if cause_id is None:
            return None
        said, named = kernel_word.likely(drop, *facts), True
    one = with_owner(one, drop, host)
    return cause_id, replace(said, culprit=culprit_of(one, drop) if named else None, owner=one.owner)


def ao(drop: Drop, host: Host) -> Judgement | None:
    """No list of sockets has keys of TCP-AO: the reason says what the socket lacks, the segment which key it has."""
    lacking = _AO.get(drop.reason or "")
    if lacking is None:
        return None
    signed = _UNSIGNED if drop.reason == "TCP_AONOTFOUND" else _signed(ao_signature(drop))
    said = kernel_word.certain(drop, Evidence("packet", f"{signed}; {lacking}", "proof"))
    one = _socket(drop, host)
    if one is None:
        return "tcp.ao-mismatch", said
    one = with_owner(one, drop, host)
    return "tcp.ao-mismatch", replace(
        said, culprit=culprit_of(one, drop) if one.pinned else None, owner=one.owner
    )


def _signed(by: AoSignature | None) -> str:
    if by is None:  # its options were not captured
        return "the segment is signed with TCP-AO"
    signature = f"a signature of {by.length} bytes"
    return f"the segment is signed with key id {by.key_id}, {signature}, and asks for key id {by.next_id}"


def _as_far_as_known(signed: bool | None, key: Md5Key | None) -> str | None:
    if signed is None or (not signed and key is None):
        return None
    if key is None:
        return _UNEXPECTED
    return _WRONG if signed else _MISSING


def _socket(drop: Drop, host: Host) -> Compared | None:
    """The connection, else the listening socket that would take it; None where there is none, or several."""
    packet, event = drop.packet, drop.event
    if packet.dport is None or packet.sport is None:
        return None
    return receiver.present(drop, host) or receiver.only(
        host.sockets_at(event.netns, "tcp", packet.dport, came_in(drop), event.monotonic_ns), drop
    )


def _keys(one: Compared, key: Md5Key | None, drop: Drop) -> str:
    if key is not None:
        return f"the socket has a key of TCP-MD5 for {key.address}/{key.prefix}"
    if not one.socket.keys:
        return "the socket has no key of TCP-MD5"
    others = ", ".join(f"{one.address}/{one.prefix}" for one in one.socket.keys[:_SHOWN])
    return f"the socket has keys of TCP-MD5 for {others}, and none for {drop.packet.saddr}"
