"""The packets whose price is asked: floods over a veth pair, through rules that let them pass or drop them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenarios.firewalls import legacy, load_modules, nft
from scenarios.namespaces import Lab, joined_pair

PORT = 5000  # and the next one, which ends a burst
BURST = 128  # flood.c: with that last one
BURSTS = 40
SOURCE = Path(__file__).with_name("flood.c")

# Nineteen rules that these packets do not match. No rule asks for the connection's state: nothing is tracked.
_NFT_OTHERS = "\n".join(
    [
        'iifname "lo" accept',
        "ip saddr 192.0.2.0/24 drop",
        "ip protocol icmp accept",
        "meta l4proto icmpv6 accept",
        *(f"tcp dport {port} accept" for port in (22, 25, 53, 80, 110, 143, 443, 993)),
        *(f"udp dport {port} accept" for port in (53, 67, 123, 500, 1900, 4500, 5353)),
    ]
)
_NFT = (
    "table inet filter {{ chain input {{ type filter hook input priority 0; policy drop;\n"
    + _NFT_OTHERS
    + "\n{last} }} }}"
)
_NFT_TRACKED = """
table inet filter {
  set blocked { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 } }
  chain services {
    tcp dport { 22, 25, 53, 80, 110, 143, 443, 993 } accept
    udp dport { 53, 67, 123, 500, 5000, 5001 } accept }
  chain input { type filter hook input priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname "lo" accept
    ip saddr @blocked drop
    meta l4proto { icmp, icmpv6 } accept
    jump services } }
"""
_LEGACY_OTHERS = "\n".join(
    [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -s 192.0.2.0/24 -j DROP",
        "-A INPUT -s 198.51.100.0/24 -j DROP",
        "-A INPUT -p icmp -j ACCEPT",
        *(f"-A INPUT -p tcp --dport {port} -j ACCEPT" for port in (22, 25, 53, 80, 110, 143, 443, 993)),
        *(f"-A INPUT -p udp --dport {port} -j ACCEPT" for port in (53, 67, 123, 500, 1900, 4500, 5353)),
    ]
)
_LEGACY = "*filter\n:INPUT DROP [0:0]\n" + _LEGACY_OTHERS + "\n{last}\n"


@dataclass(frozen=True)
class Workload:
    """One kind of packet and its road. Of `is_accepted` all must arrive, of the others none."""

    name: str
    lab: Lab
    is_accepted: bool
    has_socket: bool = True

    def flood(self, program: Path, bursts: int = BURSTS) -> float:
        """Microseconds for each packet. Raises RuntimeError when a packet did not go the way it should."""
        a, b = self.lab.a, self.lab.b
        words = [a.name, b.name, b.v4, str(PORT), str(bursts), str(int(self.has_socket))]
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr}")
        nanoseconds, sent, received = map(int, done.stdout.split())
        if received != (sent if self.is_accepted else 0):
            raise RuntimeError(f"{self.name}: {received} of {sent} arrived")
        return nanoseconds / sent / 1000


def compiled_flood(directory: Path) -> Path:
    program = directory / "flood"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, SOURCE], check=True)
    return program


@contextmanager
def workloads() -> Iterator[list[Workload]]:
    """All of them, each with a pair of namespaces of its own: nothing is changed between two floods."""
    load_modules()
    last = f"udp dport {PORT}-{PORT + 1}"
    with ExitStack() as stack:

        def pair() -> Lab:
            return stack.enter_context(joined_pair())

        open_road, closed_road, nft_road, tracked_road, legacy_road, nft_drop, legacy_drop = (
            pair() for _ in range(7)
        )
        nft(nft_road.b, _NFT.format(last=f"{last} accept"))
        nft(tracked_road.b, _NFT_TRACKED)
        nft(nft_drop.b, _NFT.format(last=f"udp dport {PORT} drop\nudp dport {PORT + 1} accept"))
        legacy_last = "-A INPUT -p udp --dport {ports} -j {target}"
        legacy(
            legacy_road.b,
            _LEGACY.format(last=legacy_last.format(ports=f"{PORT}:{PORT + 1}", target="ACCEPT")),
        )
        drop = legacy_last.format(ports=PORT, target="DROP")
        accept = legacy_last.format(ports=PORT + 1, target="ACCEPT")
        legacy(legacy_drop.b, _LEGACY.format(last=f"{drop}\n{accept}"))
        yield [
            Workload("accepted, no rules", open_road, True),
            Workload("accepted, 20 rules of nft", nft_road, True),
            Workload("accepted, nft with conntrack, sets, a jump", tracked_road, True),
            Workload("accepted, 20 rules of iptables-legacy", legacy_road, True),
            Workload("dropped, no socket", closed_road, False, has_socket=False),
            Workload("dropped, 20th rule of nft", nft_drop, False),
            Workload("dropped, 20th rule of iptables-legacy", legacy_drop, False),
        ]
