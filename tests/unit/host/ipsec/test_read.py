"""The reader, against what Linux 6.1 answered for eight SAs and four policies, and against answers that go wrong."""

import itertools
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dropwatch.host import netlink
from dropwatch.host.ipsec import read
from dropwatch.host.ipsec.decode import state_of
from dropwatch.host.ipsec.text import policy_line, state_line
from dropwatch.host.netns.netns import own_inode
from dropwatch.model.ipsec import Encap, XfrmState
from tests.unit.host.netlink_socket import Kernel, Piece, Pieces, done, message

DUMPS = Path(__file__).parents[2] / "data" / "xfrm-dumps-6.1.txt"
GETSA, NEWSA, GETPOLICY = 0x12, 0x10, 0x15
KEY = b"\x4b" * 16

STATES = [
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001006 reqid 0 mode beet "
    "aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV sel src 10.1.0.1/32 dst 10.1.0.2/32",
    "src 10.9.0.1 dst 10.9.0.2 proto comp spi 0x00001005 reqid 0 mode tunnel comp deflate",
    "src 10.9.0.1 dst 10.9.0.2 proto 4 spi 0x0a090001 reqid 0 mode tunnel",
    "src 10.9.0.1 dst 10.9.0.2 proto ah spi 0x00001004 reqid 0 mode transport "
    "auth-trunc hmac(sha1) 160-bit key 96-bit ICV",
    "src 10.9.0.1 dst 10.9.0.3 proto esp spi 0x00001003 reqid 0 mode tunnel "
    "aead rfc4106(gcm(aes)) 160-bit key 96-bit ICV encap type espinudp sport 4500 dport 4501",
    "src fc00::1 dst fc00::2 proto esp spi 0xdeadbeef reqid 3 mode tunnel replay-window 128 flag esn "
    "aead rfc4106(gcm(aes)) 160-bit key 64-bit ICV",
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001002 reqid 2 mode tunnel replay-window 32 mark 0x5/0xff "
    "auth-trunc hmac(sha256) 256-bit key 128-bit ICV enc cbc(aes) 128-bit key if_id 0x7 "
    "sel src 192.168.1.0/24 dst 192.168.2.0/24 proto udp dport 5000",
    "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport "
    "aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV",
]
POLICIES = [
    "src 10.1.0.0/16 dst 10.3.0.0/16 dir in priority 0 "
    "tmpl src 1.2.3.4 dst 1.2.3.5 proto comp reqid 9 mode tunnel level use "
    "tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 9 mode transport",
    "src ::/0 dst fc00::/7 proto icmp type 8 code 0 dir fwd action block priority 0",
    "src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 7 mark 0x5/0xff "
    "tmpl src fc00::1 dst fc00::2 proto esp spi 0x00000099 reqid 1 mode tunnel if_id 0x9",
    "src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 5000 dir in priority 0 "
    "tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 1 mode transport",
]


def as_asked(piece: bytes) -> Callable[[int], bytes]:
    """A recorded piece with the sequence number of the request in each message."""

    def made(sequence: int) -> bytes:
        found, start = bytearray(piece), 0
        while start < len(found):
            struct.pack_into("=I", found, start + 8, sequence)
            start += (struct.unpack_from("=I", found, start)[0] + 3) & ~3
        return bytes(found)

    return made


def recorded() -> dict[int, list[bytes]]:
    blocks = DUMPS.read_text().split("\n\n")[1:]
    pieces = [bytes.fromhex(block) for block in blocks]
    return {GETSA: pieces[:2], GETPOLICY: pieces[2:]}


Answer = Callable[[dict[int, list[bytes]]], None]


