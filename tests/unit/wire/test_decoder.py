"""Records of the kernel become Events: what a DROP record says, and which XFRM record goes with it."""

import ctypes
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, htons

import pytest

from dropwatch.model.drop import Event
from dropwatch.model.ipsec import Encap, Selector, XfrmPolicy, XfrmSearch, XfrmTemplate
from dropwatch.model.netfilter import HookFunction
from dropwatch.wire import decoder as wire
from dropwatch.wire import drop, header, ipsec
from dropwatch.wire.note import KernelNames

STATE_NAMES = {2: "valid", 5: "dead"}
COUNTER_NAMES = {4: "XfrmInNoStates", 5: "XfrmInStateProtoError", 63: "XfrmLast"}
SKB = 0xFFFF888100ABCD00
NOW = 83_521_935_614


def drop_record(time_ns: int = NOW, skb: int = SKB, **fields: object) -> drop.DropRecord:
    record = drop.DropRecord(location=0xFFFFFFFF81234567, has_reason=1, reason=77, length=98, mark=0xFFFFFFFF)
    record.header = header.RecordHeader(time_ns, skb, header.RECORD_DROP, ctypes.sizeof(drop.DropRecord))
    record.ifindex, record.skb_iif, record.netns = 3, 2, 4026532234
    record.pid, record.cpu, record.protocol = 812, 7, 0x0800
    record.ifname, record.comm = b"fifteen-letters", b"nginx"
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def xfrm_record(time_ns: int = NOW, skb: int = SKB, **fields: object) -> ipsec.XfrmRecord:
    record = ipsec.XfrmRecord(audit=1)
    record.header = header.RecordHeader(time_ns, skb, header.RECORD_XFRM, ctypes.sizeof(ipsec.XfrmRecord))
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def bytes_of(kind: type[ctypes.Array[ctypes.c_uint8]], data: bytes) -> ctypes.Array[ctypes.c_uint8]:
    return kind.from_buffer_copy(data.ljust(ctypes.sizeof(kind), b"\0"))


Four, Two, Sixteen = ctypes.c_uint8 * 4, ctypes.c_uint8 * 2, ctypes.c_uint8 * 16


@pytest.fixture
def decoder() -> wire.Decoder:
    names = KernelNames(
        STATE_NAMES, COUNTER_NAMES, lambda address: None, lambda address, time_ns: HookFunction(None)
    )
    return wire.Decoder([ipsec.XFRM_NOTE], names)


def fed(decoder: wire.Decoder, record: ctypes.Structure) -> Event:
    event = decoder.feed(bytes(record))
    assert event is not None
    return event


def test_a_drop_record_becomes_an_event(decoder: wire.Decoder) -> None:
    record = drop_record(stack_bytes=3 * 8, packet_length=5, is_carrier=1)
    record.stack[:4] = [11, 1 << 63, 33, 44]
    record.packet[:6] = b"abcdef"
    assert fed(decoder, record) == Event(
        monotonic_ns=NOW,
        source="kfree_skb",
        skb=SKB,
        location=0xFFFFFFFF81234567,
        reason=77,
        protocol=0x0800,
        length=98,
        mark=0xFFFFFFFF,
        ifindex=3,
        ifname="fifteen-letters",
        skb_iif=2,
        netns=4026532234,
        pid=812,
        comm="nginx",
        cpu=7,
        carrier=True,
        stack=(11, 1 << 63, 33),
        packet=b"abcde",
        notes=frozenset(),
        xfrm=None,
    )


def test_a_kernel_without_reasons(decoder: wire.Decoder) -> None:
    assert fed(decoder, drop_record(has_reason=0, reason=0xFFFFFFFF)).reason is None
    assert fed(decoder, drop_record(has_reason=1, reason=0)).reason == 0


def test_a_stack_that_could_not_be_taken(decoder: wire.Decoder) -> None:
    assert fed(decoder, drop_record(stack_bytes=-14)).stack == ()


def test_full_stack_and_full_packet(decoder: wire.Decoder) -> None:
    record = drop_record(stack_bytes=drop.STACK_DEPTH * 8, packet_length=drop.PACKET_BYTES)
    record.stack[:] = list(range(drop.STACK_DEPTH))
    record.packet[:] = bytes(range(256))
    event = fed(decoder, record)
    assert event.stack == tuple(range(drop.STACK_DEPTH))
    assert event.packet == bytes(range(256))


@pytest.mark.parametrize("one", drop._NOTES)
def test_what_other_probes_noted(decoder: wire.Decoder, one: int) -> None:
    """Each beside each other one, and all of them."""
    for bits in (*(one | other for other in drop._NOTES), sum(drop._NOTES)):
        expected = {word for bit, word in drop._NOTES.items() if bits & bit}
        assert fed(decoder, drop_record(notes=bits)).notes == expected


