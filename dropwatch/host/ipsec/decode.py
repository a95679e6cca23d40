"""Netlink messages about SAs and policies become the model's XfrmState and XfrmPolicy."""

from typing import Any

from dropwatch.host.ipsec.messages import TEMPLATE
from dropwatch.model.ipsec import Encap, Lifetime, XfrmPolicy, XfrmState, XfrmTemplate
from dropwatch.names import xfrm_abi

# include/uapi/linux/xfrm.h; the kernel lists the policies of single sockets too (XFRM_POLICY_MAX + dir)
_DIRS = {0: "in", 1: "out", 2: "fwd", 3: "socket in", 4: "socket out"}
_ACTIONS = {0: "allow", 1: "block"}
_SA_DIRS = {1: "in", 2: "out"}
_ALGORITHMS = (
    ("aead", ("XFRMA_ALG_AEAD",)),
    ("enc", ("XFRMA_ALG_CRYPT",)),
    ("auth", ("XFRMA_ALG_AUTH_TRUNC", "XFRMA_ALG_AUTH")),  # the kernel sends both, only the first has the ICV
    ("comp", ("XFRMA_ALG_COMP",)),
)


def state_of(message: Any) -> XfrmState:
    """The SA of a decoded NewSa message. `state` stays None: netlink does not tell."""
    attributes = _attributes(message)
    mark, mask = _mark(attributes)
    window, seq, oseq = _replay(message, attributes)
    family = message["family"]
    return XfrmState(
        family=xfrm_abi.family_number(family),
        saddr=xfrm_abi.address(family, message["saddr"]),
        daddr=xfrm_abi.address(family, message["daddr"]),
        proto=xfrm_abi.proto_word(message["proto"]),
        spi=message["spi"],
        mode=xfrm_abi.mode_word(message["mode"]),
        reqid=message["reqid"],
        if_id=attributes.get("XFRMA_IF_ID", 0),
        mark=mark,
        mark_mask=mask,
        replay_window=window,
        esn=bool(message["flags"] & xfrm_abi.STATE_ESN),
        seq=seq,
        oseq=oseq,
        algorithms=_algorithms(attributes),
        encap=_encap(attributes),
        selector=xfrm_abi.selector(message["sel"], family),
        lifetime=_lifetime(message),
        stat_replay_window=message["stat_replay_window"],
        stat_replay=message["stat_replay"],
        stat_integrity_failed=message["stat_integrity_failed"],
        direction=_SA_DIRS.get(attributes.get("XFRMA_SA_DIR", 0)),
    )


def policy_of(message: Any) -> XfrmPolicy:
    """The policy of a decoded NewPolicy message."""
    attributes = _attributes(message)
    mark, mask = _mark(attributes)
    return XfrmPolicy(
        selector=xfrm_abi.selector(message["sel"], 0),
        dir=_DIRS.get(message["dir"], str(message["dir"])),
        action=_ACTIONS.get(message["action"], str(message["action"])),
        priority=message["priority"],
        index=message["index"],
        if_id=attributes.get("XFRMA_IF_ID", 0),
        mark=mark,
        mark_mask=mask,
        templates=tuple(
            _template(entry) for entry in TEMPLATE.iter_unpack(attributes.get("XFRMA_TMPL", b""))
        ),
        add_time=message["add_time"],
    )


def _attributes(message: Any) -> dict[str, Any]:
    return {slot.name: slot.value for slot in message["attrs"] if slot.name != "UNKNOWN"}


def _mark(attributes: dict[str, Any]) -> tuple[int, int]:
    found = attributes.get("XFRMA_MARK")
    return (found["v"], found["m"]) if found is not None else (0, 0)


def _replay(message: Any, attributes: dict[str, Any]) -> tuple[int, int, int]:
    """Window in packets, highest number received and sent: 64 bits wide where the SA counts so."""
    wide = attributes.get("XFRMA_REPLAY_ESN_VAL")
    if wide is not None:
        return wide["replay_window"], wide["seq_hi"] << 32 | wide["seq"], wide["oseq_hi"] << 32 | wide["oseq"]
    narrow = attributes.get("XFRMA_REPLAY_VAL")
    if narrow is not None:
        return message["replay_window"], narrow["seq"], narrow["oseq"]
    return message["replay_window"], 0, 0


def _algorithms(attributes: dict[str, Any]) -> tuple[tuple[str, str, int, int], ...]:
    found = []
    for word, names in _ALGORITHMS:
        algorithm = next((attributes[name] for name in names if name in attributes), None)
        if algorithm is not None:
            name = xfrm_abi.algorithm_name(algorithm["name"])
            found.append((word, name, algorithm["key_bits"], algorithm.get("icv_bits", 0)))
    return tuple(found)


def _encap(attributes: dict[str, Any]) -> Encap | None:
    found = attributes.get("XFRMA_ENCAP")
    return (
        Encap(xfrm_abi.encap_word(found["type"]), found["sport"], found["dport"])
        if found is not None
        else None
    )


def _lifetime(message: Any) -> Lifetime:
    return Lifetime(
        soft_bytes=xfrm_abi.limit(message["soft_byte_limit"]),
        hard_bytes=xfrm_abi.limit(message["hard_byte_limit"]),
        soft_packets=xfrm_abi.limit(message["soft_packet_limit"]),
        hard_packets=xfrm_abi.limit(message["hard_packet_limit"]),
        hard_add_seconds=xfrm_abi.seconds(message["hard_add_expires_seconds"]),
        hard_use_seconds=xfrm_abi.seconds(message["hard_use_expires_seconds"]),
        bytes=message["bytes"],
        packets=message["packets"],
        add_time=message["add_time"],
        use_time=message["use_time"],
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
