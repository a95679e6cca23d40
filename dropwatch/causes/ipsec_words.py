"""The sentences of the IPsec judges: facts about a packet beside those about an SA, and what to do."""

from dropwatch.host.commands import ip_command
from dropwatch.host.xfrm_text import algorithm_text, spi_text
from dropwatch.model import Drop, Fix, Netns, Packet, XfrmState

_KEY_LINES = "awk '$1 ~ /^(aead|auth|auth-trunc|enc)$/ {print $1, $2, $3, $4}' | sha256sum"


def ipsec_proto(packet: Packet) -> str:
    """`esp` also for ESP in UDP, which shows UDP's header first."""
    return "esp" if packet.proto == "udp" else packet.proto or "esp"


def packet(drop: Drop, spi: int | None) -> str:
    """`src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 seq 7 mark 0x0`, as far as it is known."""
    shown = drop.packet
    note = drop.event.xfrm
    seq = note.seq if note is not None and note.seq is not None else shown.seq
    words = [
        f"src {shown.saddr} dst {shown.daddr}" if shown.saddr is not None else "",
        f"proto {ipsec_proto(shown)}",
        f"spi {spi_text(spi)}" if spi is not None else "",
        f"seq {seq}" if seq is not None else "",
        f"mark {shown.mark:#x}",
        f"in UDP {shown.sport} > {shown.dport}" if shown.proto == "udp" else "",
    ]
    return " ".join(word for word in words if word)


def identity(state: XfrmState) -> str:
    """The SA by what can be set beside the packet: addresses, SPI, mark, if_id, and its state."""
    return (
        f"src {state.saddr} dst {state.daddr} proto {state.proto} spi {spi_text(state.spi)} reqid {state.reqid} "
        f"mode {state.mode} mark {state.mark:#x}/{state.mark_mask:#x} if_id {state.if_id:#x}"
        + (f", state {state.state}" if state.state is not None else "")
    )


def integrity_algorithm(state: XfrmState) -> str:
    """What this end checks packets with, for the user to compare with the other end."""
    checking = [one for one in state.algorithms if one[0] in ("aead", "auth")]
    text = f"this end checks with {' and '.join(algorithm_text(one) for one in checking) or 'no algorithm'}"
    if any(one[0] == "auth" for one in checking) and any(one[0] == "enc" for one in state.algorithms):
        text += "; the encryption key plays no part in the check"
    return text


def history(state: XfrmState, drop_time: float) -> str:
    """Whether this SA ever worked. The kernel counts a packet in only after it passed (net/xfrm/xfrm_input.c), and
    never gives an SA another key (xfrm_state_update).
    """
    failed = state.stat_integrity_failed
    failures = {0: "", 1: "; this is the first to fail its check"}.get(
        failed, f"; {failed} failed its check, this one among them"
    )
    age = max(0, round(drop_time - state.lifetime.add_time))
    since = f"in the {age} s since it was added" if state.lifetime.add_time else "since it was added"
    passed = state.lifetime.packets
    if not passed:
        return f"no packet has passed this SA {since}{failures}: nothing shows that the two ends ever agreed"
    if state.oseq:
        return f"{passed} packets went through this SA, sent and received, {since}{failures}"
    return (
        f"{passed} packets passed this SA {since}{failures}: its key was right then and has not changed here since, "
        "so the sender now uses another, or this packet was altered or forged on its way"
    )


def fits_now(state: XfrmState, drop_time: float) -> str:
    """An SA that would do, although the kernel found none."""
    if state.lifetime.add_time > drop_time:
        return "this one fits, but was added after the drop"
    return "this one fits now; when the packet came the kernel did not have it"


def compare_ends(state: XfrmState, netns: Netns | None) -> tuple[Fix, ...]:
    """How to find out which of key, algorithm and ICV length differs."""
    get = f"xfrm state get {_selected(state)}"
    behind_nat = ", where a NAT may have changed its own address" if state.encap is not None else ""
    return (
        Fix("show this SA, with its key: `ip xfrm` prints keys to root", ip_command(netns, get)),
        Fix(
            f"show the sender's on {state.saddr}{behind_nat}: algorithm, key and ICV length must be equal",
            f"ip {get}",
        ),
        Fix(
            "or compare without showing keys: on both hosts this must print the same",
            f"{ip_command(netns, get)} | {_KEY_LINES}",
        ),
        Fix(
            "if an IKE daemon made these SAs, have it terminate and initiate the connection anew; "
            "if they were made by hand, delete the SA on both hosts and add it with one key"
        ),
    )


def set_up_again(drop: Drop) -> tuple[Fix, ...]:
    """The sender has an SA that this host has not: after a restart, a deletion or a rekey of one side only."""
    source, destination = drop.packet.saddr, drop.packet.daddr
    if source is None or destination is None:
        return ()
    between = f"xfrm state list src {source} dst {destination} nokeys"
    return (
        Fix("list what this host has from that sender", ip_command(drop.netns, between)),
        Fix(f"list what the sender, {source}, uses: the same SPI has to be there and here", f"ip {between}"),
        Fix(
            "if an IKE daemon made the SAs, have it terminate and initiate the connection anew on the sender; "
            "if they were made by hand, add the missing SA here"
        ),
    )


def fit_the_mark(state: XfrmState) -> tuple[Fix, ...]:
    """The SA is there, but only for packets with a mark."""
    wanted = f"{state.mark:#x}/{state.mark_mask:#x}"
    return (
        Fix(
            f"mark these packets {wanted} before IPsec sees them, in a prerouting chain (nft `meta mark set`, "
            "iptables -t mangle -j MARK), or let their VTI interface do it with its ikey"
        ),
        Fix("or add the SA without `mark`, if packets with any mark may use it"),
    )


def _selected(state: XfrmState) -> str:
    mark = f" mark {state.mark:#x} mask {state.mark_mask:#x}" if state.mark_mask else ""
    return f"src {state.saddr} dst {state.daddr} proto {state.proto} spi {spi_text(state.spi)}{mark}"
