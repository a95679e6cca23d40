"""The reader, against what Linux 6.1 answered for eight SAs and four policies, and against answers that go wrong."""

import errno
import socket
import struct
from pathlib import Path

import pytest

from dropwatch.host.ipsec import read
from dropwatch.host.ipsec.text import policy_line, state_line
from dropwatch.model.ipsec import Encap

DUMPS = Path(__file__).parents[2] / "data" / "xfrm-dumps-6.1.txt"
GETSA, GETPOLICY = 0x12, 0x15
DONE, ERROR = 3, 2
DUMP_INTR = 0x10
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


class FakeSocket:
    """Answers each request with the pieces for it; a piece is bytes, an errno, or (bytes, flags, port)."""

    def __init__(self, pieces) -> None:
        self.pieces = pieces
        self.answering = []
        self.buffer = None
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.closed = True

    def sendto(self, data, address) -> None:
        length, request, flags, sequence, _ = struct.unpack_from("=IHHII", data)
        assert (length, flags, sequence, address) == (len(data), 0x301, request, (0, 0))
        self.answering = list(self.pieces[request])

    def recvmsg_into(self, buffers):
        piece = self.answering.pop(0)
        if isinstance(piece, int):
            raise OSError(piece, "from the kernel")
        data, flags, port = piece if isinstance(piece, tuple) else (piece, 0, 0)
        (self.buffer,) = buffers
        self.buffer[: len(data)] = data
        return len(data), [], flags, (port, 0)


def recorded():
    blocks = DUMPS.read_text().split("\n\n")[1:]
    pieces = [bytes.fromhex(block) for block in blocks]
    return {GETSA: pieces[:2], GETPOLICY: pieces[2:]}


def message(kind, body=b"", sequence=GETSA, flags=2):
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def done(sequence, error=0):
    return message(DONE, struct.pack("=i", error), sequence)


EMPTY = {GETSA: [done(GETSA)], GETPOLICY: [done(GETPOLICY)]}


@pytest.fixture
def answer(monkeypatch):
    """Makes the reader meet these sockets, one after the other."""

    def use(*answers):
        sockets = [FakeSocket(pieces) for pieces in answers]
        waiting = list(sockets)
        monkeypatch.setattr(read, "_interface_is_loaded", lambda: True)
        monkeypatch.setattr(read, "_connection", lambda inode: waiting.pop(0))
        return sockets

    return use


def test_every_sa_and_policy_is_read(answer) -> None:
    answer(recorded())
    config = read.read_config(1)
    assert [state_line(state) for state in config.states] == STATES
    assert [policy_line(policy) for policy in config.policies] == POLICIES


def test_what_the_line_does_not_show_is_read_too(answer) -> None:
    answer(recorded())
    states = {state.spi: state for state in read.read_config(1).states}
    wide = states[0xDEADBEEF]
    assert (wide.family, wide.esn, wide.replay_window, wide.state, wide.direction) == (
        6,
        True,
        128,
        None,
        None,
    )
    assert (wide.lifetime.hard_bytes, wide.lifetime.hard_packets) == (1_000_000, 77)
    assert (wide.lifetime.hard_add_seconds, wide.lifetime.hard_use_seconds) == (3600, None)
    assert (wide.lifetime.soft_bytes, wide.lifetime.soft_packets, wide.lifetime.packets) == (None, None, 0)
    assert wide.selector.family == 0
    assert states[0x1001].selector.family == 4
    assert states[0x1001].lifetime.add_time > 0
    assert states[0x1003].encap == Encap("espinudp", 4500, 4501)


@pytest.mark.parametrize(
    ("attribute", "answered", "seq", "oseq"),
    [
        (10, (3, 9, 0), 9, 3),
        (23, (4, 3, 9, 1, 2, 128, 0, 0, 0, 0), 2 << 32 | 9, 1 << 32 | 3),
    ],
)
def test_sequence_numbers_are_as_wide_as_the_sa_counts(answer, attribute, answered, seq, oseq) -> None:
    """struct xfrm_replay_state: oseq, seq, bitmap; _esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window, bmp."""
    pieces = recorded()
    head = struct.pack("=HH", 4 + 4 * len(answered), attribute)
    place = pieces[GETSA][0].index(head + (b"" if attribute == 23 else bytes(12)))
    body = struct.pack(f"={len(answered)}I", *answered)
    pieces[GETSA][0] = pieces[GETSA][0][: place + 4] + body + pieces[GETSA][0][place + 4 + len(body) :]
    answer(pieces)
    assert (seq, oseq) in {(state.seq, state.oseq) for state in read.read_config(1).states}


