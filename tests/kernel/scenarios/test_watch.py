"""The recorder, killed in the middle: its counts are those of what was sent, and `whydrop last` shows them."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenarios.firewalls import load_modules, nft
from scenarios.namespaces import Lab
from scenarios.traffic import datagrams
from scenarios.waiting import eventually
from scenarios.whydrop_process import WHYDROP, Line

REFUSED, CLOSED = 7600, 7601


@contextmanager
def recorder(store: Path, tmp_path: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Ready when the block begins."""
    ready = tmp_path / "ready"
    ready.unlink(missing_ok=True)
    words = [str(WHYDROP), "watch", "--store", str(store), "--ready-file", str(ready), *options]
    with (
        (tmp_path / "stderr").open("a") as stderr,
        subprocess.Popen(words, stderr=stderr, text=True) as process,
    ):
        try:
            eventually(lambda: ready.exists() or process.poll() is not None, "the recorder is ready")
            assert process.poll() is None, (tmp_path / "stderr").read_text()
            yield process
        finally:
            process.kill()


def last(store: Path, netns: str) -> list[Line]:
    words = [str(WHYDROP), "last", "1h", "--store", str(store), "--json", "--netns", netns]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


def by_port(lines: list[Line]) -> dict[int, int]:
    return {
        line["finding"]["packet"]["dport"]: line["packets"]
        for line in lines
        if line["type"] == "died" and line["finding"]["packet"]["dport"] in (REFUSED, CLOSED)
    }


@pytest.mark.once
def test_counts_are_those_of_what_was_sent_also_over_a_sigkill(lab: Lab, tmp_path: Path) -> None:
    load_modules()
    rule = f"udp dport {REFUSED} counter drop"
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0;\n{rule}\n}} }}")
    directory = tmp_path / "store"
    store = directory / "drops.sqlite"
    with recorder(store, tmp_path) as process:
        datagrams(lab.a, lab.b.v4, [REFUSED] * 13 + [CLOSED] * 7)
        eventually(
            lambda: by_port(last(store, lab.b.name)) == {REFUSED: 13, CLOSED: 7}, "they are in the store"
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert by_port(last(store, lab.b.name)) == {REFUSED: 13, CLOSED: 7}
    with recorder(store, tmp_path) as process:
        datagrams(lab.a, lab.b.v4, [REFUSED] * 5 + [CLOSED] * 3)
        eventually(
            lambda: by_port(last(store, lab.b.name)) == {REFUSED: 18, CLOSED: 10}, "so are the later ones"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    *died, window = last(store, lab.b.name)
    assert by_port(died) == {REFUSED: 18, CLOSED: 10}
    causes = {line["finding"]["packet"]["dport"]: line["finding"]["cause"]["id"] for line in died}
    assert causes[REFUSED] in ("unknown", "netfilter.nft-rule"), (
        causes
    )  # --light: the first of a layer has no rule
    assert causes[CLOSED] == "socket.udp-no-listener", causes
    assert window["killed"]
    assert len(window["watched"]) == 2
    assert (directory.stat().st_mode & 0o777, store.stat().st_mode & 0o777) == (0o750, 0o640)
