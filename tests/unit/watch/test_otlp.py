"""Over a real connection: what a collector gets, and what becomes of events when it does not take them."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from dropwatch import __version__
from dropwatch.cli.main import main
from dropwatch.model.drop import Evidence, Finding
from dropwatch.watch import ways
from dropwatch.watch.collector import Collector
from dropwatch.watch.events import Notice
from dropwatch.watch.otlp import Otlp
from dropwatch.watch.otlp_attributes import SCHEMA_URL
from dropwatch.watch.sender import Delivered, Later, Sender
from dropwatch.watch.sorts import ONE_FLOW
from dropwatch.watch.teller import Teller
from tests.unit.watch.clocks import NOON, Clocks
from tests.unit.watch.collectors import Answer, Collected

Find = Callable[..., Finding]
Start = Callable[..., Collected]
PATIENCE_SECONDS = 20.0


@pytest.fixture
def start() -> Iterator[Start]:
    begun: list[Collected] = []

    def build(*answers: Answer, **about: Any) -> Collected:
        begun.append(Collected(**about))
        begun[-1].answers += answers
        return begun[-1]

    yield build
    for collected in begun:
        collected.go()


@pytest.fixture
def notice(find: Find) -> Notice:
    return Notice(find(evidence=(Evidence("packet", "spi 1"),)), 7, ONE_FLOW, NOON + 1)


def otlp(port: int, *headers: tuple[str, str], is_tls: bool = False, path: str = "/v1/logs") -> Otlp:
    return Otlp(Collector(is_tls, "127.0.0.1", port, path, headers))


def values(pairs: Any) -> dict[str, Any]:
    def plain(value: AnyValue) -> Any:
        kind = str(value.WhichOneof("value"))
        return (
            [plain(one) for one in value.array_value.values]
            if kind == "array_value"
            else getattr(value, kind)
        )

    found: list[KeyValue] = list(pairs)
    return {one.key: plain(one.value) for one in found}


def told(teller: Teller, said: list[str]) -> bool:
    teller.tick()
    return bool(said)


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_finding_is_a_log_record_with_a_name(start: Start, notice: Notice) -> None:
    collected = start()
    assert otlp(collected.server_port, ("Authorization", "Bearer x")).deliver([notice], 9) == Delivered()
    (heard,) = collected.heard
    assert (heard.path, heard.headers["Content-Type"]) == ("/v1/logs", "application/x-protobuf")
    assert heard.headers["Authorization"] == "Bearer x"
    (of_host,) = heard.request.resource_logs
    assert of_host.schema_url == of_host.scope_logs[0].schema_url == SCHEMA_URL
    assert values(of_host.resource.attributes) == {
        "service.name": "whydrop",
        "service.version": __version__,
        "host.name": socket.gethostname(),
    }
    (record,) = heard.records()
    assert record.event_name == "whydrop.finding"
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (NOON * 10**9, (NOON + 1) * 10**9)
    assert (record.severity_number, record.severity_text) == (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN")
    assert record.body.string_value == "udp 10.9.0.1 > 10.9.0.2:5000: Authentication failed; spi 1; 7 packets"
    known = values(record.attributes)
    assert known["source.address"] == "10.9.0.1"
    assert known["destination.port"] == 5000
    assert known["whydrop.count"] == 7
    assert known["whydrop.evidence"] == ["packet: spi 1"]


def test_what_is_harmless_is_no_warning(start: Start, find: Find) -> None:
    collected = start()
    harmless = Notice(find(cause_id="benign.tap-copy"), 1, ONE_FLOW, NOON)
    otlp(collected.server_port).deliver([harmless], 9)
    assert collected.records[0].severity_number == SeverityNumber.SEVERITY_NUMBER_INFO


def test_a_collector_that_takes_some(start: Start, notice: Notice) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 2
    answer.partial_success.error_message = "too\nold"
    collected = start(Answer(body=answer.SerializeToString()))
    delivered = otlp(collected.server_port).deliver([notice] * 3, 9)
    assert delivered == Delivered(2, "the collector rejects them: too\\x0aold")
    answer.partial_success.rejected_log_records = 10**12
    collected.answers.append(Answer(body=answer.SerializeToString()))
    assert otlp(collected.server_port).deliver([notice] * 3, 9).refused == 3
    collected.answers.append(Answer(body=b"\xff\xff"))
    assert otlp(collected.server_port).deliver([notice], 9) == Delivered()


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 501])
def test_what_another_attempt_does_not_help(status: int, start: Start, notice: Notice) -> None:
    collected = start(Answer(status))
    delivered = otlp(collected.server_port).deliver([notice] * 3, 9)
    assert (delivered.refused, delivered.why.partition(" ")[0]) == (3, str(status))


def test_no_redirect_is_followed(start: Start, notice: Notice) -> None:
    other = start()
    for status in (301, 307, 308):
        collected = start(Answer(status, (("Location", f"http://127.0.0.1:{other.server_port}/v1/logs"),)))
        delivered = otlp(collected.server_port, ("Authorization", "x")).deliver([notice], 9)
        assert delivered.refused == 1
        assert "redirects are not followed" in delivered.why
    assert other.heard == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_another_attempt_may_help(status: int, start: Start, notice: Notice) -> None:
    collected = start(Answer(status), Answer(status, (("Retry-After", "7"),)))
    way = otlp(collected.server_port)
    for after in (None, 7):
        with pytest.raises(Later, match=str(status)) as later:
            way.deliver([notice], 9)
        assert later.value.after == after


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("100 s from now", 1, 100), (formatdate(0, usegmt=True), 0, 0), ("999999999999", 300, 300)],
)
def test_when_to_come_again(said: str, least: float, most: float, start: Start, notice: Notice) -> None:
    if said == "100 s from now":
        said = formatdate(time.time() + 100, usegmt=True)
    collected = start(Answer(503, (("Retry-After", said),)))
    with pytest.raises(Later) as later:
        otlp(collected.server_port).deliver([notice], 9)
    assert later.value.after is not None
    assert least <= later.value.after <= most


@pytest.mark.parametrize("said", ["soon", "-5", "", "1e9"])
def test_a_time_that_is_none(said: str, start: Start, notice: Notice) -> None:
    collected = start(Answer(503, (("Retry-After", said),)))
    with pytest.raises(Later) as later:
        otlp(collected.server_port).deliver([notice], 9)
    assert later.value.after is None


def test_one_that_goes_in_the_middle_is_asked_again(start: Start, notice: Notice) -> None:
    collected = start(Answer(None), Answer(None))
    sender = Sender(otlp(collected.server_port), first_pause=0.01)
    sender.start()
    sender.put(notice)
    wait_for(lambda: collected.records)
    assert len(collected.heard) == 3
    sender.end(time.monotonic() + 5)
    assert not sender.is_at_work(PATIENCE_SECONDS)
    assert sender.undelivered() == 0


def test_one_that_does_not_answer_is_given_up(notice: Notice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Later, match="timed out"):
        otlp(silent.getsockname()[1]).deliver([notice], 0.2)


def test_one_that_answers_byte_by_byte_is_given_up(notice: Notice) -> None:
    def drip() -> None:
        taken, _ = slow.accept()
        with taken, contextlib.suppress(OSError):
            taken.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not done.wait(0.05):
                taken.sendall(b"x")

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as slow:
        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        began = time.monotonic()
        with pytest.raises(Later, match="timed out"):
            otlp(slow.getsockname()[1]).deliver([notice], 0.5)
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        done.set()
        dripping.join(PATIENCE_SECONDS)


def test_one_that_goes_away_and_comes_back_gets_everything(start: Start, find: Find) -> None:
    collected = Collected()
    port = collected.server_port
    said: list[str] = []
    way = otlp(port)
    way.patience = 0.05
    teller = Teller([way], 1, said.append)
    teller.start()
    teller.add(find(cause_id="before"))
    wait_for(lambda: collected.records)
    collected.go()
    for number in range(500):
        teller.add(find(cause_id=f"away-{number}"))
    wait_for(lambda: told(teller, said))
    again = start(port=port)
    wait_for(lambda: len(again.records) == 500)
    teller.end(lambda: False)
    teller.tick()
    assert teller.undelivered() == {"otlp": 0}
    assert said == [
        f"http://127.0.0.1:{port}/v1/logs: events are not delivered: Connection refused",
        f"http://127.0.0.1:{port}/v1/logs: events are delivered again",
    ]
    assert max(len(heard.records()) for heard in again.heard) == 256


def test_a_storm_beside_three_single_ones(start: Start, find: Find, clocks: Clocks) -> None:
    collected = start(Answer(503), Answer(503))
    teller = Teller([otlp(collected.server_port)], 1, print, lambda: clocks.since_boot)
    teller.start()
    for number in range(30_000):
        teller.add(find(cause_id="storm", saddr=None))
        if number in (100, 10_000, 29_999):
            teller.add(find(cause_id=f"single-{number}"))
    teller.end(lambda: False)
    told = [values(record.attributes) for record in collected.records]
    assert {one["whydrop.cause.id"] for one in told} == {
        "storm",
        "single-100",
        "single-10000",
        "single-29999",
    }
    assert sum(one["whydrop.count"] for one in told) == 30_003
    assert len(told) == 5


def test_no_proxy_of_the_environment_is_asked(
    start: Start, notice: Notice, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected, proxy = start(), start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    otlp(collected.server_port).deliver([notice], 9)
    assert (len(collected.heard), proxy.heard) == (1, [])


def test_a_certificate_is_verified(
    start: Start, notice: Notice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*words, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    collected = start(tls=tls)
    with pytest.raises(Later, match="its certificate is not valid: self"):
        otlp(collected.server_port, is_tls=True).deliver([notice], 9)
    assert collected.heard == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert otlp(collected.server_port, is_tls=True).deliver([notice], 9) == Delivered()
    assert len(collected.records) == 1


def test_without_the_library_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_such_library", "no_such_library.below"):
        monkeypatch.setattr(ways, "_LIBRARY", name)
        assert main(["watch", "--otlp", "http://127.0.0.1:4318"]) == 3
        err = capsys.readouterr().err
        assert err.count("\n") == 2
        assert "opentelemetry-proto" in err


def test_the_library_is_imported_only_where_it_is_asked_for() -> None:
    code = (
        "import sys, dropwatch.watch.recorder, dropwatch.watch.ways as w; w.ways(None, None, journal=False); "
        "sys.exit(bool({'opentelemetry', 'google.protobuf', 'ssl'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
