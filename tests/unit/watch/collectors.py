"""A collector of OpenTelemetry over a real socket, which answers as a test tells it to."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord


class Answer(NamedTuple):
    """Status None: the connection ends without one."""

    status: int | None = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Heard(NamedTuple):
    path: str
    headers: dict[str, str]
    request: ExportLogsServiceRequest

    def records(self) -> list[LogRecord]:
        return [
            record
            for resource in self.request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


class Collected(ThreadingHTTPServer):
    """`answers` come one after the other, then 200. `heard` are all requests, `records` those that were taken."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[Answer] = []
        self.heard: list[Heard] = []
        self.records: list[LogRecord] = []
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def go(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Who does not believe a certificate goes."""


class _Handler(BaseHTTPRequestHandler):
    server: Collected

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        heard = Heard(self.path, dict(self.headers.items()), ExportLogsServiceRequest.FromString(body))
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        self.server.heard.append(heard)
        if answer.status is None:
            return
        if answer.status == 200:
            self.server.records += heard.records()
        self.send_response(answer.status)
        for name, value in (("Content-Type", "application/x-protobuf"), *answer.headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def do_GET(self) -> None:
        raise AssertionError("nobody asks for a page")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