def test_names_that_are_no_utf8(decoder: wire.Decoder) -> None:
    event = fed(decoder, drop_record(ifname=b"eth\xff", comm=b"\xc3("))
    assert (event.ifname, event.comm) == ("eth\\xff", "\\xc3(")


def whole_state(**fields: object) -> ipsec.XfrmRecord:
    record = xfrm_record(
        has_state=1,
        counters=1 << 5 | 1 << 63 | 1 << 40,
        proto=50,
        spi=bytes_of(Four, b"\0\0\x10\x01"),
        saddr=bytes_of(Sixteen, b"\x0a\x09\x00\x01"),
        daddr=bytes_of(Sixteen, b"\x0a\x09\x00\x02"),
        family=int(AF_INET),
        mode=1,
        reqid=17,
        if_id=42,
        mark=6,
        mark_mask=0xFF,
        state=2,
        replay_window=64,
        flags=128,
        seq=9,
        seq_hi=2,
        oseq=4,
        has_esn=1,
        stat_replay_window=3,
        stat_replay=5,
        stat_integrity_failed=7,
    )
    infinite = (1 << 64) - 1
    record.limits[:] = [infinite, 1000, 2000, infinite, 0, 3600, 0, 7200]
    record.current_use[:] = [500, 13, 1795205700, 1795205701]
    record.aead = ipsec.XfrmAlgorithm(b"rfc4106(gcm(aes))", 160, 128)
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def test_an_xfrm_record_goes_with_its_drop(decoder: wire.Decoder) -> None:
    assert decoder.feed(bytes(whole_state())) is None
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.audit == frozenset({"icvfail"})
    assert note.counters == ("XfrmInStateProtoError", "XfrmLast")
    assert (note.spi, note.seq) == (None, None)
    state = note.state
    assert state is not None
    assert (state.family, state.saddr, state.daddr) == (4, IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2"))
    assert (state.proto, state.spi, state.mode, state.reqid, state.if_id) == ("esp", 0x1001, "tunnel", 17, 42)
    assert (state.mark, state.mark_mask, state.state) == (6, 0xFF, "valid")
    assert (state.replay_window, state.esn, state.seq, state.oseq) == (64, True, 2 << 32 | 9, 4)
    assert state.algorithms == (("aead", "rfc4106(gcm(aes))", 160, 128),)
    assert state.encap is None
    life = state.lifetime
    assert (life.soft_bytes, life.hard_bytes, life.soft_packets, life.hard_packets) == (
        None,
        1000,
        2000,
        None,
    )
    assert (life.hard_add_seconds, life.hard_use_seconds) == (3600, 7200)
    assert (life.bytes, life.packets, life.add_time, life.use_time) == (500, 13, 1795205700, 1795205701)
    assert (state.stat_replay_window, state.stat_replay, state.stat_integrity_failed) == (3, 5, 7)


def found_policy(**fields: object) -> ipsec.XfrmPolicyRecord:
    policy = ipsec.XfrmPolicyRecord(
        add_time=1795205700, found=2, index=33, priority=7, mark=5, mark_mask=0xFF, if_id=42, count=1
    )
    selector = RawSelector(
        daddr=bytes_of(Sixteen, b"\x0a\x09\x00\x02"), prefixlen_d=32, family=int(AF_INET), proto=17
    )
    policy.selector[:] = bytes(selector)
    policy.templates[0] = ipsec.XfrmTemplateRecord(
        daddr=bytes_of(Sixteen, b"\x0a\x08\x00\x02"),
        spi=bytes_of(Four, b"\0\0\x10\x01"),
        reqid=17,
        family=int(AF_INET),
        proto=50,
        mode=1,
        optional=1,
    )
    for name, value in fields.items():
        setattr(policy, name, value)
    return policy


def test_the_policy_that_refused_a_packet(decoder: wire.Decoder) -> None:
    decoder.feed(bytes(xfrm_record(is_refused=1, policy=found_policy())))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.search is not None
    selector = Selector(family=4, daddr=IPv4Address("10.9.0.2"), prefixlen_d=32, proto=17)
    template = XfrmTemplate("esp", "tunnel", None, IPv4Address("10.8.0.2"), 0x1001, 17, optional=True)
    assert note.search.policy == XfrmPolicy(
        selector, "out", "allow", 7, 33, 42, 5, 0xFF, (template,), 1795205700
    )


@pytest.mark.parametrize(("found", "search"), [(0, None), (1, XfrmSearch()), (9, None)])
def test_where_no_policy_was_found(decoder: wire.Decoder, found: int, search: XfrmSearch | None) -> None:
    decoder.feed(bytes(xfrm_record(is_refused=1, policy=found_policy(found=found))))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.search == search


def test_a_long_replay_window_is_not_esn(decoder: wire.Decoder) -> None:
    """The kernel keeps windows over 32 packets in replay_esn, whether sequence numbers are extended or not."""
    decoder.feed(bytes(whole_state(flags=0, seq_hi=0, replay_window=512)))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.state is not None
    assert (note.state.esn, note.state.replay_window, note.state.seq) == (False, 512, 9)


def test_times_without_a_limit(decoder: wire.Decoder) -> None:
    decoder.feed(bytes(whole_state(limits=(ctypes.c_uint64 * 8)())))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.state is not None
    life = note.state.lifetime
    assert (life.hard_bytes, life.hard_add_seconds, life.hard_use_seconds) == (0, None, None)


def test_ipv6_state_with_encapsulation_and_unknown_numbers(decoder: wire.Decoder) -> None:
    record = whole_state(
        family=int(AF_INET6),
        saddr=bytes_of(Sixteen, IPv6Address("fd00::1").packed),
        daddr=bytes_of(Sixteen, IPv6Address("fd00::2").packed),
        proto=99,
        mode=77,
        state=9,
        has_encap=1,
        encap_type=2,
        encap_sport=bytes_of(Two, b"\x11\x94"),
        encap_dport=bytes_of(Two, b"\x00\x01"),
        auth=ipsec.XfrmAlgorithm(b"hmac(sha256)", 256, 128),
        enc=ipsec.XfrmAlgorithm(b"cbc(aes)", 128, 0),
        aead=ipsec.XfrmAlgorithm(),
    )
    decoder.feed(bytes(record))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    state = note.state
    assert state is not None
    assert (state.family, state.saddr, state.daddr) == (6, IPv6Address("fd00::1"), IPv6Address("fd00::2"))
    assert (state.proto, state.mode, state.state) == ("99", "77", "9")
    assert state.encap == Encap("espinudp", 4500, 1)
    assert state.algorithms == (("enc", "cbc(aes)", 128, 0), ("auth", "hmac(sha256)", 256, 128))


class RawSelector(ctypes.Structure):
    """struct xfrm_selector (include/uapi/linux/xfrm.h); ports in network order."""

    _fields_ = (
        ("daddr", Sixteen),
        ("saddr", Sixteen),
        ("dport", ctypes.c_uint16),
        ("dport_mask", ctypes.c_uint16),
        ("sport", ctypes.c_uint16),
        ("sport_mask", ctypes.c_uint16),
        ("family", ctypes.c_uint16),
        ("prefixlen_d", ctypes.c_uint8),
        ("prefixlen_s", ctypes.c_uint8),
        ("proto", ctypes.c_uint8),
        ("ifindex", ctypes.c_int32),
        ("user", ctypes.c_uint32),
    )


def selector_of(decoder: wire.Decoder, selector: RawSelector, family: int) -> Selector:
    raw = bytes_of(ctypes.c_uint8 * 56, bytes(selector))
    decoder.feed(bytes(whole_state(selector=raw, family=family)))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert note.state is not None
    assert note.state.selector is not None
    return note.state.selector


def test_selector(decoder: wire.Decoder) -> None:
    raw = RawSelector(
        saddr=bytes_of(Sixteen, b"\x0a\x09\x00\x00"),
        daddr=bytes_of(Sixteen, b"\x0a\x08\x00\x02"),
        prefixlen_s=24,
        prefixlen_d=32,
        dport=htons(5000),
        dport_mask=0xFFFF,
        sport=htons(4096),
        sport_mask=htons(0xF000),
        family=int(AF_INET),
        proto=17,
        ifindex=5,
    )
    assert selector_of(decoder, raw, int(AF_INET)) == Selector(
        family=4,
        saddr=IPv4Address("10.9.0.0"),
        prefixlen_s=24,
        daddr=IPv4Address("10.8.0.2"),
        prefixlen_d=32,
        proto=17,
        sport=4096,
        sport_mask=0xF000,
        dport=5000,
        dport_mask=0xFFFF,
        ifindex=5,
    )


def test_selector_for_anything(decoder: wire.Decoder) -> None:
    assert selector_of(decoder, RawSelector(), int(AF_INET)) == Selector()


def test_selector_without_family_is_of_the_states_family(decoder: wire.Decoder) -> None:
    """An SA that is being negotiated has such a selector (net/xfrm/xfrm_state.c, xfrm_init_tempstate)."""
    raw = RawSelector(saddr=bytes_of(Sixteen, b"\x0a\x09\x00\x01"), prefixlen_s=32)
    found = selector_of(decoder, raw, int(AF_INET))
    assert (found.family, found.saddr, found.daddr) == (0, IPv4Address("10.9.0.1"), None)


@pytest.mark.parametrize(
    ("audit", "words", "spi", "seq"),
    [
        (0, set(), None, None),
        (1, frozenset({"icvfail"}), None, None),
        (2, frozenset({"notfound"}), 0xDEADBEEF, 0x01020304),
        (4, frozenset({"replay"}), None, 0x01020304),
        (7, frozenset({"icvfail", "notfound", "replay"}), 0xDEADBEEF, 0x01020304),
    ],
)
def test_what_the_audit_calls_say(
    decoder: wire.Decoder, audit: int, words: frozenset[str], spi: int | None, seq: int | None
) -> None:
    record = xfrm_record(audit=audit)
    record.spi_seen[:], record.seq_seen[:] = b"\xde\xad\xbe\xef", b"\1\2\3\4"
    decoder.feed(bytes(record))
    note = fed(decoder, drop_record()).xfrm
    assert note is not None
    assert (note.audit, note.spi, note.seq, note.state) == (words, spi, seq, None)


def test_deaths_on_two_processors_mix(decoder: wire.Decoder) -> None:
    decoder.feed(bytes(xfrm_record(NOW, 1, audit=1)))
    decoder.feed(bytes(xfrm_record(NOW, 2, audit=2)))
    decoder.feed(bytes(xfrm_record(NOW + 1, 1, audit=4)))
    plain = fed(decoder, drop_record(NOW, 3))
    notes = [fed(decoder, drop_record(NOW + later, skb)).xfrm for later, skb in ((0, 2), (1, 1), (0, 1))]
    assert plain.xfrm is None
    assert [set(note.audit) for note in notes if note] == [{"notfound"}, {"replay"}, {"icvfail"}]


@pytest.mark.parametrize(("later_ns", "skb"), [(1, SKB), (10**9 + 1, SKB), (0, SKB + 256), (10**12, SKB)])
def test_a_note_whose_drop_was_lost_goes_with_no_other_death(
    decoder: wire.Decoder, later_ns: int, skb: int
) -> None:
    decoder.feed(bytes(xfrm_record()))
    assert fed(decoder, drop_record(NOW + later_ns, skb)).xfrm is None


def test_a_note_is_used_once(decoder: wire.Decoder) -> None:
    decoder.feed(bytes(xfrm_record()))
    assert fed(decoder, drop_record()).xfrm is not None
    assert fed(decoder, drop_record()).xfrm is None


def test_notes_of_lost_drops_do_not_pile_up(decoder: wire.Decoder) -> None:
    for n in range(100):
        decoder.feed(bytes(xfrm_record(NOW + n)))
    fed(decoder, drop_record(NOW + 2 * 10**9))
    assert decoder._before == {}


@pytest.mark.parametrize("record", [drop_record(), xfrm_record()], ids=["drop", "xfrm"])
@pytest.mark.parametrize("change", [-8, 8])
def test_a_record_of_another_size_is_refused(
    decoder: wire.Decoder, record: drop.DropRecord | ipsec.XfrmRecord, change: int
) -> None:
    changed = type(record).from_buffer_copy(record)
    changed.header.size += change
    with pytest.raises(ValueError, match=r"has \d+ bytes"):
        decoder.feed(bytes(changed) + bytes(max(change, 0)))


@pytest.mark.parametrize("record", [drop_record(), xfrm_record()], ids=["drop", "xfrm"])
@pytest.mark.parametrize("length", [0, 8, 23, 24, 100, -1])
def test_a_record_cut_short_is_refused(
    decoder: wire.Decoder, record: drop.DropRecord | ipsec.XfrmRecord, length: int
) -> None:
    with pytest.raises(ValueError, match=r"bytes|small"):
        decoder.feed(bytes(record)[:length])


def test_a_ring_buffer_pads_records_and_that_is_fine(decoder: wire.Decoder) -> None:
    assert decoder.feed(bytes(drop_record()) + bytes(16)) is not None


@pytest.mark.parametrize("kind", [0, 99, 0xFFFFFFFF])
def test_a_record_of_unknown_type_is_refused(decoder: wire.Decoder, kind: int) -> None:
    record = drop_record()
    record.header.type = kind
    with pytest.raises(ValueError, match="unknown type"):
        decoder.feed(bytes(record))


def test_a_row_says_what_it_can_by_itself(decoder: wire.Decoder) -> None:
    row = drop.Row(location=7, reason=77, netns=4026532234, ifindex=3, protocol=0x86DD, is_carrier=1)
    event = drop.event_of_row(bytes(row))
    assert (event.location, event.reason, event.netns, event.ifindex) == (7, 77, 4026532234, 3)
    assert (event.protocol, event.carrier, event.row, event.source) == (0x86DD, True, bytes(row), "kfree_skb")
    row.reason = 0xFFFFFFFF
    assert drop.event_of_row(bytes(row)).reason is None
    record = drop_record(row=row)
    assert fed(decoder, record).row == bytes(row)
    assert fed(decoder, drop_record()).row == b""
