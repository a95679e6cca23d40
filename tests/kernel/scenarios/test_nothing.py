"""Where nothing matched: what is said of what arrived and of the nearest drops, against what was really sent."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import WHYDROP

ASKED, BESIDE = 5000, 5001
TO_BESIDE, FROM_ANOTHER, READ = 7, 3, 5


class Told:
    """What standard error had, as one line, when the block is over."""

    words = ""


@contextmanager
def watched(home: Path, *options: str) -> Iterator[Told]:
    """A run for people, ready inside the block."""
    ready, told = home / "ready", Told()
    words = [str(WHYDROP), *options, "--ready-file", str(ready)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: ready.exists() or process.poll() is not None, "it is ready")
        yield told
        process.send_signal(signal.SIGINT)
        told.words = " ".join(process.communicate()[1].split())
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told.words


@pytest.mark.twice
def test_the_nearest_drops_are_those_that_were_sent(lab: Lab, tmp_path: Path) -> None:
    with watched(tmp_path, "--dport", str(ASKED), "--saddr", lab.a.v4) as told:
        traffic.datagrams(lab.a, lab.b.v4, [BESIDE] * TO_BESIDE)
        traffic.datagrams(lab.b, lab.a.v4, [ASKED] * FROM_ANOTHER)
        traffic.datagrams(lab.b, lab.a.v4, [BESIDE] * 11)
    nearest = told.words.partition("nearest: ")[2]
    sorts = (
        f"{FROM_ANOTHER} udp packets to port {ASKED}, but from {lab.b.v4}, not {lab.a.v4} (",
        f"{TO_BESIDE} udp packets from {lab.a.v4}, but to port {BESIDE}, not {ASKED} (",
        f"11 udp packets from {lab.b.v4}, not {lab.a.v4}, and to port {BESIDE}, not {ASKED} (",
    )
    assert [sort in nearest for sort in sorts] == [True] * 3, told.words
    assert sorted(sorts, key=nearest.index)[-1] == sorts[-1], told.words
    assert f"in netns {lab.a.name}" in nearest
    assert re.search(r"by (__udp4_lib_rcv|udp_rcv)\)", nearest)


@pytest.mark.once
def test_what_arrived_is_told_with_who_has_it(lab: Lab, tmp_path: Path) -> None:
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((lab.b.v4, ASKED))
        server.listen()
        with (
            traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as client,
            watched(tmp_path, "--dport", str(ASKED), "--netns", lab.b.name) as told,
        ):
            client.connect((lab.b.v4, ASKED))
            accepted, _ = server.accept()
            for _ in range(READ):
                client.sendall(b"x")
                assert accepted.recv(8) == b"x"
    arrived = told.words.partition("arrived: ")[2]
    place = f"tcp port {ASKED}, in netns {lab.b.name}: "
    assert arrived.startswith(place), told.words
    segments, _, rest = arrived.removeprefix(place).partition(" segments arrived in ")
    assert int(segments) >= READ + 1, "and what opened it"
    assert rest.startswith("1 open connection of "), told.words
    assert f"(pid {os.getpid()})" in rest
    assert f"udp port {ASKED}, in netns {lab.b.name}: no socket is bound to it" in arrived
    accepted.close()
