"""What `from dropwatch import ...` gives: findings as objects, the words of the command line, errors as exceptions."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dropwatch
from dropwatch.resources import resource_dir
from dropwatch.run.options import Options

ROOT = resource_dir("bpf").parent
RECORDING = next(path for path in sorted((ROOT / "tests/replay/recordings").glob("*-mixed.whydrop")))
Replayed = Callable[..., tuple[int, str, str]]


def told(replay: Replayed, *words: str) -> list[dict[str, object]]:
    code, out, _ = replay(RECORDING, "--findings", "--json", *words)
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def test_a_recording_gives_what_the_command_line_says(replay: Replayed) -> None:
    *lines, end = told(replay)
    with dropwatch.replay(RECORDING) as run:
        findings = list(run)
    assert findings
    assert all(isinstance(finding, dropwatch.Finding) for finding in findings)
    assert [finding.drop.event.monotonic_ns for finding in findings] == [
        line["monotonic_ns"] for line in lines
    ]
    assert run.totals.matched == end["drops_matched"] == len(findings)
    assert run.totals.seen_by == end["seen_by"]


def test_filters_are_the_words_of_the_command_line(replay: Replayed) -> None:
    for words, wanted in (
        (["--proto", "udp", "--dport", "5000-6000"], {"proto": "udp", "dport": "5000-6000"}),
        (["--cause", "ipsec", "--cause", "!ipsec.no-state"], {"cause": ["ipsec", "!ipsec.no-state"]}),
        (["-6"], {"ipv6": True}),
        (["--netns", "b"], {"netns": "b"}),
    ):
        *lines, _ = told(replay, *words)
        with dropwatch.replay(RECORDING, **wanted) as run:
            assert len(list(run)) == len(lines), words


def test_numbers_addresses_and_several_of_them_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Options] = []
    monkeypatch.setattr("dropwatch.run.live.Live", lambda options, *_: made.append(options))
    dropwatch.live(dport=5000, sport=[1, "2-3"], host="10.9.0.2", count=3, duration=1e-05)
    (options,) = made
    assert (options.wanted.dport, options.wanted.sport) == (((5000, 5000),), ((1, 1), (2, 3)))
    assert (options.count, options.duration) == (3, 1e-05)


def test_it_ends_where_the_block_is_left() -> None:
    with dropwatch.replay(RECORDING) as run:
        first = next(iter(run))
        assert not run.is_over
        with pytest.raises(dropwatch.WhydropError, match="the run is not over"):
            run.totals  # noqa: B018
        assert next(iter(run)) is not first, "a second loop goes on where the first one was left"
    assert run.totals.reported >= 2
    with dropwatch.replay(RECORDING, count=3) as run:
        assert len(list(run)) == 3


def test_stop_ends_it_in_good_order() -> None:
    with dropwatch.replay(RECORDING) as run:
        for _ in run:
            run.stop()
    assert run.totals.reported == 1


def test_a_recording_can_be_made_of_one(tmp_path: Path) -> None:
    copy = tmp_path / "copy.whydrop"
    with dropwatch.replay(RECORDING, proto="udp", write=copy) as run:
        first = list(run)
    with dropwatch.replay(copy) as run:
        assert list(run) == first


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"dport": 70000}, "there is no port 70000"),
        ({"dprot": 53}, "there is no filter 'dprot'"),
        ({"ipv4": True, "host": "::1"}, "no packet can match"),
        ({"count": 0}, "--count 0"),
        ({"write": "/nowhere/x.whydrop"}, "there is no directory"),
    ],
)
def test_what_makes_no_sense_is_an_exception(wanted: dict[str, object], message: str) -> None:
    for start in (dropwatch.live, lambda **words: dropwatch.replay(RECORDING, **words)):
        with pytest.raises(dropwatch.WrongUsage, match=message) as error:
            start(**wanted)  # type: ignore[arg-type]
        assert error.value.hint


def test_a_file_that_is_no_recording(tmp_path: Path) -> None:
    other = tmp_path / "x"
    other.write_text("text")
    with pytest.raises(dropwatch.WrongUsage):
        dropwatch.replay(other)


def test_a_run_is_read_inside_its_block() -> None:
    with pytest.raises(RuntimeError, match="inside its block"):
        iter(dropwatch.replay(RECORDING))


def test_importing_it_costs_nothing_and_it_touches_no_signal() -> None:
    script = f"""
import signal, sys
import dropwatch
assert not [name for name in sys.modules if name.startswith("dropwatch.")], "import dropwatch is to be cheap"
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
with dropwatch.replay({str(RECORDING)!r}) as run:
    next(iter(run))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
assert not {{"bcc", "click", "dropwatch.probe.tracer"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_not_there_yet_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="--iface no-such-if: there is no such interface now"):
        dropwatch.live(iface="no-such-if")


def test_there_is_nothing_else() -> None:
    assert all(getattr(dropwatch, name) for name in dropwatch.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dropwatch.__getattr__("nothing")


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/api.md").read_text()
    recording, live, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    compile(live, "docs/api.md", "exec")
    shutil.copy(RECORDING, tmp_path / "drops.whydrop")
    done = subprocess.run(
        [sys.executable, "-c", recording], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert " (certain) in " in done.stdout
    assert "drops matched, {'kfree_skb': " in done.stdout
