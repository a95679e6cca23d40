"""The sentences of the signs of IPsec: facts about a packet beside those about an SA."""

from dropwatch.host.ipsec.text import algorithm_text, spi_text
from dropwatch.model.drop import Drop, Evidence, Packet
from dropwatch.model.ipsec import XfrmState

# Packets of these protocols pass xfrm_input too: they may carry IPComp that was not worth packing.
IP_IN_IP = frozenset({"ipip", "ipv6"})
_NO_INTEGRITY = frozenset({"digest_null", "null"})


def checks_integrity(state: XfrmState) -> bool:
    """Whether it can tell a packet that was changed, or encrypted with another key."""
    return any(
        word == "aead" or (word == "auth" and name not in _NO_INTEGRITY)
        for word, name, *_ in state.algorithms
    )


def story(text: str) -> Evidence:
    """What most probably happened, as distinct from what was observed."""
    return Evidence("most likely", text)


def vti_key(key: int) -> Evidence:
    """Why a packet's own mark does not count."""
    return Evidence(
        "netlink link", f"a VTI interface connects these hosts: its ikey {key:#x} replaces the mark"
    )


def ipsec_proto(packet: Packet) -> str:
    """`esp` also for ESP in UDP or TCP, which shows their header first."""
    in_tcp = packet.proto == "tcp" and packet.spi is not None
    return "esp" if packet.proto == "udp" or in_tcp else packet.proto or "esp"


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


def flow(packet: Packet) -> str:
    """`src 10.1.0.5 dst 10.2.0.7 proto udp sport 4000 dport 5000`: what a policy is asked about."""
    words = [f"src {packet.saddr} dst {packet.daddr} proto {packet.proto}"]
    if packet.sport is not None and packet.dport is not None:
        words.append(f"sport {packet.sport} dport {packet.dport}")
    if packet.icmp_type is not None:
        words.append(f"type {packet.icmp_type} code {packet.icmp_code}")
    return " ".join(words)


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
    text = (
        "this host checks integrity with "
        f"{' and '.join(algorithm_text(one) for one in checking) or 'no algorithm'}"
    )
    if any(one[0] == "auth" for one in checking) and any(one[0] == "enc" for one in state.algorithms):
        text += "; the encryption key is not part of the check"
    return text


def history(state: XfrmState, drop_time: float) -> str:
    """Whether this SA ever worked. The kernel counts a packet in only after it passed (net/xfrm/xfrm_input.c), and
    never gives an SA another key (xfrm_state_update).
    """
    failed = state.stat_integrity_failed
    failures = {0: "", 1: "; this is the first to fail"}.get(
        failed, f"; {failed} have failed, this one included"
    )
    age = max(0, round(drop_time - state.lifetime.add_time))
    since = f"in the {age} s since it was added" if state.lifetime.add_time else "since it was added"
    passed = state.lifetime.packets
    if not passed:
        return f"no packet has passed this SA {since}{failures}: the two ends may never have agreed"
    packets = "1 packet" if passed == 1 else f"{passed} packets"
    if state.oseq:
        return f"{packets}, sent and received, passed this SA {since}{failures}"
    return (
        f"{packets} passed this SA {since}{failures}: the key was right then and has not changed here "
        "since, so the sender now uses another one, or this packet was altered or forged in transit"
    )


def old_number(drop: Drop, state: XfrmState) -> tuple[Evidence, ...]:
    """With extended sequence numbers an old packet fails its check: the kernel takes its number for one of the next
    2^32 (xfrm_replay_seqhi), and the ICV covers the half that is not in the packet.
    """
    lowest = _is_old(drop, state)
    if lowest is None:
        return ()
    text = (
        f"sequence number {drop.packet.seq} is below the window, which begins at {lowest}: with ESN the "
        "kernel takes it for a later number, and the check fails"
    )
    return (Evidence("SA at the drop", text),)


def _is_old(drop: Drop, state: XfrmState) -> int | None:
    """The lowest number that the window takes, where this packet's is lower. Only the lower halves are compared."""
    seq, highest = drop.packet.seq, state.seq & 0xFFFFFFFF
    lowest = highest - state.replay_window + 1
    if not state.esn or seq is None or not state.replay_window or lowest <= 0:
        return None
    return lowest if seq < lowest else None


def why_the_check_failed(drop: Drop, state: XfrmState) -> str:
    """What most probably made the ICV differ: a NAT (AH covers the addresses), the keys, or the packet itself."""
    if state.proto == "ah" and drop.packet.saddr not in (None, state.saddr):
        return "a NAT changed the source address, which AH protects: AH cannot pass a NAT"
    if _is_old(drop, state) is not None:
        return "the packet is old: sent again, or overtaken by more packets than the window holds"
    if not state.lifetime.packets:
        return "the keys, the integrity algorithms or the ICV lengths of the two ends differ"
    if state.stat_integrity_failed <= 1:
        return "this one packet was damaged or forged, or the sender has just changed its key"
    return "the sender now uses another key: it restarted or set up its SA again, and this host did not"


def fits_now(state: XfrmState, drop_time: float) -> str:
    """An SA that would do, although the kernel found none."""
    if state.lifetime.add_time > drop_time:
        return "this one fits, but was added after the drop"
    return "this one fits now; the kernel did not have it when the packet came"
