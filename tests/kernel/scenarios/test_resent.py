"""TCP segments that are sent again: joined with the death of the one before or of its ACK, or this host is innocent."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import TIOCOUTQ as SIOCOUTQ  # linux/sockios.h: the same number
from typing import Any

import pytest
from scenarios import traffic
from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import Lab, Namespace
from scenarios.test_listeners import PORT as LISTENER
from scenarios.test_listeners import listening
from scenarios.test_nothing import watched
from scenarios.waiting import eventually
from scenarios.whydrop_process import Finished, Line, Whydrop, replayed

PORT = 5870
Pair = tuple[socket.socket, socket.socket]
SERVICE = "10.96.5.1", 80
OWN = {4: "10.88.7.1/24", 6: "fd88:7::1/64"}
NOBODY = {4: "10.88.7.9", 6: "fd88:7::9"}


@pytest.fixture(autouse=True, scope="module")
def modules() -> None:
    """What dies in the moment after one came has no probe yet."""
    load_modules()


def counted(end: Namespace, name: str) -> int:
    """The kernel's own count of the namespace, as nstat has it: `TcpRetransSegs`, `TcpExtTCPRetransFail`."""
    with end.entered():
        lines = [
            line.split()
            for file in ("snmp", "netstat")
            for line in Path("/proc/thread-self/net", file).read_text().splitlines()
        ]
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        for known, value in zip(names[1:], values[1:], strict=True):
            if names[0].rstrip(":") + known == name:
                return int(value)
    return 0  # what it never counted has no place on some kernels


def sent_again(*ends: Namespace) -> int:
    return sum(counted(end, "TcpRetransSegs") for end in ends)


@contextmanager
def connected(lab: Lab, family: int, to: tuple[str, int] | None = None) -> Iterator[Pair]:
    """The client in a and what the server in b has accepted."""
    kind, address = (socket.AF_INET, lab.b.v4) if family == 4 else (socket.AF_INET6, lab.b.v6)
    with (
        traffic.open_socket(lab.b, kind, socket.SOCK_STREAM) as server,
        traffic.open_socket(lab.a, kind, socket.SOCK_STREAM) as client,
    ):
        server.bind((address, PORT))
        server.listen()
        client.connect(to or (address, PORT))
        taken, _ = server.accept()
        with taken:
            yield client, taken


def refuse(end: Namespace, hook: str, rule: str, priority: int = 0) -> None:
    nft(
        end,
        f"table inet t {{ chain c {{ type filter hook {hook} priority {priority}; {rule} counter drop }} }}",
    )


def allow(end: Namespace) -> None:
    nft(end, "delete table inet t")


def lose(
    end: Namespace, hook: str, rule: str, client: socket.socket, at_least: int, *counts: Namespace
) -> None:
    """Data that the rule drops until it has been sent again so often."""
    before = sent_again(*counts)
    refuse(end, hook, rule)
    client.sendall(b"x" * 1000)
    eventually(lambda: sent_again(*counts) - before >= at_least, f"it is sent again {at_least} times")
    allow(end)


def read(reader: socket.socket, length: int) -> None:
    reader.settimeout(120)
    while length:
        length -= len(reader.recv(length))


def acknowledged(sender: socket.socket) -> None:
    """Nothing of it is on the way any more, so nothing is sent again after this."""
    eventually(lambda: ioctl(sender, SIOCOUTQ, bytes(4)) == bytes(4), "all is acknowledged")


def resent(done: Finished) -> dict[str, Any]:
    assert done.status == 0, done.stderr
    assert done.end is not None
    found: dict[str, Any] = done.end["retransmissions"]
    assert found["segments"] == found["lost_here"] + found["not_lost_here"] + found["unclear"], found
    return found


def finding_of(lost: dict[str, Any], lines: list[Line]) -> Line:
    """The line of the death that it names."""
    (line,) = [line for line in lines if line["type"] == "drop" and line["monotonic_ns"] == lost["died_ns"]]
    return line