def test_no_key_survives(answer) -> None:
    assert KEY in recorded()[GETSA][0]
    (connection,) = answer(recorded())
    config = read.read_config(1)
    assert KEY not in connection.buffer
    assert "4b4b" not in repr(config)
    assert "KKKK" not in repr(config)
    assert connection.closed


def test_keys_are_gone_before_anything_is_decoded(answer, monkeypatch) -> None:
    decode = read.ANSWERS[0x10].decode
    seen = []

    def watched(self) -> None:
        start, end = self.offset, self.offset + struct.unpack_from("=I", self.data, self.offset)[0]
        seen.append(KEY in self.data[start:end])
        decode(self)

    monkeypatch.setattr(read.ANSWERS[0x10], "decode", watched)
    answer(recorded())
    read.read_config(1)
    assert seen == [False] * len(STATES)


def test_the_answer_is_as_old_as_its_beginning(answer, monkeypatch) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr(read.time, "monotonic_ns", lambda: next(clock))
    answer(EMPTY)
    assert read.read_config(1).read_at_ns == 100


def test_what_others_send_is_passed_over(answer) -> None:
    stranger = (message(0x10, bytes(400)), 0, 4711)
    old = message(0x10, bytes(400), sequence=99)
    answer({GETSA: [stranger, old + done(GETSA)], GETPOLICY: EMPTY[GETPOLICY]})
    assert read.read_config(1).states == ()


@pytest.mark.parametrize("first", [message(0x10, bytes(400), flags=2 | DUMP_INTR), errno.ENOBUFS])
def test_an_interrupted_dump_is_begun_again(answer, first) -> None:
    sockets = answer({GETSA: [first]}, recorded())
    assert len(read.read_config(1).states) == len(STATES)
    assert all(each.closed for each in sockets)


def test_a_dump_that_never_comes_to_rest_is_an_error(answer) -> None:
    answer(*[{GETSA: [errno.ENOBUFS]}] * 3)
    with pytest.raises(OSError, match="kept changing") as caught:
        read.read_config(1)
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize(
    ("piece", "number"),
    [
        (message(ERROR, struct.pack("=i", -errno.EPERM)), errno.EPERM),
        (done(GETSA, -errno.ENOMEM), errno.ENOMEM),
        (message(0x10, bytes(100)), errno.EBADMSG),
        (message(0x10, bytes(400))[:200], errno.EBADMSG),
        (struct.pack("=IHHII", 3, 0x10, 2, GETSA, 0), errno.EBADMSG),
        ((bytes(64), socket.MSG_TRUNC, 0), errno.EMSGSIZE),
        (errno.EACCES, errno.EACCES),
    ],
)
def test_what_goes_wrong_is_an_oserror_and_closes_the_socket(answer, piece, number) -> None:
    (connection,) = answer({GETSA: [piece]})
    with pytest.raises(OSError, match=rf"\[Errno {number}\]"):
        read.read_config(1)
    assert connection.closed


def netlink_table(monkeypatch, tmp_path, protocols) -> None:
    table = tmp_path / "netlink"
    table.write_text("sk Eth Pid\n" + "".join(f"0000 {number} 0 00000000\n" for number in protocols))
    monkeypatch.setattr(read, "_NETLINK_TABLE", table)
    monkeypatch.setattr(read, "_PFKEY_TABLE", tmp_path / "pfkey")
    monkeypatch.setattr(
        read, "_connection", lambda inode: pytest.fail("opened a socket, which loads the module")
    )


def test_a_kernel_without_the_interface_is_left_without_it(monkeypatch, tmp_path) -> None:
    netlink_table(monkeypatch, tmp_path, [0, 9, 16])
    config = read.read_config(1)
    assert (config.states, config.policies) == ((), ())


def test_sas_set_by_pf_key_are_not_mistaken_for_none(monkeypatch, tmp_path) -> None:
    netlink_table(monkeypatch, tmp_path, [0])
    (tmp_path / "pfkey").touch()
    with pytest.raises(OSError, match="PF_KEY"):
        read.read_config(1)


def test_the_interface_is_seen_when_it_is_there(monkeypatch, tmp_path) -> None:
    netlink_table(monkeypatch, tmp_path, [0, 6])
    assert read._interface_is_loaded()
