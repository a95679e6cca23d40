"""Carrying out what is advised first: which of the commands that is, and how a scenario sees that packets arrive."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenarios import traffic
from scenarios.firewalls import nft
from scenarios.namespaces import Lab, Namespace
from scenarios.whydrop_process import Line

PORT = 5900
TRIES = 60
_ENTERED = r"(?:ip netns exec \S+ |nsenter -t \d+ -n )?"
_LISTINGS = (
    r"ip (?:-\S+ )*(?:link(?: show.*)?|(?:route|rule|neigh|addr|address|maddr|tunnel|tuntap)(?: show.*| get .*)?)",
    r"ip (?:-\S+ )*(?:monitor|xfrm (?:state|policy) (?:list|get)|xfrm monitor)\b.*|ip -all netns exec ss -[lt].*",
    r"(?:nft (?:-\S+ )*list|tc (?:-\S+ )*(?:qdisc|class|filter) show|bridge (?:-\S+ )*\w+ show)\b.*",
    r"(?:ip6?|arp|eb)tables\S* (?:.* )?-(?:vnL|L)\b.*",
    r"(?:bpftool (?:\S+ )?(?:show|tree)|swanctl --list|ipsec status|conntrack -L|ethtool -[ak])\b.*",
    r"(?:tcpdump|ss -(?!K)|cat|ls|lsof|journalctl|nstat|dmesg|watch|ausearch|sysctl -a)\b.*",
    r"(?:whydrop explain|cilium-dbg monitor) .*",
    r"(?:grep|sort|uniq|head|wc|awk|sha256sum)\b.*",
)
_LOOKS = re.compile(_ENTERED + rf"(?:{'|'.join(_LISTINGS)})")

Arrived = Callable[[], bool]
Witness = Callable[[Lab], AbstractContextManager[Arrived]]


def to_port(line: Line) -> bool:
    return bool(line["packet"]["dport"] == PORT)


def to_b(lab: Lab) -> None:
    traffic.datagrams(lab.a, lab.b.v4, [PORT] * 3)


@contextmanager
def read(lab: Lab) -> Iterator[Arrived]:
    """A reader on the port in b."""
    with listening(lab, socket.AF_INET) as arrived:
        yield arrived


@contextmanager
def read_six(lab: Lab) -> Iterator[Arrived]:
    with listening(lab, socket.AF_INET6) as arrived:
        yield arrived


@contextmanager
def listening(lab: Lab, family: int, address: str = "", port: int = PORT) -> Iterator[Arrived]:
    with traffic.open_socket(lab.b, family, socket.SOCK_DGRAM) as reader:
        reader.bind((address, port))
        yield lambda: waiting(reader) > 0


@dataclass(frozen=True)
class Loss:
    """`prepare` and `spoil` lose what `send` sends; `witness` sees whether it arrives, once the fix is carried out.

    Lines of `spoil` say where: `b: ip ...`, `a: another command`, `b: net.ipv4.ip_forward = 0`, `first: ...` of the
    first namespace. `dies_in` is the end that loses it. `peer` says that the advice is for the sender. `needs` names
    a feature of matrix.toml.
    """

    cause_id: str
    spoil: tuple[str, ...] = ()
    send: Callable[[Lab], None] = to_b
    witness: Witness = read
    prepare: Callable[[Lab], None] | None = None
    is_ours: Callable[[Line], bool] = to_port
    dies_in: str = "b"
    peer: bool = False
    needs: str | None = None


def spoil(lab: Lab, line: str) -> None:
    where, _, command = line.partition(": ")
    for word, value in (("{a4}", lab.a.v4), ("{b4}", lab.b.v4)):
        command = command.replace(word, value)
    name, is_setting, value = command.partition(" = ")
    end = lab.a if where == "a" else lab.b
    if where == "first":
        Path("/proc/sys", name.replace(".", "/")).write_text(value)
    elif is_setting:
        end.set(name.replace(".", "/"), int(value))
    elif command.startswith("ip "):
        end.configure(command.removeprefix("ip "))
    elif command.startswith("nft "):
        nft(end, command.removeprefix("nft "))
    else:
        end.run(command)


def first_change(line: Line) -> str:
    """The first command that does not only look."""
    commands = [fix["command"] for fix in line["fix"] if fix["command"]]
    changes = [one for one in commands if not only_looks(one)]
    assert changes, f"only looks: {line['fix']}"
    return str(changes[0])


def only_looks(command: str) -> bool:
    return all(_LOOKS.fullmatch(part) for part in re.split(r"\s*(?:;|\|)\s*", command))


def carry_out(lab: Lab, line: Line, *, peer: bool) -> str:
    """As it is printed; what is for the sender, there."""
    command = first_change(line)
    (text,) = (fix["text"] for fix in line["fix"] if fix["command"] == command)
    assert ("on the sender" in text) == peer, line["fix"]
    shell = ["ip", "netns", "exec", lab.a.name] if peer else []
    ran = subprocess.run([*shell, "bash", "-c", command], capture_output=True, text=True)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return command


def arrive_again(lab: Lab, loss: Loss, arrived: Arrived) -> bool:
    """Sends until they do; a fix needs a moment where something is asked of a neighbour first."""
    for _ in range(TRIES):
        loss.send(lab)
        if arrived():
            return True
        time.sleep(0.05)
    return False


def waiting(reader: socket.socket) -> int:
    """How many packets there are to be read; they are read by that."""
    reader.setblocking(False)
    count = 0
    try:
        while reader.recv(1 << 16):
            count += 1
    except BlockingIOError:
        return count
    return count


def whole(count: int, patience: float = 2.0) -> Witness:
    """A reader in b that gets so many of one send, within a while."""

    @contextmanager
    def witness(lab: Lab) -> Iterator[Arrived]:
        with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as reader:
            reader.bind(("", PORT))

            def arrived() -> bool:
                got, deadline = waiting(reader), time.monotonic() + patience
                while got < count and time.monotonic() < deadline:
                    time.sleep(0.02)
                    got += waiting(reader)
                return got >= count

            yield arrived

    return witness


def rises(group: str, name: str) -> Witness:
    """A counter of b in /proc/net/snmp or snmp6, where no group is given."""

    @contextmanager
    def witness(lab: Lab) -> Iterator[Arrived]:
        before = counter(lab.b, group, name)
        yield lambda: counter(lab.b, group, name) > before

    return witness


def counter(end: Namespace, group: str, name: str) -> int:
    with end.entered():
        text = Path("/proc/thread-self/net", "snmp" if group else "snmp6").read_text()
    if not group:
        return int(dict(line.split() for line in text.splitlines())[name])
    names, values = (line.split() for line in text.splitlines() if line.startswith(f"{group}: "))
    return int(values[names.index(name)])


def seen(where: str, iface: str, wanted: Callable[[bytes], bool]) -> Witness:
    """A frame on this interface of a or b."""

    @contextmanager
    def witness(lab: Lab) -> Iterator[Arrived]:
        end = lab.a if where == "a" else lab.b
        with traffic.open_socket(end, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
            tap.bind((iface, 3))
            tap.setblocking(False)
            yield lambda: any(map(wanted, _frames(tap)))

    return witness


def _frames(tap: socket.socket) -> Iterator[bytes]:
    try:
        while True:
            yield tap.recv(1 << 16)
    except OSError:  # nothing there, or the interface is down
        return
