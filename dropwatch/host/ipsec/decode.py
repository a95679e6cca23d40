"""Netlink messages about SAs and policies become the model's XfrmState and XfrmPolicy."""

import sys
from typing import Any

from dropwatch.host.ipsec import messages
from dropwatch.host.ipsec.messages import UserPolicy, UserState
from dropwatch.host.netlink import attributes
from dropwatch.model.ipsec import Encap, Lifetime, XfrmPolicy, XfrmState, XfrmTemplate
from dropwatch.names import xfrm_abi

_SA_DIRS = {1: "in", 2: "out"}
_ALGORITHMS = (
    ("aead", messages.ALG_AEAD, messages.ALGORITHM_ICV),
    ("enc", messages.ALG_CRYPT, messages.ALGORITHM),
    ("auth", messages.ALG_AUTH_TRUNC, messages.ALGORITHM_ICV),
    ("auth", messages.ALG_AUTH, messages.ALGORITHM),
    ("comp", messages.ALG_COMP, messages.ALGORITHM),
)


def state_of(message: memoryview) -> XfrmState:
    """The SA of an XFRM_MSG_NEWSA without its header. `state` stays None: netlink does not tell.

    Raises struct.error and ValueError for what cannot be read.
    """
    fixed = UserState._make(messages.STATE.unpack_from(message))
    found = attributes(message[messages.STATE.size :])
    mark, mask = _mark(found)
    window, seq, oseq = _replay(fixed, found)
    return XfrmState(
        family=xfrm_abi.family_number(fixed.family),
        saddr=xfrm_abi.address(fixed.family, fixed.saddr),
        daddr=xfrm_abi.address(fixed.family, fixed.daddr),
        proto=xfrm_abi.proto_word(fixed.proto),
        spi=int.from_bytes(fixed.spi, "big"),
        mode=xfrm_abi.mode_word(fixed.mode),
        reqid=fixed.reqid,
        if_id=_number(found, messages.IF_ID),
        mark=mark,
        mark_mask=mask,
        replay_window=window,
        esn=bool(fixed.flags & xfrm_abi.STATE_ESN),
        seq=seq,
        oseq=oseq,
        algorithms=_algorithms(found),
        encap=_encap(found),
        selector=xfrm_abi.selector(fixed.sel, fixed.family),
        lifetime=_lifetime(fixed),
        stat_replay_window=fixed.stat_replay_window,
        stat_replay=fixed.stat_replay,
        stat_integrity_failed=fixed.stat_integrity_failed,
        direction=_SA_DIRS.get(_number(found, messages.SA_DIR)),
    )


def policy_of(message: memoryview) -> XfrmPolicy:
    """The policy of an XFRM_MSG_NEWPOLICY without its header. Raises struct.error and ValueError."""
    fixed = UserPolicy._make(messages.POLICY.unpack_from(message))
    found = attributes(message[messages.POLICY.size :])
    mark, mask = _mark(found)
    templates = messages.TEMPLATE.iter_unpack(found.get(messages.TMPL, b""))
    return XfrmPolicy(
        selector=xfrm_abi.selector(fixed.sel, 0),
        dir=xfrm_abi.direction_word(fixed.dir),
        action=xfrm_abi.action_word(fixed.action),
        priority=fixed.priority,
        index=fixed.policy_index,
        if_id=_number(found, messages.IF_ID),
        mark=mark,
        mark_mask=mask,
        templates=tuple(_template(entry) for entry in templates),
        add_time=fixed.add_time,
    )


def _number(found: dict[int, bytes], kind: int) -> int:
    """A u8 or u32; 0 when it is not there."""
    return int.from_bytes(found.get(kind, b""), sys.byteorder)


def _mark(found: dict[int, bytes]) -> tuple[int, int]:
    if messages.MARK not in found:
        return 0, 0
    mark, mask = messages.MARK_AND_MASK.unpack_from(found[messages.MARK])
    return mark, mask


def _replay(fixed: UserState, found: dict[int, bytes]) -> tuple[int, int, int]:
    """Window in packets, highest number received and sent: 64 bits wide where the SA counts so."""
    if messages.REPLAY_ESN_VAL in found:
        oseq, seq, oseq_hi, seq_hi, window = messages.REPLAY_ESN.unpack_from(found[messages.REPLAY_ESN_VAL])
        return window, seq_hi << 32 | seq, oseq_hi << 32 | oseq
    if messages.REPLAY_VAL in found:
        oseq, seq = messages.REPLAY.unpack_from(found[messages.REPLAY_VAL])
        return fixed.replay_window, seq, oseq
    return fixed.replay_window, 0, 0


def _algorithms(found: dict[int, bytes]) -> tuple[tuple[str, str, int, int], ...]:
    """Word, name, bits of the key, bits of the ICV. The kernel sends _AUTH beside _AUTH_TRUNC, without the ICV."""
    algorithms = []
    for word, kind, layout in _ALGORITHMS:
        if kind in found and not (kind == messages.ALG_AUTH and messages.ALG_AUTH_TRUNC in found):
            name, key_bits, *icv_bits = layout.unpack_from(found[kind])
            algorithms.append((word, xfrm_abi.algorithm_name(name), key_bits, *(icv_bits or [0])))
    return tuple(algorithms)


def _encap(found: dict[int, bytes]) -> Encap | None:
    if messages.ENCAP not in found:
        return None
    kind, sport, dport = messages.ENCAPSULATION.unpack_from(found[messages.ENCAP])
    return Encap(xfrm_abi.encap_word(kind), int.from_bytes(sport, "big"), int.from_bytes(dport, "big"))


def _lifetime(fixed: UserState) -> Lifetime:
    return Lifetime(
        soft_bytes=xfrm_abi.limit(fixed.soft_byte_limit),
        hard_bytes=xfrm_abi.limit(fixed.hard_byte_limit),
        soft_packets=xfrm_abi.limit(fixed.soft_packet_limit),
        hard_packets=xfrm_abi.limit(fixed.hard_packet_limit),
        hard_add_seconds=xfrm_abi.seconds(fixed.hard_add_expires_seconds),
        hard_use_seconds=xfrm_abi.seconds(fixed.hard_use_expires_seconds),
        bytes=fixed.bytes,
        packets=fixed.packets,
        add_time=fixed.add_time,
        use_time=fixed.use_time,
    )


def _template(entry: tuple[Any, ...]) -> XfrmTemplate:
    daddr, spi, proto, family, saddr, reqid, mode, _, optional, *_ = entry
    return XfrmTemplate(
        proto=xfrm_abi.proto_word(proto),
        mode=xfrm_abi.mode_word(mode),
        saddr=xfrm_abi.address_or_any(family, saddr),
        daddr=xfrm_abi.address_or_any(family, daddr),
        spi=int.from_bytes(spi, "big"),
        reqid=reqid,
        optional=bool(optional),
    )
