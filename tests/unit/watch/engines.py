"""Prometheus and VictoriaMetrics, each started by a test over what it is to scrape, and asked in PromQL."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Sample = tuple[dict[str, str], float]
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# By the command: its words, where $PORT is that of its own, $CONFIG says what it scrapes, and $DATA is a directory.
ENGINES = {
    "prometheus": "--config.file=$CONFIG --storage.tsdb.path=$DATA --web.listen-address=127.0.0.1:$PORT "
    "--log.level=warn",
    "victoria-metrics": "-promscrape.config=$CONFIG -storageDataPath=$DATA -httpListenAddr=127.0.0.1:$PORT "
    "-search.latencyOffset=0s -loggerLevel=WARN -memory.allowedBytes=64MB",
}


def ordered(samples: list[Sample]) -> list[tuple[list[tuple[str, str]], float]]:
    """An engine answers in any order."""
    return sorted((sorted(labels.items()), float(value)) for labels, value in samples)


class Engine(NamedTuple):
    """One that runs."""

    port: int
    patience_seconds: float
    log: Path

    def ask(self, query: str) -> list[Sample]:
        """Labels and value of each sample, without the name."""
        words = urllib.parse.urlencode({"query": query})
        with _NO_PROXY.open(f"http://127.0.0.1:{self.port}/api/v1/query?{words}", timeout=60) as answer:
            found: Any = json.load(answer)
        assert found["status"] == "success", found
        return [
            ({key: text for key, text in one["metric"].items() if key != "__name__"}, float(one["value"][1]))
            for one in found["data"]["result"]
        ]

    def wait_for(self, query: str, wanted: list[Sample]) -> None:
        """Until that is the answer, in any order."""
        deadline = time.monotonic() + self.patience_seconds
        found: list[Sample] | str = []
        while time.monotonic() < deadline:
            try:
                found = self.ask(query)
            except OSError as error:  # it still starts
                found = str(error)
            else:
                if ordered(found) == ordered(wanted):
                    return
            time.sleep(0.2)
        raise AssertionError(f"{query}: {found}, not {wanted}; {self.log.read_text()[-2000:]}")


@contextmanager
def engine(
    name: str, directory: Path, targets: Mapping[str, int], patience_seconds: float = 60.0
) -> Iterator[Engine]:
    """Scrapes these each second, or as seldom as somebody is patient: ports here, by what their host is called."""
    if shutil.which(name) is None:
        pytest.skip(f"feature {name}: not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config, log = directory / f"{name}.yml", directory / f"{name}.log"
    hosts = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": host}} for host, port in targets.items()
    ]
    job = {"job_name": "whydrop", "static_configs": hosts}
    seconds = max(1, int(patience_seconds // 60))
    every = {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"}
    config.write_text(json.dumps({"global": every, "scrape_configs": [job]}))
    values = {"$CONFIG": str(config), "$DATA": str(directory / name), "$PORT": str(port)}
    words = ENGINES[name]
    for variable, value in values.items():
        words = words.replace(variable, value)
    with log.open("wb") as out, subprocess.Popen([name, *words.split()], stdout=out, stderr=out) as process:
        try:
            yield Engine(port, patience_seconds, log)
        finally:
            process.kill()
