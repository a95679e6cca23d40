"""What the kernel itself said of one drop: the place, the way there, the reason, and that as evidence."""

from errno import errorcode

from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.names import symbols

_TRACEPOINTS = {"kfree_skb": "skb:kfree_skb", "consume_skb": "skb:consume_skb"}
NOT_ALLOWED = "wg_allowedips_lookup_src"  # a source: what WireGuard has decrypted, and takes from nobody
DISCARDED = "__kfree_skb"  # a source: what a connection of TCP discards before 5.18
_WITHOUT_A_PACKET = frozenset({"xfrm_lookup"})
# A kernel before 5.15.58 gives no reason at all; later ones give this where the code names none.
_SILENT = frozenset({None, "NOT_SPECIFIED"})


def gave_no_reason(drop: Drop) -> bool:
    """True where the kernel said nothing: it has no reasons, or the code that freed the packet names none."""
    return drop.reason in _SILENT


def place(drop: Drop) -> str | None:
    """The function where the packet died, by its base name; None where the stack could not be resolved."""
    function = drop.where.frame.function
    return None if function is None else symbols.base_name(function)


def way(drop: Drop) -> frozenset[str]:
    """The base names of all functions on the stack, the place of death among them."""
    return frozenset(symbols.base_name(frame.function) for frame in drop.stack if frame.function is not None)


def evidence(drop: Drop) -> Evidence:
    """The reason in words and the place: `skb:kfree_skb reason XDP`, `dropped by ..., in do_xdp_generic`."""
    if drop.event.source in _WITHOUT_A_PACKET:
        return Evidence(f"probe {place(drop)}", "the flow was refused before a packet existed", "kernel")
    send = drop.event.send
    if send is not None:
        answer = errorcode.get(send.error, f"errno {send.error}")
        return Evidence(
            f"probe {drop.event.source}", f"it returned {answer}: no packet was created", "kernel"
        )
    if drop.event.source == "tcp_conn_request":
        return Evidence(
            "probe tcp_conn_request", "the SYN was refused, and freed as if it had been used", "kernel"
        )
    if drop.event.source == DISCARDED:
        return Evidence(
            f"probe {DISCARDED}",
            "TCP freed it without a reason, and counted it among its connection's drops",
            "kernel",
        )
    if drop.event.source == NOT_ALLOWED:
        return Evidence(
            f"probe {NOT_ALLOWED}", "no peer has its source, and it was freed as if used", "kernel"
        )
    source = _TRACEPOINTS.get(drop.event.source, drop.event.source)
    if drop.reason is not None:
        source += f" reason {drop.reason}"
    return Evidence(source, f"{in_words(drop)}, {_where(drop)}", "kernel")


def in_words(drop: Drop) -> str:
    """The reason as a phrase; says so where this kernel knows no reasons, or whydrop no words for it."""
    if drop.reason is None:
        return "this kernel has no drop reasons"
    known = symbols.reason(drop.reason)
    return known.words if known is not None else f"a reason that whydrop does not know ({drop.reason})"


def certain(drop: Drop, *facts: Evidence) -> Verdict:
    """The kernel said so. Further facts come before the kernel's own word."""
    return Verdict("certain", evidence=(*facts, evidence(drop)))


def likely(drop: Drop, *facts: Evidence) -> Verdict:
    """The best explanation, but not the only one. A fact should say what else it could be."""
    return Verdict("likely", evidence=(*facts, evidence(drop)))


def _where(drop: Drop) -> str:
    function = place(drop)
    return f"in {function}" if function is not None else f"at 0x{drop.where.frame.address:x}"
