"""SAs and policies as `ip xfrm` prints them, each on one line and never with a key."""

from dropwatch.model.drop import Address
from dropwatch.model.ipsec import Selector, XfrmPolicy, XfrmState, XfrmTemplate
from dropwatch.names import protocols

_ANY = {4: "0.0.0.0", 6: "::"}
_IP_ALGORITHM_WORDS = {"auth": "auth-trunc"}
_IP_ALGORITHM_ORDER = ("auth", "aead", "enc", "comp")


def state_line(state: XfrmState) -> str:
    """`src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport ...`, in the order of `ip`.

    Left out: what an SA does not have, and a selector that excludes nothing.
    """
    words = [
        f"src {state.saddr} dst {state.daddr} proto {state.proto} spi {spi_text(state.spi)}",
        f"reqid {state.reqid} mode {state.mode}",
        f"replay-window {state.replay_window}" if state.replay_window else "",
        "flag esn" if state.esn else "",
        _mark(state.mark, state.mark_mask),
        *(algorithm_text(one) for word in _IP_ALGORITHM_ORDER for one in state.algorithms if one[0] == word),
        f"encap type {state.encap.type} sport {state.encap.sport} dport {state.encap.dport}"
        if state.encap
        else "",
        f"if_id {state.if_id:#x}" if state.if_id else "",
        f"dir {state.direction}" if state.direction else "",
        f"sel {selector_text(state.selector)}" if state.selector and not _is_open(state.selector) else "",
    ]
    return " ".join(word for word in words if word)


def policy_line(policy: XfrmPolicy) -> str:
    """`src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 5000 dir in priority 0 tmpl ...`, in the order of `ip`."""
    words = [
        selector_text(policy.selector),
        f"dir {policy.dir}",
        "action block" if policy.action == "block" else "",
        f"priority {policy.priority}",
        _mark(policy.mark, policy.mark_mask),
        *(_template(template, policy.selector.family) for template in policy.templates),
        f"if_id {policy.if_id:#x}" if policy.if_id else "",
    ]
    return " ".join(word for word in words if word)


def selector_text(selector: Selector) -> str:
    """`src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 5000`; a mask is printed where not every bit counts."""
    words = [
        f"src {_prefix(selector.saddr, selector.prefixlen_s, selector)}",
        f"dst {_prefix(selector.daddr, selector.prefixlen_d, selector)}",
        f"proto {protocols.name(selector.proto)}" if selector.proto else "",
        *_ports(selector),
        f"dev {selector.ifindex}" if selector.ifindex else "",
    ]
    return " ".join(word for word in words if word)


def algorithm_text(algorithm: tuple[str, str, int, int]) -> str:
    """`aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV`: the word and the name of `ip`, lengths in place of the key."""
    word, name, key_bits, icv_bits = algorithm
    icv = f" {icv_bits}-bit ICV" if icv_bits else ""
    key = f" {key_bits}-bit key" if key_bits else ""
    return f"{_IP_ALGORITHM_WORDS.get(word, word) if icv else word} {name}{key}{icv}"


def spi_text(spi: int) -> str:
    """`0x00001001`."""
    return f"0x{spi:08x}"


def _ports(selector: Selector) -> list[str]:
    names = {1: ("type", "code"), 58: ("type", "code")}.get(selector.proto, ("sport", "dport"))
    pairs = ((selector.sport, selector.sport_mask), (selector.dport, selector.dport_mask))
    return [
        f"{name} {port}" + (f"/{mask:#x}" if mask != 0xFFFF else "")
        for name, (port, mask) in zip(names, pairs, strict=True)
        if mask
    ]


def _template(template: XfrmTemplate, family: int) -> str:
    known = next((a.version for a in (template.saddr, template.daddr) if a is not None), family)
    words = [
        f"tmpl src {template.saddr or _ANY.get(known, 'any')} dst {template.daddr or _ANY.get(known, 'any')}",
        f"proto {template.proto}",
        f"spi {spi_text(template.spi)}" if template.spi else "",
        f"reqid {template.reqid} mode {template.mode}",
        "level use" if template.optional else "",
    ]
    return " ".join(word for word in words if word)


def _prefix(address: Address | None, length: int, selector: Selector) -> str:
    if address is not None:
        return f"{address}/{length}"
    known = next((a.version for a in (selector.saddr, selector.daddr) if a is not None), selector.family)
    return f"{_ANY[known]}/{length}" if known else "any"


def _is_open(selector: Selector) -> bool:
    lengths = selector.prefixlen_s or selector.prefixlen_d
    ports = selector.sport_mask or selector.dport_mask
    return not (lengths or ports or selector.proto or selector.ifindex)


def _mark(mark: int, mask: int) -> str:
    return f"mark {mark:#x}/{mask:#x}" if mark or mask else ""
