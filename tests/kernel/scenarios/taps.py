"""An interface of b into which a scenario puts packets one by one, and whose packets GRO gathers on every kernel."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scenarios import traffic
from scenarios.namespaces import Lab

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NAPI, IFF_NO_PI = 0x0002, 0x0010, 0x1000  # linux/if_tun.h
KIND = {4: 0x0800, 6: 0x86DD}


@dataclass(frozen=True)
class Tap:
    """`ends` are addresses of a and b; what a sends to b's leaves through the interface `away` and goes nowhere."""

    ends: tuple[str, str]
    away: str
    _fd: int
    _hardware: bytes
    _family: int

    def receive(self, packet: bytes) -> None:
        """Let this IP packet come in at b."""
        os.write(self._fd, self._hardware + bytes(6) + struct.pack("!H", KIND[self._family]) + packet)


@contextmanager
def opened(lab: Lab, family: int) -> Iterator[Tap]:
    """Both interfaces are gone at the end."""
    ends, length = (("10.88.3.1", "10.88.3.2"), 24) if family == 4 else (("fd88:3::1", "fd88:3::2"), 64)
    own, away = f"tap{family}", f"away{family}"
    nodad = "nodad" if family == 6 else ""
    subprocess.run(["modprobe", "tun"], check=True)
    with lab.b.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", own.encode(), IFF_TAP | IFF_NAPI | IFF_NO_PI))
        lab.b.configure(f"address add {ends[1]}/{length} dev {own} {nodad}", f"link set {own} up")
        lab.a.configure(
            f"link add {away} type dummy",
            f"address add {ends[0]}/{length} dev {away} {nodad}",
            f"link set {away} up",
        )
        yield Tap(ends, away, fd, traffic.hardware_address(lab.b, own), family)
        lab.a.configure(f"link delete {away}")
    finally:
        os.close(fd)