@pytest.mark.twice
def test_a_segment_that_died_is_sent_again(lab: Lab, tmp_path: Path) -> None:
    recording = tmp_path / "x.whydrop"
    with connected(lab, 4) as (client, taken), connected(lab, 6) as (client6, taken6):
        with Whydrop("--port", str(PORT), "--write", str(recording)) as whydrop:
            refuse(lab.b, "input", f"tcp dport {PORT}")
            for end in client, client6:
                end.sendall(b"x" * 1000)
            eventually(lambda: sent_again(lab.a) >= 6, "they are sent again, three times each")
            allow(lab.b)
            for reader, sender in (taken, client), (taken6, client6):
                read(reader, 1000)
                acknowledged(sender)
            done = whydrop.finish()
            found = resent(done)
        assert found["segments"] == sent_again(lab.a, lab.b) == found["lost_here"], found
        assert found["failed"] == counted(lab.a, "TcpExtTCPRetransFail") == 0
        ends = {(*client.getsockname()[:2], PORT), (*client6.getsockname()[:2], PORT)}
        assert {(lost["saddr"], lost["sport"], lost["dport"]) for lost in found["connections"]} == ends
        for lost in found["connections"]:
            told = lost["died"], lost["cause"], lost["netns"]["name"]
            assert told == ("segment", "netfilter.nft-rule", lab.a.name)
            assert finding_of(lost, done.lines)["cause"]["id"] == "netfilter.nft-rule"
            assert lost["sent_again_ns"] > lost["died_ns"]
        assert sum(lost["segments"] for lost in found["connections"]) == found["segments"]
    again = replayed(recording)[-1]["retransmissions"]
    assert again == found


@pytest.mark.twice
def test_an_ack_that_died_has_its_data_sent_again(lab: Lab) -> None:
    """What arrives twice is discarded, too: that is no loss."""
    with connected(lab, 4) as (client, taken):
        with Whydrop("--host", lab.b.v4) as whydrop:
            lose(lab.a, "input", f"tcp sport {PORT}", client, 3, lab.a)
            read(taken, 1000)
            acknowledged(client)
            found = resent(whydrop.finish())
        assert found["segments"] == sent_again(lab.a, lab.b) == found["lost_here"], found
        assert {(lost["died"], lost["cause"]) for lost in found["connections"]} == {
            ("ack", "netfilter.nft-rule")
        }


@pytest.mark.twice
def test_what_does_not_leave_the_host_counts(lab: Lab) -> None:
    """The kernel's tracepoint does not tell of it on every kernel."""
    with connected(lab, 4) as (client, taken):
        with Whydrop("--port", str(PORT)) as whydrop:
            refuse(lab.b, "input", f"tcp dport {PORT}")
            client.sendall(b"x" * 1000)
            eventually(lambda: sent_again(lab.a), "it is sent again")
            refuse(lab.a, "output", f"tcp dport {PORT}")
            eventually(lambda: counted(lab.a, "TcpExtTCPRetransFail") >= 2, "it is not sent again")
            allow(lab.a)
            allow(lab.b)
            read(taken, 1000)
            acknowledged(client)
            found = resent(whydrop.finish())
        assert found["segments"] == sent_again(lab.a, lab.b) == found["lost_here"], found
        assert found["failed"] == counted(lab.a, "TcpExtTCPRetransFail") >= 2, found


@pytest.mark.twice
def test_syns_that_a_listener_refuses_are_sent_again(lab: Lab) -> None:
    """They pass no kfree_skb."""
    address = (lab.b.v4, LISTENER)
    with (
        listening(lab.b, 4, 0),
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as first,
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as second,
        Whydrop("--port", str(LISTENER)) as whydrop,
    ):
        first.connect(address)
        second.setblocking(False)
        assert second.connect_ex(address)
        eventually(lambda: sent_again(lab.a) >= 2, "its SYN is sent again twice")
        found = resent(whydrop.finish())
        assert sent_again(lab.a) >= found["segments"] == found["lost_here"] >= 2, found
        (lost,) = found["connections"]
        assert (lost["died"], lost["cause"]) == ("segment", "socket.accept-queue-full"), lost
        assert lost["function"] == "tcp_conn_request", lost


