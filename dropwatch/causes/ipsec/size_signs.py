"""Signs of a packet that IPsec makes too long for its way."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.delay import delay
from dropwatch.causes.ipsec import comparison, fixes, flow, objects, words
from dropwatch.causes.ipsec.case import Case, config
from dropwatch.host.ipsec.text import state_line
from dropwatch.model.drop import Drop, Evidence, Verdict
from dropwatch.packet.payload import may_not_be_cut

_FRAGMENTING = frozenset({"ip_fragment", "ip6_fragment"})
_MEASURING = _FRAGMENTING | {
    *("ip_forward", "ip6_forward", "__xfrm6_output"),
    *("vti_tunnel_xmit", "vti6_tnl_xmit"),
}
_SMALLEST_IPV6_MTU = 1280  # a route's MTU below that counts as that (xfrm6_tunnel_check_size)


def out_mtu(case: Case) -> Verdict | None:
    """Longer than what its route takes before protection, and not to be fragmented."""
    drop = case.drop
    note, mtu = drop.event.xfrm, too_big(drop)
    if note is None or note.state is None or mtu is None:
        return _too_big_now(case)
    state, length = note.state, drop.packet.length
    why = "DF is set" if drop.packet.family == 4 else "IPv6 packets are not fragmented in transit"
    rows = [comparison.Row("length", str(length), f"at most {mtu}", True)]
    evidence = (
        *comparison.evidence("packet / path through the SA", rows),
        Evidence("packet", f"it may not be fragmented: {why}"),
        Evidence("SA at the drop", state_line(state)),
        words.story(
            "the kernel tells the sender this size (by ICMP, or EMSGSIZE to a local program); if the sender "
            "goes on with larger packets, the message does not reach it"
        ),
    )
    culprit = replace(objects.state_object(state), mtu=mtu, length=length)
    # TCP's packets may still be many in one here, of which each is measured: length alone then proves nothing.
    proven = drop.packet.proto != "tcp" or kernel_word.place(drop) not in flow.ENCRYPTING
    return Verdict("certain" if proven else "likely", culprit, evidence, fixes.fit_the_size(drop, mtu))


def _too_big_now(case: Case) -> Verdict | None:
    """ESP or AH of this host that does not fit its interface: transport mode, where it is measured afterwards.

    Which SA made it is read later, by the SPI in the packet.
    """
    drop = case.drop
    packet, name = drop.packet, drop.iface.name if drop.iface is not None else None
    if (
        kernel_word.place(drop) not in _FRAGMENTING
        or not may_not_be_cut(drop)
        or packet.spi is None
        or not name
    ):
        return None
    there = config(case)
    made_by = (packet.saddr, packet.daddr, words.ipsec_proto(packet))
    states = there.states_by_spi.get(packet.spi, ()) if there is not None else ()
    state = next((one for one in states if (one.saddr, one.daddr, one.proto) == made_by), None)
    mtu = case.host.mtu(drop.event.netns, name, drop.event.monotonic_ns)
    if there is None or state is None or mtu is None:
        return None
    fits = packet.length <= mtu
    most = "less than that: the path beyond it" if fits else f"at most {mtu}"
    rows = [comparison.Row("length", str(packet.length), most, True)]
    evidence = (
        Evidence("place", "it had to be fragmented, and may not be"),
        *comparison.evidence(f"packet / interface {name}", rows),
        Evidence("netlink xfrm", f"{delay(drop, there.read_at_ns)}: {state_line(state)}"),
    )
    culprit = replace(objects.state_object(state), mtu=None if fits else mtu, length=packet.length)
    fix = fixes.fit_the_size(drop, None)
    verdict = Verdict("likely" if fits else "certain", culprit, evidence, fix)
    read = pinned.Source("SAs", there.read_at_ns), pinned.Source("links", None)
    return pinned.doubted(verdict, pinned.doubts(drop, case.host, *read))


def too_big(drop: Drop) -> int | None:
    """What its route takes, where the packet is longer, may not be cut, and died where that is looked at."""
    note, place, packet = drop.event.xfrm, kernel_word.place(drop), drop.packet
    if note is None or not note.outbound or note.mtu is None or note.check is not None or place is None:
        return None
    if not (kernel_word.gave_no_reason(drop) or drop.reason == "PKT_TOO_BIG"):
        return None
    if place not in flow.ENCRYPTING | _MEASURING | flow.XFRM_INTERFACE_SENDS:
        return None
    mtu = max(note.mtu, _SMALLEST_IPV6_MTU) if packet.family == 6 else note.mtu
    return mtu if may_not_be_cut(drop) and packet.length > mtu else None
