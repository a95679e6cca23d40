"""Sends that the kernel may refuse, and what one end of the road loses while they go on."""

import errno
import json
import os
import socket
import subprocess
from pathlib import Path

from scenarios import traffic
from scenarios.namespaces import Namespace
from scenarios.tallies import counters, died_in
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PROBE = 10, 23, 3  # linux/in.h, linux/in6.h
NETLINK_XFRM, ACQUIRES = 6, 1  # linux/netlink.h, linux/xfrm.h


class Losses:
    """Counts from its making on what dies in one namespace."""

    def __init__(self, end: Namespace, whydrop: Whydrop) -> None:
        self._end = end
        self._whydrop = whydrop
        self._first = len(whydrop.lines())
        self._before = counters(end)

    def deaths(self, count: int, port: int | None = None) -> list[Line]:
        """The findings since it was made, `count` of them; with a port only those to it."""
        try:
            eventually(lambda: len(self.found(port)) >= count, f"{count} findings")
        except AssertionError:
            raise AssertionError(f"not {count}: {shown(self.found())}") from None
        found = self.found(port)
        assert len(found) == count, f"not {count}: {shown(found)}"
        return found

    def found(self, port: int | None = None) -> list[Line]:
        lines = self._whydrop.lines()[self._first :]
        here = [line for line in lines if died_in(self._end, line)]
        return [line for line in here if port in (None, line["packet"]["dport"])]

    def rose(self) -> dict[str, int]:
        """Those counters of /proc/net/xfrm_stat that rose since it was made, and by how much."""
        now = counters(self._end)
        return {
            name: value - self._before[name] for name, value in now.items() if value != self._before[name]
        }


def told(
    end: Namespace, ends: tuple[str, str], port: int, count: int, *, size: int = 21, probe: bool = False
) -> list[str]:
    """Send UDP datagrams; `sent`, or the name of the error, for each. `probe`: never cut, whatever the path takes."""
    source, target = ends
    with traffic.open_socket(end, traffic.family_of(target), socket.SOCK_DGRAM) as sender:
        if probe and ":" in target:
            sender.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PROBE)
        elif probe:
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
        sender.bind((source, 0))
        return [_outcome(sender, bytes(size), (target, port)) for _ in range(count)]


def connected(end: Namespace, address: str, port: int) -> str:
    """Open a TCP connection; `sent`, or the name of the error."""
    with traffic.open_socket(end, traffic.family_of(address), socket.SOCK_STREAM) as caller:
        number = caller.connect_ex((address, port))
    return errno.errorcode.get(number, "sent")


def listener(end: Namespace) -> socket.socket:
    """It is told of the kernel's requests for SAs and answers none, as an IKE daemon whose peer is silent."""
    with end.entered():
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    made.bind((0, ACQUIRES))
    return made


def probes_follow(modules: str, *functions: str) -> None:
    """Load the modules; whydrop, which runs, gets its probes for them, and for IPsec itself, a moment later."""
    subprocess.run(["modprobe", "-a", "xfrm_user", *modules.split()], check=True)
    wanted = {"xfrm_lookup_with_ifid", *functions}
    eventually(lambda: probed() >= wanted, f"whydrop has probes in {wanted}")


def by_this_process(found: list[Line]) -> None:
    for line in found:
        assert (line["process"] or {}).get("pid") == os.getpid(), shown([line])


def shown(found: list[Line]) -> str:
    return "\n".join(["these:", *(json.dumps(line) for line in found[-6:])])


def probed() -> set[str]:
    """The functions whose entry has a kprobe, somebody's. A return's comes before it."""
    lines = Path("/sys/kernel/debug/kprobes/list").read_text().splitlines()
    return {function.partition("+")[0] for _, kind, function, *_ in map(str.split, lines) if kind == "k"}


def _outcome(sender: socket.socket, data: bytes, address: tuple[str, int]) -> str:
    try:
        sender.sendto(data, address)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "sent"