@pytest.mark.twice
def test_an_ack_that_died_before_its_translation_is_joined(lab: Lab) -> None:
    """Its socket has the address of the service; it dies with that of the server."""
    rule = f"ip daddr {SERVICE[0]} tcp dport {SERVICE[1]} dnat to {lab.b.v4}:{PORT}"
    lab.a.configure(f"route add {SERVICE[0]}/32 dev {lab.a.iface}")
    nft(lab.a, f"table ip n {{ chain c {{ type nat hook output priority -100; {rule} }} }}")
    with connected(lab, 4, SERVICE) as (client, taken):
        with Whydrop("--host", SERVICE[0]) as whydrop:
            refuse(lab.a, "prerouting", f"tcp sport {PORT}", -150)
            client.sendall(b"x")
            eventually(lambda: sent_again(lab.a) >= 3, "it is sent again three times")
            allow(lab.a)
            read(taken, 1)
            acknowledged(client)
            found = resent(whydrop.finish())
        assert found["segments"] == sent_again(lab.a) == found["lost_here"], found
        (lost,) = found["connections"]
        assert (lost["daddr"], lost["dport"]) == SERVICE, lost
        assert (lost["died"], lost["cause"]) == ("ack", "netfilter.nft-rule"), lost


@contextmanager
def calling_nobody(lab: Lab, family: int) -> Iterator[socket.socket]:
    """A SYN that leaves through an interface behind which nobody is."""
    net, away, other = OWN[family], f"away{family}", NOBODY[family]
    lab.a.configure(
        f"link add {away} type dummy",
        f"address add {net} dev {away}{' nodad' if family == 6 else ''}",
        f"link set {away} up",
    )
    with traffic.open_socket(lab.a, traffic.family_of(other), socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        assert caller.connect_ex((other, PORT))
        yield caller


@pytest.mark.twice
def test_what_others_lose_is_not_lost_here(lab: Lab) -> None:
    hosts = "--host", NOBODY[4], "--host", NOBODY[6]
    with Whydrop(*hosts) as whydrop, calling_nobody(lab, 4), calling_nobody(lab, 6):
        eventually(lambda: sent_again(lab.a) >= 4, "the SYNs are sent again twice")
        found = resent(whydrop.finish())
    assert 4 <= found["segments"] <= sent_again(lab.a), found
    assert (found["failed"], found["lost_here"], found["unclear"]) == (0, 0, 0), found
    assert found["connections"] == []
    unseen = [
        text for text in found["not_watched"] if "TCP itself discards" not in text
    ]  # on kernels without reasons
    assert len(unseen) == 2, "nothing but what is never watched"


@pytest.mark.once(needs="reasons")
def test_a_person_is_told_that_this_host_is_innocent(lab: Lab, tmp_path: Path) -> None:
    with watched(tmp_path, "--host", NOBODY[4]) as innocent, calling_nobody(lab, 4):
        eventually(lambda: sent_again(lab.a) >= 2, "the SYN is sent again twice")
    words = innocent.words.partition("sent again: ")[2]
    told_so = (
        "[23] TCP segments; none of them, nor an ACK of theirs, had died here: this host lost nothing of them"
    )
    assert re.match(told_so, words), words
    assert "a network card, its driver or XDP" in words


@pytest.mark.once
def test_what_was_sent_before_whydrop_watched_is_named(lab: Lab) -> None:
    """It may have died then."""
    with calling_nobody(lab, 4), Whydrop("--port", str(PORT)) as whydrop:
        before = sent_again(lab.a)
        eventually(lambda: sent_again(lab.a) > before, "the SYN is sent again")
        found = resent(whydrop.finish())
    assert found["not_lost_here"] == found["segments"] >= 1, found
    assert "1 were first sent before whydrop watched" in found["not_watched"], found
