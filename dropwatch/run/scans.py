"""Port scans: who tries many closed ports of this host and is refused at each has got what it asked for."""

from collections.abc import Iterator
from dataclasses import field, replace

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Evidence, Finding

PORT_SCAN = "benign.port-scan"
PORTS = 10  # so many closed ports, one after the other, are no program that looks for its server
_QUIET_NS = 1_000_000_000  # the next attempt of a scan comes sooner
_LONGEST_NS = 3_000_000_000  # nobody waits longer for a finding
_OVER_NS = 10_000_000_000  # a scan without an attempt for so long
_MOST_HELD = 4096

_Pair = tuple[int, object, object, object]  # netns inode, protocol, source and destination address


@dataclass(slots=True)
class _Attempts:
    """Of one host at another. `held` are not decided yet, or attempts of a scan that are to be told."""

    first_ns: int
    last_ns: int
    ports: set[int] = field(default_factory=set)
    held: list[Finding] = field(default_factory=list)
    is_scan: bool = False


class Scans:
    """Keeps attempts to reach closed ports until it is clear whether they are a scan. Times are the packets'."""

    def __init__(self) -> None:
        self._attempts: dict[_Pair, _Attempts] = {}
        self._held = 0

    def take(self, finding: Finding) -> None:
        """An is_attempt(); due() gives it back."""
        packet, now_ns = finding.drop.packet, finding.drop.event.monotonic_ns
        pair = (finding.drop.event.netns, packet.proto, packet.saddr, packet.daddr)
        attempts = self._attempts.setdefault(pair, _Attempts(now_ns, now_ns))
        attempts.last_ns = now_ns
        attempts.held.append(finding)
        self._held += 1
        if not attempts.is_scan and packet.dport is not None:
            attempts.ports.add(packet.dport)
            attempts.is_scan = len(attempts.ports) >= PORTS

    def due(self, now_ns: int | None) -> Iterator[Finding]:
        """What is decided at this time, the attempts of a scan with its cause; None: all there is."""
        everything = now_ns is None or self._held > _MOST_HELD
        for pair, attempts in list(self._attempts.items()):
            since_ns = now_ns - attempts.last_ns if now_ns is not None else 0
            longest_ns = now_ns - attempts.first_ns if now_ns is not None else 0
            if attempts.is_scan:
                over = everything or since_ns >= _OVER_NS
                yield from map(_of_scan, attempts.held)
            elif everything or since_ns >= _QUIET_NS or longest_ns >= _LONGEST_NS:
                over = True
                yield from attempts.held
            else:
                continue
            self._held -= len(attempts.held)
            attempts.held = []
            if over:
                del self._attempts[pair]


def is_attempt(finding: Finding) -> bool:
    """For a port that nobody has, and this host has said so, with a reset or a port unreachable: its sender knows."""
    notes = finding.drop.event.notes
    refused = {"socket.tcp-no-listener": "reset-sent", "socket.udp-no-listener": "refusal-sent"}
    return finding.confidence == "certain" and refused.get(finding.cause_id) in notes


def _of_scan(attempt: Finding) -> Finding:
    from dropwatch.causes import BY_ID  # imported with the judges, not when a run starts

    packet = attempt.drop.packet
    fact = f"{packet.saddr} tries {PORTS} or more closed ports of {packet.daddr}, one after the other"
    evidence = (Evidence("packets before and after it", fact), *attempt.evidence)
    return replace(
        attempt, cause_id=PORT_SCAN, title=BY_ID[PORT_SCAN].title, culprit=None, evidence=evidence, fix=()
    )
