"""IPsec for many scenarios in one pair of namespaces: each has an SPI, a port and inner addresses of its own."""

import itertools
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scenarios.namespaces import Lab, Namespace
from scenarios.traffic import family_of, open_socket

if TYPE_CHECKING:
    from typing_extensions import Self


SO_RCVBUFFORCE = 33  # asm-generic/socket.h
KEYS: list[str] = []  # all that were ever made: none of them may be shown
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Way:
    """One direction, a to b, through one SA. Inner addresses equal the outer ones in transport mode.

    `state` and `policy` give lines for configure(); nothing is in the kernel before that.
    """

    lab: Lab
    mode: str
    proto: str
    outer: tuple[str, str]
    inner: tuple[str, str]
    spi: int
    port: int
    reqid: int

    @property
    def spi_text(self) -> str:
        return f"0x{self.spi:08x}"

    @property
    def identity(self) -> str:
        src, dst = self.outer
        return f"src {src} dst {dst} proto {self.proto} spi {self.spi:#x}"

    def state(self, algorithms: str, extra: str = "") -> str:
        src, dst = self.inner
        beet = f"sel src {src} dst {dst}" if self.mode == "beet" else ""
        return (
            f"xfrm state add {self.identity} reqid {self.reqid} mode {self.mode} {algorithms} {extra} {beet}"
        )

    def policy(self, direction: str, extra: str = "", selector: str = "") -> str:
        src, dst = self.inner
        ends = "" if self.mode == "transport" else "src {} dst {}".format(*self.outer)
        wanted = selector or f"src {src} dst {dst} proto udp dport {self.port}"
        template = f"tmpl {ends} proto {self.proto} reqid {self.reqid} mode {self.mode}"
        return f"xfrm policy add {wanted} dir {direction} {extra} {template}"

    def lead_in(self, algorithms: str, extra: str = "") -> None:
        """Let a send through the SA. Nothing is made at the other end."""
        self.lab.a.configure(self.state(algorithms, extra), self.policy("out"))

    def open(self, algorithms: str) -> None:
        """All that it takes at both ends, done right."""
        self.lead_in(algorithms)
        self.lab.b.configure(self.state(algorithms), self.policy("in"))

    def send(self, count: int, size: int = 21) -> None:
        """UDP datagrams of so many bytes from a to b's inner address, handed to the stack before it returns."""
        with open_socket(self.lab.a, family_of(self.inner[0]), socket.SOCK_DGRAM) as sender:
            sender.bind((self.inner[0], 0))
            for _ in range(count):
                sender.sendto(bytes(size), (self.inner[1], self.port))

    @contextmanager
    def read(self) -> Iterator["Reader"]:
        """A reader on the port in b."""
        with open_socket(self.lab.b, family_of(self.inner[1]), socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
            made.bind((self.inner[1], self.port))
            yield Reader(made)

    def but(self, **changes: object) -> "Self":
        """The same way with something else about it, to be configured at one of the ends."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Reader:
    """A socket that has room for all that a scenario sends."""

    made: socket.socket

    def take(self, count: int) -> None:
        self.made.settimeout(60)
        for _ in range(count):
            self.made.recv(1 << 16)


@dataclass(frozen=True)
class Use:
    """What `ip -s xfrm state` shows of one SA: its traffic, and the packets that failed in three ways."""

    packets: int
    too_old: int
    replayed: int
    failed: int


def gcm() -> str:
    return f"aead rfc4106(gcm(aes)) {key(36)} 96"


def cbc_sha256(cipher_key: str) -> str:
    return f"auth-trunc hmac(sha256) {key(32)} 128 enc cbc(aes) {cipher_key}"


def cbc() -> str:
    return f"enc cbc(aes) {key(32)}"


def sha256() -> str:
    """For AH."""
    return f"auth-trunc hmac(sha256) {key(32)} 96"


def way(lab: Lab, family: int = 4, mode: str = "transport", proto: str = "esp") -> Way:
    """A way that nobody else has; its inner addresses are there when this returns."""
    number = next(_NUMBERS)
    outer = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    inner = outer
    if mode != "transport":
        inner = (f"172.21.{number}.1", f"172.21.{number}.2")
        if family == 6:
            inner = (f"fd21:{number:x}::1", f"fd21:{number:x}::2")
        length = 32 if family == 4 else "128 nodad"
        prefix = 32 if family == 4 else 128
        for end, own, other, gateway in ((lab.a, *inner, outer[1]), (lab.b, *inner[::-1], outer[0])):
            end.configure(
                f"address add {own}/{length} dev lo",
                f"route add {other}/{prefix} via {gateway} src {own}",
            )
    spi = 0x7A10 + 0x13 * number if proto == "comp" else 0xC3570000 + 0x101 * number
    return Way(lab, mode, proto, outer, inner, spi, 5300 + number, 70000 + 3 * number)


def key(size: int) -> str:
    made = secrets.token_hex(size)
    KEYS.append(made)
    return f"0x{made}"


def use(end: Namespace, wanted: Way) -> Use:
    text = _listed(end, wanted).stdout.split("lifetime current:")[1]
    words = text.replace("(packets)", "").replace("\n", " ").split()
    shown = {name: int(words[words.index(name) + 1]) for name in ("replay-window", "replay", "failed")}
    return Use(int(words[1]), shown["replay-window"], shown["replay"], shown["failed"])


def is_there(end: Namespace, wanted: Way) -> bool:
    return _listed(end, wanted).returncode == 0


def _listed(end: Namespace, wanted: Way) -> subprocess.CompletedProcess[str]:
    return end.run(f"ip -s xfrm state get {wanted.identity}", check=False)


def raw(end: Namespace, address: str, proto: int, body: bytes, count: int = 1) -> None:
    """Bare IP packets of this protocol."""
    with open_socket(end, family_of(address), socket.SOCK_RAW, proto) as sender:
        for _ in range(count):
            sender.sendto(body, (address, 0))


@contextmanager
def captured(end: Namespace, iface: str, family: int) -> Iterator[list[bytes]]:
    """The IP packets that leave through the interface inside the block, but for ICMPv6 (neighbour discovery goes past
    IPsec when it likes); the list is filled at its end."""
    kind = 0x0800 if family == 4 else 0x86DD
    own = {0, socket.IPPROTO_ICMPV6} if family == 6 else set()  # MLD has hop-by-hop options before it
    packets: list[bytes] = []
    with end.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
    with tap:
        tap.bind((iface, 0x0003))
        yield packets
        tap.setblocking(False)
        try:
            while True:
                packet, (_, protocol, direction, *_) = tap.recvfrom(1 << 16)
                if (protocol, direction) == (kind, socket.PACKET_OUTGOING) and packet[6] not in own:
                    packets.append(packet)
        except BlockingIOError:
            pass


@contextmanager
def in_one_burst(end: Namespace) -> Iterator[None]:
    """What is sent inside the block is held for a moment and leaves together."""
    end.run(f"tc qdisc add dev {end.iface} root netem delay 300ms")
    try:
        yield
    finally:
        end.run(f"tc qdisc delete dev {end.iface} root")
