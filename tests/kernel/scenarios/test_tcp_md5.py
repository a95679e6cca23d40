"""TCP-MD5 and TCP-AO as BGP uses them: a key on one end only, and two that differ; the socket is named."""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import Losses, shown
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

PORT, COUNT = 5779, 2
TCP_MD5SIG, TCP_AO_ADD_KEY = 14, 38  # linux/tcp.h
CASES = {
    "tcp.md5-missing": (b"secret", None, "TCPMD5NotFound", "has a key of TCP-MD5 for {peer}/"),
    "tcp.md5-unexpected": (None, b"secret", "TCPMD5Unexpected", "has no key of TCP-MD5"),
    "tcp.md5-wrong": (b"secret", b"secrets", "TCPMD5Failure", "has a key of TCP-MD5 for {peer}/"),
}


def add_key(of: socket.socket, peer: str, key: bytes) -> None:
    """struct tcp_md5sig."""
    family = traffic.family_of(peer)
    address = struct.pack("=HH", family, 0)
    address += b"\0" * 4 + socket.inet_pton(family, peer) if ":" in peer else socket.inet_pton(family, peer)
    of.setsockopt(
        socket.IPPROTO_TCP,
        TCP_MD5SIG,
        address.ljust(128, b"\0") + struct.pack("=BBHi80s", 0, 0, len(key), 0, key),
    )


@contextmanager
def made(end: Namespace, own: str, peer: str, key: bytes | None) -> Iterator[socket.socket]:
    with traffic.open_socket(end, traffic.family_of(own), socket.SOCK_STREAM) as one:
        if key is not None:
            add_key(one, peer, key)
        yield one


def counted(end: Namespace, name: str) -> int:
    """The kernel's own count."""
    return int(end.run(f"nstat -az TcpExt{name}").stdout.splitlines()[-1].split()[1])


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", CASES)
def test_the_keys_differ(lab: Lab, whydrop: Whydrop, how: str, family: int) -> None:
    """The second SYN of each comes when the socket has been seen before: then it is the object."""
    here, there, counter, words = CASES[how]
    own, peer = (lab.b.v4, lab.a.v4) if family == 4 else (lab.b.v6, lab.a.v6)
    with made(lab.b, own, peer, here) as listener, made(lab.a, peer, own, there) as client:
        listener.bind((own, PORT))
        listener.listen()
        losses, before = Losses(lab.b, whydrop), counted(lab.b, counter)
        client.setblocking(False)
        client.connect_ex((own, PORT))
        eventually(
            lambda: knows_the_socket(losses.found(PORT)), f"{COUNT} SYNs died, and the last has its socket"
        )
        found = losses.found(PORT)
        client.close()
        assert counted(lab.b, counter) - before >= COUNT
        for line in found:
            certain = "likely" if line["reason"] is None else "certain"
            assert (line["cause"]["id"], line["cause"]["confidence"]) == (how, certain), shown([line])
            assert words.format(peer=peer) in line["evidence"][0]["text"], shown([line])
            assert b"secret" not in repr(line).encode(), shown([line])
        assert found[-1]["object"]["port"] == PORT, shown(found)
        assert found[-1]["process"] is not None, shown(found)


@dataclass(frozen=True)
class AoKey:
    secret: bytes
    number: int = 100


def knows_the_socket(found: list[Line]) -> bool:
    """The socket was seen before the last: on a slow host a judge may come later than the next SYN."""
    return len(found) >= COUNT and found[-1]["object"] is not None


AO_CASES = {
    "not signed": (AoKey(b"secret"), None, "TCPAORequired", "is not signed"),
    "no key here": (None, AoKey(b"secret"), "TCPAOKeyNotFound", "the socket has no key"),
    "another key id": (
        AoKey(b"secret"),
        AoKey(b"secret", 101),
        "TCPAOKeyNotFound",
        "is signed with key id 101",
    ),
    "another key": (AoKey(b"secret"), AoKey(b"secrets"), "TCPAOBad", "expects another signature"),
}


def add_ao_key(of: socket.socket, peer: str, key: AoKey) -> None:
    """struct tcp_ao_add; the key has the same number in both directions."""
    family = traffic.family_of(peer)
    address = struct.pack("=HH", family, 0)
    address += b"\0" * 4 + socket.inet_pton(family, peer) if ":" in peer else socket.inet_pton(family, peer)
    prefix = 128 if ":" in peer else 32
    numbers = struct.pack("=iIHBBBBBB", 0, 0, 0, prefix, key.number, key.number, 0, 0, len(key.secret))
    words = address.ljust(128, b"\0") + b"hmac(sha1)".ljust(64, b"\0") + numbers + key.secret.ljust(80, b"\0")
    try:
        of.setsockopt(socket.IPPROTO_TCP, TCP_AO_ADD_KEY, words)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        pytest.skip("feature tcp-ao: this kernel has none")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", AO_CASES)
def test_the_ends_do_not_agree_on_ao(lab: Lab, whydrop: Whydrop, how: str, family: int) -> None:
    here, there, counter, words = AO_CASES[how]
    own, peer = (lab.b.v4, lab.a.v4) if family == 4 else (lab.b.v6, lab.a.v6)
    with made(lab.b, own, peer, None) as listener, made(lab.a, peer, own, None) as client:
        if here is not None:
            add_ao_key(listener, peer, here)
        if there is not None:
            add_ao_key(client, own, there)
        listener.bind((own, PORT))
        listener.listen()
        losses, before = Losses(lab.b, whydrop), counted(lab.b, counter)
        client.setblocking(False)
        client.connect_ex((own, PORT))
        eventually(
            lambda: knows_the_socket(losses.found(PORT)), f"{COUNT} SYNs died, and the last has its socket"
        )
        found = losses.found(PORT)
        client.close()
        assert counted(lab.b, counter) - before >= COUNT
        for line in found:
            said = line["cause"]["id"], line["cause"]["confidence"]
            assert said == ("tcp.ao-mismatch", "certain"), shown([line])
            assert words in line["evidence"][0]["text"], shown([line])
            assert b"secret" not in repr(line).encode(), shown([line])
        assert found[-1]["object"]["port"] == PORT, shown(found)
        assert found[-1]["process"] is not None, shown(found)
