"""Which end lacks a key of TCP-MD5: by the kernel's reason, and where it gives none by the segment and the keys."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.sockets import Md5Key, PortSocket, PortSockets
from dropwatch.model.drop import Drop, Frame, Where
from tests.unit.told_host import ToldHost

SIGNED = bytes((19, 18)) + bytes(16) + bytes((1, 1))
FOR_PEER, FOR_ANOTHER = Md5Key(ip_address("10.9.0.0"), 24), Md5Key(ip_address("10.7.0.1"), 32)


def listener(*keys: Md5Key, since_ns: int = 0) -> PortSocket:
    return PortSocket(ip_address("0.0.0.0"), None, 0, 0, False, 4711, 7, since_ns, keys=keys)


@pytest.fixture
def died(
    make_drop: Callable[..., Drop], make_event: Callable[..., Any], make_packet: Callable[..., Any]
) -> Callable[..., Drop]:
    def build(reason: str | None, *, signed: bool = False, options: bytes = b"") -> Drop:
        options = SIGNED if signed else options
        tcp = bytes.fromhex("9c4000b3000000010000000000000000") + bytes(4) + options
        tcp = tcp[:12] + bytes(((5 + len(options) // 4) << 4, 2)) + tcp[14:]
        addresses = ip_address("10.9.0.1").packed + ip_address("10.9.0.2").packed
        data = (
            b"\x45\0"
            + (20 + len(tcp)).to_bytes(2, "big")
            + bytes((0, 1, 0, 0, 64, 6, 0, 0))
            + addresses
            + tcp
        )
        packet = make_packet(
            proto="tcp",
            saddr=ip_address("10.9.0.1"),
            daddr=ip_address("10.9.0.2"),
            sport=40000,
            dport=179,
            tcp_flags="S",
            length=1000,
        )
        frame = Frame("tcp_v4_rcv", 1, None, 0)
        drop = make_drop(packet=packet, event=make_event(packet=data, protocol=0x0800), reason=reason)
        return replace(drop, where=Where(frame, None, None), stack=(frame,))

    return build


def judged(drop: Drop, *sockets: PortSocket) -> tuple[str, str, str, bool]:
    host = ToldHost(connections_at=PortSockets(), sockets_at=PortSockets(sockets, len(sockets)))
    cause, verdict = diagnose(drop, host)
    named = verdict.culprit is not None
    return (cause.id if cause is not None else "unknown"), verdict.confidence, verdict.evidence[0].text, named


@pytest.mark.parametrize(
    ("reason", "keys", "cause", "words"),
    [
        ("TCP_MD5NOTFOUND", (FOR_PEER,), "tcp.md5-missing", "has a key of TCP-MD5 for 10.9.0.0/24"),
        ("TCP_MD5UNEXPECTED", (), "tcp.md5-unexpected", "has no key of TCP-MD5"),
        ("TCP_MD5UNEXPECTED", (FOR_ANOTHER,), "tcp.md5-unexpected", "for 10.7.0.1/32, and none for 10.9.0.1"),
        ("TCP_MD5FAILURE", (FOR_PEER,), "tcp.md5-wrong", "has a key of TCP-MD5 for 10.9.0.0/24"),
    ],
)
def test_the_kernel_says_which(
    died: Callable[..., Drop], reason: str, keys: tuple[Md5Key, ...], cause: str, words: str
) -> None:
    found = judged(died(reason), listener(*keys))
    assert found[:2] == (cause, "certain")
    assert words in found[2]
    assert found[3]  # it was there before the drop
    assert not judged(died(reason), listener(*keys, since_ns=1 << 62))[3]
    assert judged(died(reason))[:2] == (cause, "certain")  # nobody has the port by now


@pytest.mark.parametrize(
    ("signed", "keys", "cause"),
    [
        (False, (FOR_PEER,), "tcp.md5-missing"),
        (True, (FOR_ANOTHER,), "tcp.md5-unexpected"),
        (True, (FOR_PEER,), "tcp.md5-wrong"),
    ],
)
def test_a_kernel_without_reasons(
    died: Callable[..., Drop], signed: bool, keys: tuple[Md5Key, ...], cause: str
) -> None:
    assert judged(died(None, signed=signed), listener(*keys))[:2] == (cause, "likely")
    assert judged(died(None), listener())[0] not in ("tcp.md5-missing", "tcp.md5-unexpected", "tcp.md5-wrong")


AO = bytes((29, 16, 5, 7)) + bytes(12)


@pytest.mark.parametrize(
    ("reason", "options", "words"),
    [
        ("TCP_AONOTFOUND", b"", ("not signed with TCP-AO", "has a key of TCP-AO for the sender")),
        ("TCP_AOUNEXPECTED", AO, ("signed with key id 5, a signature of 12 bytes", "has no key of TCP-AO")),
        ("TCP_AOKEYNOTFOUND", AO, ("asks for key id 7", "no key of this id (RecvID)")),
        ("TCP_AOFAILURE", AO, ("signed with key id 5", "expects another signature")),
    ],
)
def test_what_of_tcp_ao_differs(
    died: Callable[..., Drop], reason: str, options: bytes, words: tuple[str, str]
) -> None:
    found = judged(died(reason, options=options), listener())
    assert found[:2] == ("tcp.ao-mismatch", "certain")
    assert all(word in found[2] for word in words)
    assert found[3]
    assert not judged(died(reason, options=options), listener(since_ns=1 << 62))[3]
    assert judged(died(reason, options=options))[:2] == ("tcp.ao-mismatch", "certain")


@pytest.mark.parametrize("options", [bytes((29, 3, 5, 0)), bytes((29, 40, 5, 7))])
def test_an_option_that_is_cut_off_has_no_key_id(died: Callable[..., Drop], options: bytes) -> None:
    """The kernel's word stands: it is signed."""
    words = judged(died("TCP_AOFAILURE", options=options), listener())[2]
    assert words.startswith("the segment is signed with TCP-AO; ")
