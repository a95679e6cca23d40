"""Over a real socket: what Prometheus, a health check and somebody who means no good get."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from dropwatch.cli.main import main
from dropwatch.errors import WhydropError
from dropwatch.model.drop import Finding
from dropwatch.watch import measure
from dropwatch.watch.address import Address, address
from dropwatch.watch.listen import Listener
from dropwatch.watch.metrics import Metrics
from tests.unit.watch.clocks import Clocks

ANY_PORT = Address(socket.AF_INET, "127.0.0.1", 0)
PATIENCE_SECONDS = 20.0


@pytest.fixture
def metrics(clocks: Clocks) -> Metrics:
    return Metrics("1.2.3", clock=lambda: clocks.since_boot)


@pytest.fixture
def listen(metrics: Metrics) -> Iterator[Callable[..., int]]:
    """Starts one, and gives its port."""
    begun: list[Listener] = []

    def start(where: Address = ANY_PORT, **bounds: Any) -> int:
        begun.append(Listener(where, metrics, look_every_seconds=0.02, **bounds))
        begun[-1].start()
        return int(begun[-1].server_port)

    yield start
    for listener in begun:
        listener.shutdown()
        listener.server_close()


def get(
    port: int, path: str, host: str = "127.0.0.1", method: str = "GET", **headers: str
) -> tuple[int, str, str]:
    """Status, Content-Type and text."""
    connection = HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type") or "", answer.read().decode()
    finally:
        connection.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def test_prometheus_gets_the_format_that_it_asks_for(
    listen: Callable[..., int], metrics: Metrics, find: Callable[..., Finding]
) -> None:
    metrics.add(find(count=3))
    port = listen()
    status, kind, text = get(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")
    status, kind, text = get(port, "/metrics?x=1")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert 'whydrop_drops_total{cause="ipsec.auth-failed",confidence="certain",direction="in"} 3.0\n' in text


def test_health_is_that_of_the_read_loop(
    listen: Callable[..., int], metrics: Metrics, clocks: Clocks
) -> None:
    port = listen()
    metrics.tick()
    assert get(port, "/healthz")[0] == 200
    clocks.step(61)
    assert get(port, "/healthz")[0] == 503


def test_there_is_nothing_else(listen: Callable[..., int]) -> None:
    port = listen()
    for path in ("/", "/metrics/", "/metrics/../etc/passwd", "*", "/debug"):
        assert get(port, path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(port, "/metrics", method=method)[0] == 501


def test_ipv6(listen: Callable[..., int]) -> None:
    port = listen(Address(socket.AF_INET6, "::1", 0))
    assert get(port, "/metrics", "::1")[0] == 200


def test_who_sends_no_request_is_sent_away_and_others_are_answered(listen: Callable[..., int]) -> None:
    """Bytes come, one after the other: silence alone would not end it."""
    port = listen(longest_seconds=0.5)
    gone = threading.Event()

    def drip(slow: socket.socket) -> None:
        try:
            while not gone.wait(0.05):
                slow.sendall(b"G")
        except OSError:
            gone.set()

    with connected(port) as slow:
        dripping = threading.Thread(target=drip, args=(slow,))
        dripping.start()
        assert get(port, "/metrics")[0] == 200
        assert gone.wait(PATIENCE_SECONDS)
        dripping.join()


def test_few_are_served_at_once_and_their_places_are_given_back(listen: Callable[..., int]) -> None:
    port = listen(longest_seconds=3600.0)
    held = [connected(port) for _ in range(4)]
    with connected(port) as fifth:
        assert fifth.recv(1) == b""
    for one in held:
        one.close()
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            assert get(port, "/metrics")[0] == 200
            break
        except OSError:  # their threads have not seen yet that they are gone
            assert time.monotonic() < until


@pytest.mark.parametrize(
    "request_", [b"\0\xff\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"x" * 70000, b"\r\n"]
)
def test_what_is_no_request_harms_nobody(
    request_: bytes, listen: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    port = listen()
    with contextlib.suppress(ConnectionError), connected(port) as one:
        one.sendall(request_)
        while one.recv(4096):
            pass
    assert get(port, "/metrics")[0] == 200
    assert capsys.readouterr() == ("", "")


def test_a_port_that_is_taken_is_told_before_anything_has_begun(
    listen: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = listen()
    with pytest.raises(WhydropError, match=f"--listen 127.0.0.1:{port}: Address already in use"):
        measure.measure(address(str(port)))
    monkeypatch.setattr("dropwatch.watch.recorder.first_obstacle", lambda: None)
    store = tmp_path / "drops.sqlite"
    assert main(["watch", "--listen", str(port), "--store", str(store)]) == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert not store.exists()


def test_without_the_library_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropwatch.watch.recorder.first_obstacle", lambda: None)
    monkeypatch.setattr(measure, "_LIBRARY", "no_such_library")
    assert main(["watch", "--listen", "9720"]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "python3-prometheus-client" in err


def test_the_library_is_imported_only_where_it_is_asked_for() -> None:
    code = "import sys, dropwatch.watch.recorder as r; r.measure(None); sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_thread_that_answers_has_no_rights(
    listen: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[str, frozenset[int]]] = []
    monkeypatch.setattr(
        "dropwatch.watch.listen.keep_only",
        lambda rights: kept.append((threading.current_thread().name, rights)),
    )
    assert get(listen(), "/metrics")[0] == 200
    assert kept == [("metrics", frozenset())]
