"""A listener on an NFQUEUE: takes packets out of it, and says what becomes of them, when it is told to."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.namespaces import Namespace

NETLINK_NETFILTER = 12
QUEUE_SUBSYSTEM = 3 << 8
PACKET, VERDICT, CONFIG = 0, 1, 2  # linux/netfilter/nfnetlink_queue.h
CFG_CMD, CFG_PARAMS, CFG_MAXLEN = 1, 2, 3
PACKET_HDR, VERDICT_HDR = 1, 2
BIND, COPY_META = 1, 1
REQUEST, WITH_ACK = 1, 5
DROP, ACCEPT = 0, 1


class Listener:
    """Bound to the queue from its making on."""

    def __init__(self, talk: socket.socket, queue: int, maxlen: int) -> None:
        self._talk = talk
        self._queue = queue
        talk.settimeout(60)
        self._ask(CONFIG, _attribute(CFG_CMD, struct.pack("!BBH", BIND, 0, 0)))
        self._ask(CONFIG, _attribute(CFG_PARAMS, struct.pack("!IB", 0, COPY_META)))
        self._ask(CONFIG, _attribute(CFG_MAXLEN, struct.pack("!I", maxlen)))

    def take(self, count: int) -> list[int]:
        """The numbers of the next packets, as soon as so many have come."""
        taken: list[int] = []
        while len(taken) < count:
            message = self._talk.recv(1 << 16)
            if struct.unpack_from("=H", message, 4)[0] == QUEUE_SUBSYSTEM | PACKET:
                taken.append(_packet_number(message[20:]))
        return taken

    def judge(self, number: int, verdict: int) -> None:
        self._send(VERDICT, _attribute(VERDICT_HDR, struct.pack("!II", verdict, number)), REQUEST)

    def _ask(self, kind: int, attribute: bytes) -> None:
        self._send(kind, attribute, WITH_ACK)
        answer = self._talk.recv(1 << 16)
        error = struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(-error, "the queue cannot be set up")

    def _send(self, kind: int, attribute: bytes, flags: int) -> None:
        body = struct.pack("!BBH", 0, 0, self._queue) + attribute
        header = struct.pack("=IHHII", 16 + len(body), QUEUE_SUBSYSTEM | kind, flags, 1, 0)
        self._talk.send(header + body)


@contextmanager
def listening(end: Namespace, queue: int, maxlen: int = 1024) -> Iterator[Listener]:
    with end.entered():
        talk = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with talk:
        yield Listener(talk, queue, maxlen)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _packet_number(attributes: bytes) -> int:
    while attributes:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind & 0x7FFF == PACKET_HDR:
            return int(struct.unpack_from("!I", attributes, 4)[0])
        attributes = attributes[(length + 3) & ~3 :]
    raise AssertionError("a packet without a number")
