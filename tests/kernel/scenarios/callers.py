"""One end of a TCP connection whose segments a scenario writes; its own kernel knows nothing of it, and is silent."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scenarios import traffic
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace

TIMESTAMPS = b"\x01\x01\x08\x0a"  # RFC 7323: two that say nothing, the kind, its length
SYN_ACK = traffic.SYN | traffic.ACK


def stamps(own: int, echoed: int) -> bytes:
    """The option of timestamps."""
    return TIMESTAMPS + struct.pack("!II", own, echoed % (1 << 32))


@dataclass
class Caller:
    """`seq` is what it sends next, `ack` what it expects, `echo` the last timestamp of the other end."""

    end: Namespace
    ends: tuple[str, str]
    ports: tuple[int, int]
    seq: int = 1_000_000
    ack: int = 0
    echo: int = 0

    def call(self, options: bytes = b"", data: bytes = b"") -> None:
        """A SYN and its answer."""
        with traffic.open_socket(
            self.end, traffic.family_of(self.ends[0]), socket.SOCK_RAW, socket.IPPROTO_TCP
        ) as reader:
            reader.settimeout(60)
            self.send(traffic.SYN, options=options, data=data)
            header = self._answer(reader)
        answered, self.seq = struct.unpack_from("!II", header, 4)
        self.ack = (answered + 1) % (1 << 32)
        if TIMESTAMPS[2:] in header[20:]:
            at = header.index(TIMESTAMPS[2:], 20) + 2
            (self.echo,) = struct.unpack_from("!I", header, at)

    def open(self, stamp: int | None = None) -> None:
        """A whole handshake; with a `stamp`, with timestamps."""
        self.call(b"" if stamp is None else stamps(stamp, 0))
        self.send(options=b"" if stamp is None else stamps(stamp, self.echo))

    def send(
        self,
        flags: int = traffic.ACK,
        *,
        ahead: int = 0,
        options: bytes = b"",
        data: bytes = b"",
        count: int = 1,
        step: int = 0,
    ) -> None:
        traffic.segments(
            self.end,
            self.ends,
            self.ports,
            flags,
            seq=self.seq + ahead,
            ack=self.ack,
            options=options,
            data=data,
            count=count,
            step=step,
        )

    def _answer(self, reader: socket.socket) -> bytes:
        """Its header of TCP; that of IP is there in IPv4 only."""
        while True:
            data = reader.recv(4096)
            header = data if ":" in self.ends[0] else data[(data[0] & 15) * 4 :]
            source, target, _, _, _, flags = struct.unpack_from("!HHIIBB", header)
            if (target, source) == self.ports and flags & SYN_ACK == SYN_ACK:
                return header


@contextmanager
def calling(lab: Lab, family: int, port: int, own: int = 40400) -> Iterator[Caller]:
    """From `lab.a`, whose kernel would answer what comes back with a reset."""
    rule = f"tcp sport {own} tcp flags & rst == rst drop"
    nft(lab.a, f"table inet silent {{ chain c {{ type filter hook output priority 0; {rule} }} }}")
    ends = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    yield Caller(lab.a, ends, (own, port))