@pytest.fixture
def answer(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Makes the kernel answer each request with these recorded pieces."""
    monkeypatch.setattr(read, "_interface_is_loaded", lambda: True)

    def use(pieces: dict[int, list[bytes]]) -> None:
        def answers(request: int) -> Pieces:
            return [Piece(as_asked(piece)) for piece in pieces[request]]

        kernel.answers(answers)

    return use


def states() -> dict[int, XfrmState]:
    return {state.spi: state for state in read.read_config(own_inode()).states}


def test_every_sa_and_policy_is_read(answer: Answer) -> None:
    answer(recorded())
    config = read.read_config(own_inode())
    assert [state_line(state) for state in config.states] == STATES
    assert [policy_line(policy) for policy in config.policies] == POLICIES


def test_what_the_line_does_not_show_is_read_too(answer: Answer) -> None:
    answer(recorded())
    found = states()
    wide, narrow = found[0xDEADBEEF], found[0x1001]
    assert (wide.family, wide.esn, wide.replay_window, wide.state) == (6, True, 128, None)
    assert wide.direction is None
    lifetime = wide.lifetime
    assert (lifetime.hard_bytes, lifetime.hard_packets) == (1_000_000, 77)
    assert (lifetime.hard_add_seconds, lifetime.hard_use_seconds) == (3600, None)
    assert (lifetime.soft_bytes, lifetime.soft_packets, lifetime.packets) == (None, None, 0)
    assert wide.selector is not None
    assert narrow.selector is not None
    assert (wide.selector.family, narrow.selector.family) == (0, 4)
    assert narrow.lifetime.add_time > 0
    assert found[0x1003].encap == Encap("espinudp", 4500, 4501)


@pytest.mark.parametrize(
    ("attribute", "answered", "seq", "oseq"),
    [
        (10, (3, 9, 0), 9, 3),
        (23, (4, 3, 9, 1, 2, 128, 0, 0, 0, 0), 2 << 32 | 9, 1 << 32 | 3),
    ],
)
def test_sequence_numbers_are_as_wide_as_the_sa_counts(
    answer: Answer, attribute: int, answered: tuple[int, ...], seq: int, oseq: int
) -> None:
    """struct xfrm_replay_state: oseq, seq, bitmap; _esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window, bmp."""
    pieces = recorded()
    head = struct.pack("=HH", 4 + 4 * len(answered), attribute)
    place = pieces[GETSA][0].index(head + (b"" if attribute == 23 else bytes(12)))
    body = struct.pack(f"={len(answered)}I", *answered)
    pieces[GETSA][0] = pieces[GETSA][0][: place + 4] + body + pieces[GETSA][0][place + 4 + len(body) :]
    answer(pieces)
    assert (seq, oseq) in {(state.seq, state.oseq) for state in states().values()}


def test_no_key_survives(answer: Answer, kernel: Kernel) -> None:
    answer(recorded())
    config = read.read_config(own_inode())
    assert KEY in kernel.sockets[0].most_seen
    assert not any(KEY in connection.buffer for connection in kernel.sockets)
    assert "4b4b" not in repr(config)
    assert "KKKK" not in repr(config)
    assert all(connection.closed for connection in kernel.sockets)


def test_keys_are_gone_before_anything_is_decoded(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(message: memoryview) -> XfrmState:
        seen.append(KEY in bytes(message))
        return state_of(message)

    monkeypatch.setattr("dropwatch.host.ipsec.read.state_of", watched)
    answer(recorded())
    read.read_config(own_inode())
    assert seen == [False] * len(STATES)


def test_the_answer_is_as_old_as_its_beginning(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    answer(recorded())
    assert read.read_config(own_inode()).read_at_ns == 100


@pytest.mark.parametrize("body", [bytes(100), b""])
def test_an_answer_that_is_shorter_than_its_abi(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(read, "_interface_is_loaded", lambda: True)
    kernel.answers([message(NEWSA, body), done()])
    with pytest.raises(OSError, match="cannot be read"):
        read.read_config(own_inode())


def netlink_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocols: list[int]) -> None:
    table = tmp_path / "netlink"
    table.write_text("sk Eth Pid\n" + "".join(f"0000 {number} 0 00000000\n" for number in protocols))
    monkeypatch.setattr(read, "_NETLINK_TABLE", table)
    monkeypatch.setattr(read, "_PFKEY_TABLE", tmp_path / "pfkey")
    monkeypatch.setattr(
        netlink, "_open", lambda protocol: pytest.fail("opened a socket, which loads the module")
    )


def test_a_kernel_without_the_interface_is_left_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netlink_table(monkeypatch, tmp_path, [0, 9, 16])
    config = read.read_config(1)
    assert (config.states, config.policies) == ((), ())


def test_sas_set_by_pf_key_are_not_mistaken_for_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netlink_table(monkeypatch, tmp_path, [0])
    (tmp_path / "pfkey").touch()
    with pytest.raises(OSError, match="PF_KEY"):
        read.read_config(1)


def test_the_interface_is_seen_when_it_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netlink_table(monkeypatch, tmp_path, [0, 6])
    assert read._interface_is_loaded()
