"""Many datagrams at once, and the kernel's own count of those that nobody wants."""

import json
import subprocess
import sys

from scenarios.namespaces import Namespace

FLOOD = """
import socket, sys
address, counts = sys.argv[1], {int(port): int(count) for port, count in zip(sys.argv[2::2], sys.argv[3::2])}
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for turn in range(100):  # so that the causes come mixed
        for port, count in counts.items():
            for _ in range(count * (turn + 1) // 100 - count * turn // 100):
                sender.sendto(b"datagram", (address, port))
"""


def flood(end: Namespace, address: str, counts: dict[int, int]) -> None:
    """So many to each of the ports, mixed."""
    subprocess.run(flood_command(end, address, counts), check=True)


def flood_command(end: Namespace, address: str, counts: dict[int, int]) -> list[str]:
    words = [str(word) for pair in counts.items() for word in pair]
    return ["ip", "netns", "exec", end.name, sys.executable, "-c", FLOOD, address, *words]


def no_ports(end: Namespace) -> int:
    shown = json.loads(end.run("nstat -asz --json UdpNoPorts").stdout)
    return int(shown["kernel"]["UdpNoPorts"])
