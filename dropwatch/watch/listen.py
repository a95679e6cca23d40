"""Answers GET /metrics and GET /healthz, and nothing else: from a thread that may do nothing but that."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder

from dropwatch.errors import WhydropError
from dropwatch.privilege.root import keep_only
from dropwatch.watch.address import Address

if TYPE_CHECKING:
    from dropwatch.watch.metrics import Metrics

_MOST_AT_ONCE = 4
_WAITING = 8  # connections that nobody has taken yet
_LONGEST_SECONDS = 10.0  # for a request and its answer
_SILENT_SECONDS = 5.0  # between two bytes of it
_LOOK_EVERY_SECONDS = 0.5
_PLAIN = "text/plain; charset=utf-8"


class Listener(ThreadingMixIn, HTTPServer):
    """Bound when it is made; answers from start() on. Raises WhydropError where the address cannot be had.

    Takes few connections at once, each for a few seconds: who is slow loses his, not the others theirs.
    """

    daemon_threads = True
    request_queue_size = _WAITING

    def __init__(
        self,
        address: Address,
        metrics: "Metrics",
        *,
        longest_seconds: float = _LONGEST_SECONDS,
        look_every_seconds: float = _LOOK_EVERY_SECONDS,
    ) -> None:
        self.address_family = address.family
        self.metrics, self.registry = metrics, metrics.registry()
        self._longest_seconds, self._look_every_seconds = longest_seconds, look_every_seconds
        self._lock = threading.Lock()
        self._taken: dict[socket.socket, float] = {}
        try:
            super().__init__((address.host, address.port), _Answer)
        except OSError as error:
            raise WhydropError(
                f"--listen {address}: {error.strerror}",
                "another address or port: is whydrop running already?",
            ) from error

    def server_bind(self) -> None:
        """HTTPServer would ask DNS what this host is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "whydrop", self.server_address[1]

    def start(self) -> None:
        """In a thread of its own, which ends with the process."""
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def _serve(self) -> None:
        keep_only(frozenset())  # rights are a thread's own: what strangers say is read by one that has none
        self.serve_forever(self._look_every_seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A connection: refused where there are enough."""
        with self._lock:
            is_free = len(self._taken) < _MOST_AT_ONCE
            if is_free:
                self._taken[request] = time.monotonic()
        if is_free:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Whose time is up: his thread wakes, and finds nothing to read from or write to."""
        with self._lock:
            now = time.monotonic()
            late = [one for one, since in self._taken.items() if now - since > self._longest_seconds]
            for request in late:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """It is over, however."""
        with self._lock:
            self._taken.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who goes in the middle of an answer is no news."""


class _Answer(BaseHTTPRequestHandler):
    """One connection, one request, one answer."""

    timeout = _SILENT_SECONDS
    server: Listener

    def do_GET(self) -> None:
        """The two pages."""
        pages: dict[str, Callable[[], None]] = {"/metrics": self._metrics, "/healthz": self._health}
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            self._send(HTTPStatus.NOT_FOUND, _PLAIN, b"there are /metrics and /healthz\n")
        else:
            page()

    def version_string(self) -> str:
        """Not which Python it is."""
        return "whydrop"

    def log_message(self, format: str, *args: Any) -> None:
        """Who asks is not logged."""

    def _metrics(self) -> None:
        encode, kind = choose_encoder(self.headers.get("Accept") or "")
        self._send(HTTPStatus.OK, kind, encode(self.server.registry))

    def _health(self) -> None:
        if self.server.metrics.alive():
            self._send(HTTPStatus.OK, _PLAIN, b"it goes on\n")
        else:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"nothing was read for a minute\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
