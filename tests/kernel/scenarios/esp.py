"""A real IPsec connection between the two ends of a lab, with what the scenario wants wrong with it."""

import socket
from dataclasses import dataclass

from scenarios.namespaces import Lab, Namespace

GOOD_KEY = "0x" + "11" * 20
OTHER_KEY = "0x" + "22" * 20
HMAC_KEY = "0x" + "33" * 32
OTHER_HMAC_KEY = "0x" + "44" * 32
CIPHER_KEY = "0x" + "55" * 16
PORT = 5000


@dataclass(frozen=True)
class Connection:
    """One direction, a to b. Inner addresses equal the outer ones in transport mode."""

    lab: Lab
    mode: str
    inner: tuple[str, str]
    outer: tuple[str, str]
    spi: int
    proto: str = "esp"
    selector: str = f"proto udp dport {PORT}"
    reqid: int = 1

    @property
    def spi_text(self) -> str:
        return f"0x{self.spi:08x}"

    @property
    def identity(self) -> str:
        src, dst = self.outer
        return f"src {src} dst {dst} proto {self.proto} spi {self.spi:#x}"

    def add_state(self, end: Namespace, algorithms: str, extra: str = "") -> None:
        end.run(f"ip xfrm state add {self.identity} reqid {self.reqid} mode {self.mode} {algorithms} {extra}")

    def add_policy(self, end: Namespace, direction: str) -> None:
        src, dst = self.inner
        ends = "src {} dst {}".format(*self.outer) if self.mode == "tunnel" else ""
        template = f"tmpl {ends} proto {self.proto} reqid {self.reqid} mode {self.mode}"
        end.run(f"ip xfrm policy add src {src} dst {dst} {self.selector} dir {direction} {template}")

    def add_policies(self) -> None:
        self.add_policy(self.lab.a, "out")
        self.add_policy(self.lab.b, "in")

    def send(self, count: int, port: int = PORT) -> None:
        send(self.lab.a, self.inner[1], count, port, source=self.inner[0])


def aead(key: str) -> str:
    return f"aead rfc4106(gcm(aes)) {key} 128"


def cbc_hmac(hmac_key: str) -> str:
    return f"auth-trunc hmac(sha256) {hmac_key} 128 enc cbc(aes) {CIPHER_KEY}"


def connection(lab: Lab, family: int, mode: str, spi: int, **more: object) -> Connection:
    """Addresses and routes for a connection; SAs and policies are the scenario's to add."""
    outer = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    inner = outer
    if mode == "tunnel":
        inner = ("10.8.0.1", "10.8.0.2") if family == 4 else ("fd08::1", "fd08::2")
        prefix = 32 if family == 4 else 128
        for end, own, other, gateway in ((lab.a, *inner, outer[1]), (lab.b, *inner[::-1], outer[0])):
            end.configure(
                f"address add {own}/{prefix} dev lo" + (" nodad" if family == 6 else ""),
                f"route add {other}/{prefix} via {gateway} src {own}",
            )
    return Connection(lab, mode, inner, outer, spi, **more)  # type: ignore[arg-type]


def send(end: Namespace, address: str, count: int, port: int = PORT, source: str | None = None) -> None:
    """UDP datagrams, all of them handed to the stack before it returns."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with end.entered():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender:
        if source:
            sender.bind((source, 0))
        for number in range(count):
            sender.sendto(f"datagram {number}".encode(), (address, port))
