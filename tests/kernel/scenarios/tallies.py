"""What a namespace loses from a moment on: whydrop's findings beside the kernel's own counters of IPsec."""

import itertools
import json
import time
from collections import Counter
from pathlib import Path

from scenarios import traffic
from scenarios.namespaces import Lab, Namespace
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

GRACE = 5.0  # seconds that a finding may come after one of a later packet
_LAST_PORTS = itertools.count(9700)


class Tally:
    """Counts from its making on what dies in `lab.b`."""

    def __init__(self, lab: Lab, whydrop: Whydrop) -> None:
        self._lab = lab
        self._whydrop = whydrop
        self._first = len(whydrop.lines())
        self._before = counters(lab.b)
        self._ports: set[int] = set()

    def deaths(self, count: int) -> list[Line]:
        """All findings since it was made, `count` of them."""
        self.settle()
        deadline = time.monotonic() + GRACE
        while len(self.found()) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        found = self.found()
        assert len(found) == count, f"{len(found)} of {count}: {_shown(found)}"
        return found

    def settle(self) -> None:
        """Wait for the finding of a datagram that is sent now: those of what died before are there then."""
        port = next(_LAST_PORTS)
        self._ports.add(port)
        traffic.datagrams(self._lab.a, self._lab.b.v4, [port])
        eventually(lambda: any(_port(line) == port for line in self._here()), "the last datagram is found")

    def found(self) -> list[Line]:
        return [line for line in self._here() if _port(line) not in self._ports]

    def rose(self) -> dict[str, int]:
        """Those counters of /proc/net/xfrm_stat that rose since it was made, and by how much."""
        now = counters(self._lab.b)
        return {
            name: value - self._before[name] for name, value in now.items() if value != self._before[name]
        }

    def again(self) -> "Tally":
        """One that counts from now on."""
        return Tally(self._lab, self._whydrop)

    def _here(self) -> list[Line]:
        here = [line for line in self._whydrop.lines()[self._first :] if died_in(self._lab.b, line)]
        return [line for line in here if not _is_chatter(line)]


def died_in(end: Namespace, line: Line) -> bool:
    """By name: the kernel gives the inode number of a namespace that is gone to the next one."""
    return line.get("type") == "drop" and (line.get("netns") or {}).get("name") == end.name


def counters(end: Namespace) -> dict[str, int]:
    """All of /proc/net/xfrm_stat."""
    with end.entered():
        lines = Path("/proc/thread-self/net/xfrm_stat").read_text().splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def told(found: list[Line], cause: str, *words: str, confidence: tuple[str, ...] = ("certain",)) -> None:
    """Each is of this cause, and each of the words is in what it says of its object and its evidence."""
    for line in found:
        shown = _shown([line])
        assert line["cause"]["id"] == cause, shown
        assert line["cause"]["confidence"] in confidence, shown
        missing = [word for word in words if word.lower() not in said(line)]
        assert not missing, f"{missing} in {shown}"


def said(line: Line) -> str:
    return json.dumps([line["object"], line["evidence"], line["cause"]["title"]]).lower()


def by_cause(found: list[Line]) -> Counter[str]:
    return Counter(str(line["cause"]["id"]) for line in found)


def _is_chatter(line: Line) -> bool:
    """What interfaces that come up tell their neighbours in IPv6."""
    return str(line["packet"]["daddr"]).startswith("ff02:")


def _port(line: Line) -> object:
    return line["packet"]["dport"] if line["packet"]["proto"] == "udp" else None


def _shown(found: list[Line]) -> str:
    return "\n".join(["these:", *(json.dumps(line) for line in found[-6:])])
