"""Expressions on packets: our machine says what libpcap's says, and what is known of a flow never contradicts it."""

import contextlib
import os
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dropwatch.errors import WrongUsage
from dropwatch.match.coverage import Flows, flows_of, joint
from dropwatch.match.expression import possible
from dropwatch.model.drop import Packet
from dropwatch.model.expression import Expression, Fact, Node, Not
from dropwatch.names import protocols
from dropwatch.packet.parse import parse
from dropwatch.pcap.libpcap import compile_expression
from dropwatch.pcap.machine import matches
from dropwatch.probe.programs.expression import translated
from dropwatch.wire.settings import FRAME_BYTES
from tests.unit.fuzz.expressions import DATA, EXPRESSIONS, FLOWS
from tests.unit.pcap.in_kernel import InKernel
from tests.unit.pcap.reference import matches_by_libpcap

LINK = bytes.fromhex("0200000000010200000000ff")


def compiled(text: str) -> Expression:
    """What rejects all packets, and what libpcap's optimizer cannot do, is no expression."""
    try:
        return compile_expression(text)
    except WrongUsage:
        assume(False)
        raise


def frame_of(data: bytes) -> bytes:
    kind = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4, 0x0806) if data else 0
    return LINK + kind.to_bytes(2, "big") + data


@given(EXPRESSIONS, DATA, st.integers(0, 300))
def test_the_machine_says_what_libpcap_says(text: str, data: bytes, more: int) -> None:
    expression, frame = compiled(text), frame_of(data)
    length = len(frame) + more
    assert matches(expression.program, frame, length) == matches_by_libpcap(expression.program, frame, length)


@pytest.fixture(scope="module")
def kernel() -> Iterator[InKernel]:
    if os.geteuid() != 0:
        pytest.skip("feature root: programs are loaded")
    with contextlib.closing(InKernel()) as found:
        yield found


@given(EXPRESSIONS, st.lists(DATA, min_size=1, max_size=8), st.integers(0, 300))
@example("len % 0x10000000 = 0 or len - 400 > 1", [b""], 2)
@example("len & 1 >= 0", [b""], 2)
def test_the_kernel_takes_the_translation_and_says_the_same(
    kernel: InKernel, text: str, packets: list[bytes], more: int
) -> None:
    expression = compiled(text)
    function = translated(expression.program)
    if function is None:
        assert "protochain" in text
        return
    with kernel.loaded(function) as program:
        for data in packets:
            frame = frame_of(data)[:FRAME_BYTES]
            length = len(frame) + more
            assert kernel.matches(program, frame, length) == matches(expression.program, frame, length)


def is_flow_only(node: Node) -> bool:
    if isinstance(node, Fact):
        return not node.rest
    return is_flow_only(node.part) if isinstance(node, Not) else all(map(is_flow_only, node.parts))


@given(EXPRESSIONS, DATA)
@example("port 53 or 50007 and not host 10.9.0.1 or 10.9.0.2", b"")
def test_what_fits_is_possible_and_among_the_flows(text: str, data: bytes) -> None:
    """Packets whose header libpcap reads as whydrop does: no extension headers, not cut off."""
    packet = parse(data, 0, 0, 0)
    assume(packet.header_error is None and packet.family is not None and is_plain(data, packet))
    expression = compiled(text)
    fits = matches(expression.program, frame_of(data), len(data) + 14)
    known = possible(expression.tree, packet)
    if fits:
        assert known is not False, expression.tree
        assert joint(flow_of(packet), flows_of(expression.tree)), expression.tree
    elif not packet.fragment_offset:
        assert known is not True, expression.tree


@given(FLOWS)
def test_what_only_asks_for_a_flow_is_understood(text: str) -> None:
    assume("ether" not in text)
    assert is_flow_only(compiled(text).tree), text


def is_plain(data: bytes, packet: Packet) -> bool:
    if packet.family == 4:
        return data[0] & 0xF >= 5
    return protocols.number(packet.proto or "") == data[6]


def flow_of(packet: Packet) -> tuple[Flows, ...]:
    one = Flows(packet.family or 0, protocols.number(packet.proto) if packet.proto else None)
    if packet.saddr is not None and packet.daddr is not None:
        one = Flows(one.family, one.proto, ip_network(packet.saddr), ip_network(packet.daddr))
    if packet.sport is None or packet.dport is None:
        return (one,)
    return joint((one,), (Flows(sport=(packet.sport, packet.sport), dport=(packet.dport, packet.dport)),))
