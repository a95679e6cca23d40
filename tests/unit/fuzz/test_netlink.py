"""Answers of the kernel are whole, but names, rules and SAs in them are anybody's."""

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.host import netlink
from dropwatch.host.counters.devices import device_of, qdisc_of
from dropwatch.host.ipsec.decode import policy_of, state_of
from dropwatch.host.ipsec.text import policy_line, state_line
from dropwatch.host.ipsec.vici import connections_of
from dropwatch.host.nft import kernel
from dropwatch.host.route import route_of
from dropwatch.names.foreign import foreign
from tests.unit.fuzz.changes import changed
from tests.unit.host.ipsec.test_read import DUMPS
from tests.unit.host.nft.structure import leading, looking, packed

NOT_READABLE = (struct.error, ValueError, LookupError)  # what netlink.py makes an OSError of
HEADER = 16


def recorded() -> list[bytes]:
    """The bodies of the recorded SAs and policies."""
    found = []
    for block in DUMPS.read_text().split("\n\n")[1:]:
        piece, start = bytes.fromhex(block), 0
        while start + HEADER <= len(piece):
            (length,) = struct.unpack_from("=I", piece, start)
            found.append(piece[start + HEADER : start + length])
            start += (length + 3) & ~3
    return found


ATTRIBUTES = st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=40))).map(
    lambda each: b"".join(netlink.attribute(*one) for one in each)
)
STEPS = packed(leading("jump", "a"), looking("m"), leading("goto", "b"))


@given(ATTRIBUTES | st.binary(max_size=200))
def test_attributes_end_where_they_do_not_fit(data: bytes) -> None:
    for _, start, end in netlink.spans(data):
        assert 0 <= start <= end <= len(data)
    assert sum(len(value) for value in netlink.attributes(data).values()) <= len(data)


@given(changed(recorded()) | st.binary(max_size=400))
def test_any_sa_or_policy_is_read_or_refused(data: bytes) -> None:
    with suppress(*NOT_READABLE):
        assert state_line(state_of(memoryview(bytearray(data)))).isprintable()
    with suppress(*NOT_READABLE):
        assert policy_line(policy_of(memoryview(bytearray(data)))).isprintable()


@given(st.integers(0, 9), ATTRIBUTES | st.binary(max_size=200))
def test_any_device_queue_or_route_is_read_or_refused(index: int, data: bytes) -> None:
    with suppress(*NOT_READABLE):
        assert device_of(index, netlink.attributes(data)).name.isprintable()
    with suppress(*NOT_READABLE):
        assert qdisc_of(bytes(20) + data).name.isprintable()
    with suppress(*NOT_READABLE):
        route_of(bytes(12) + data, lambda found: foreign(f"eth{found}"))


@given(changed([STEPS]) | ATTRIBUTES)
def test_any_rule_leads_somewhere_or_nowhere(steps: bytes) -> None:
    rule = kernel.Rule("c", 1, steps)
    for step in rule.expressions:
        assert isinstance(step.name, str)
    kernel.target(rule)
    kernel.verdict_maps(rule)


@given(st.binary(max_size=200) | ATTRIBUTES)
def test_any_user_data_has_notes_or_none(data: bytes) -> None:
    assert all(len(note) <= len(data) for note in kernel._user_data(data).values())


@given(
    changed([b"\x01\x01a\x01\x0achild-sas\x01\x01c\x03\x05reqid\x00\x011\x02\x02\x02"])
    | st.binary(max_size=100)
)
def test_any_answer_of_a_daemon_is_read_or_refused(message: bytes) -> None:
    with suppress(struct.error, ValueError, TypeError, IndexError):
        for one in connections_of(message):
            assert one.ike.isprintable()
            assert one.child.isprintable()
