"""Events as log records of OpenTelemetry, over HTTP: a request for each batch, with an end to everything in it."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from dropwatch import __version__
from dropwatch.names.foreign import foreign, printable
from dropwatch.watch.collector import Collector
from dropwatch.watch.events import Facts, Notice, facts, story
from dropwatch.watch.otlp_attributes import EVENT_NAME, SCHEMA_URL, attributes
from dropwatch.watch.sender import Delivered, Later

_PROTOBUF = "application/x-protobuf"
_AGAIN = frozenset({429, 502, 503, 504})  # OTLP's specification
_LONGEST_ANSWER = 64 << 10
_LONGEST_WHY = 200
_LONGEST_AFTER = 300.0
_MOST = 256
_PATIENCE_SECONDS = 2.0


class Otlp:
    """No redirect is followed, no proxy of the environment asked; a certificate is verified."""

    name = "otlp"
    most = _MOST
    patience = _PATIENCE_SECONDS

    def __init__(self, collector: Collector) -> None:
        self.where = str(collector)
        self._collector = collector
        self._tls = ssl.create_default_context() if collector.is_tls else None
        about = {"service.name": "whydrop", "service.version": __version__}
        self._resource = Resource(attributes=_pairs({**about, "host.name": foreign(socket.gethostname())}))

    def deliver(self, notices: list[Notice], seconds: float) -> Delivered:
        """Raises Later where another attempt may help."""
        body = self.request(notices).SerializeToString()
        try:
            status, headers, answer = self._post(body, seconds)
        except (OSError, http.client.HTTPException) as error:
            raise Later(_words(error)) from error
        why = f"{status} {http.client.responses.get(status, '')}".rstrip()
        if status in _AGAIN:
            raise Later(why, _seconds(headers.get("Retry-After")))
        if status // 100 == 3:
            return Delivered(len(notices), f"{why}: redirects are not followed")
        if status // 100 != 2:
            return Delivered(len(notices), why)
        if headers.get_content_type() != _PROTOBUF:
            return Delivered()
        rejected, said = _rejected(answer)
        return Delivered(min(rejected, len(notices)), said)

    def request(self, notices: list[Notice]) -> ExportLogsServiceRequest:
        """The message for them."""
        scope = InstrumentationScope(name="whydrop", version=__version__)
        records = [_record(notice) for notice in notices]
        logs = ScopeLogs(scope=scope, log_records=records, schema_url=SCHEMA_URL)
        of_host = ResourceLogs(resource=self._resource, scope_logs=[logs], schema_url=SCHEMA_URL)
        return ExportLogsServiceRequest(resource_logs=[of_host])

    def _post(self, body: bytes, seconds: float) -> tuple[int, http.client.HTTPMessage, bytes]:
        sent = {"Content-Type": _PROTOBUF, "User-Agent": f"whydrop/{__version__}", "Connection": "close"}
        with contextlib.closing(self._connection(seconds)) as connection:
            connection.connect()
            with _no_longer(seconds, connection.sock):
                connection.request("POST", self._collector.path, body, sent | dict(self._collector.headers))
                response = connection.getresponse()
                return response.status, response.headers, response.read(_LONGEST_ANSWER)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._collector.host, self._collector.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=seconds)
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=self._tls)


@contextlib.contextmanager
def _no_longer(seconds: float, taken: socket.socket) -> Iterator[None]:
    """Raises TimeoutError: silence between two bytes is not all that takes time."""

    is_over = threading.Event()

    def wake() -> None:
        is_over.set()
        with contextlib.suppress(OSError):
            taken.shutdown(socket.SHUT_RDWR)

    late = threading.Timer(seconds, wake)
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()
        if is_over.is_set():  # whatever came of it
            raise TimeoutError("timed out")


def _record(notice: Notice) -> LogRecord:
    harmless = notice.is_harmless
    return LogRecord(
        time_unix_nano=_nanoseconds(notice.finding.drop.time),
        observed_time_unix_nano=_nanoseconds(notice.made),
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO
        if harmless
        else SeverityNumber.SEVERITY_NUMBER_WARN,
        severity_text="INFO" if harmless else "WARN",
        event_name=EVENT_NAME,
        body=AnyValue(string_value=story(notice)),
        attributes=_pairs(attributes(facts(notice))),
    )


def _pairs(known: Facts) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in known.items()]


def _value(value: str | int | list[str]) -> AnyValue:
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


def _rejected(answer: bytes) -> tuple[int, str]:
    """How many the collector did not take, and why."""
    try:
        partial = ExportLogsServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # it has said 2xx
    if partial.rejected_log_records <= 0:
        return 0, ""
    why = printable(partial.error_message)[:_LONGEST_WHY] or "it does not say why"
    return partial.rejected_log_records, f"the collector rejects them: {why}"


def _seconds(after: str | None) -> float | None:
    """Retry-After: seconds, or a date."""
    if after is None:
        return None
    try:
        seconds = (
            float(after)
            if after.strip().isdecimal()
            else parsedate_to_datetime(after).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_AFTER)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"its certificate is not valid: {error.verify_message}")
    known = error.strerror if isinstance(error, OSError) else None
    return printable(known or str(error) or type(error).__name__)[:_LONGEST_WHY]
