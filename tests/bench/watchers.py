"""What runs beside the packets: nothing, whydrop, and the peers that hook the same functions."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.workloads import PORT

WHYDROP = Path(__file__).parents[2] / ".venv" / "bin" / "whydrop"
PATIENCE = 300.0  # seconds; under emulation on a busy host everything takes its time
QUIET = 0.5  # seconds without work: what there was is done
TICKS = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """It ended, or did not begin to watch, for the reason given."""


@dataclass
class Running:
    """A watcher at work. `start_seconds` until every probe was there; `findings` once it has ended."""

    pid: int
    start_seconds: float
    rss_kib: int
    findings: str = ""

    def cpu_seconds(self) -> float:
        """Of its own time, user and system."""
        if not self.pid:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def settle(self) -> None:
        """Wait until it has worked off what it was given."""
        while self.pid:
            before = self.cpu_seconds()
            time.sleep(QUIET)
            if self.cpu_seconds() - before < QUIET / 5:
                return


@dataclass(frozen=True)
class Watcher:
    """`words` with {ready} and {hold} filled in; `activate` goes to its standard input. No words: nothing runs."""

    name: str
    words: tuple[str, ...] = ()
    activate: str = ""
    has_ready_file: bool = True
    reads_drops: bool = False  # in user space, which takes its time

    @contextmanager
    def running(self) -> Iterator[Running]:
        if not self.words:
            yield Running(0, 0.0, 0)
            return
        with tempfile.TemporaryDirectory(prefix="bench-") as home_name:
            home = Path(home_name)
            ready, out = home / "ready", home / "out"
            hold = home / "hold"  # bpftrace starts it when all is attached
            hold.write_text(f"touch {ready}\nexec sleep 100000\n")
            begun = time.monotonic()
            with out.open("wb") as output, (home / "err").open("wb") as errors:
                process = subprocess.Popen(
                    [word.format(ready=ready, hold=hold) for word in self.words],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=errors,
                    start_new_session=True,
                )
            assert process.stdin is not None
            process.stdin.write(self.activate.encode())
            process.stdin.flush()

            def is_ready() -> bool:
                return ready.exists() if self.has_ready_file else b"activated" in out.read_bytes()

            try:
                _wait(is_ready, process, home)
                running = Running(process.pid, time.monotonic() - begun, _rss(process.pid))
                running.settle()
                yield running
                process.send_signal(signal.SIGINT)
                process.stdin.close()
                process.wait(PATIENCE)
                running.findings = _summary(out)
            finally:
                _end(process)


NOTHING = Watcher("nothing")
REFUSING = "whydrop, other port"
LIGHT = "whydrop --light, other port"
EMPTY = "bpftrace, entry and return"
COUNTING = "bpftrace, stacks counted"
FOLDING = "whydrop, this port"
TELLING = "whydrop --every-packet"
PRINTING = "bpftrace, stacks printed"
PERF = "perf trace"


def watchers() -> list[Watcher]:
    """Those that run beside the packets, in the order of a round."""
    hooks = (
        f"{kind}:{name}" for name in ("nft_do_chain", "ipt_do_table") for kind in ("kprobe", "kretprobe")
    )
    calls = " ".join(f"{hook} {{{{ @c{number} = count(); }}}}" for number, hook in enumerate(hooks))
    deaths = "tracepoint:skb:kfree_skb {{ %s; }}"
    hold = ("-c", "/bin/sh {hold}")
    whydrop = (str(WHYDROP), "--json", "--ready-file", "{ready}", "--dport")
    this_port = (*whydrop, str(PORT))
    return [
        Watcher(REFUSING, (*whydrop, "9999")),
        Watcher(LIGHT, (*whydrop, "9999", "--light")),
        Watcher(EMPTY, ("bpftrace", "-e", calls, *hold)),
        Watcher(COUNTING, ("bpftrace", "-e", deaths % "@[kstack] = count()", *hold)),
        Watcher(
            "dropwatch",
            ("stdbuf", "-oL", "dropwatch", "-l", "kas"),
            "start\n",
            has_ready_file=False,
        ),
        Watcher(FOLDING, this_port, reads_drops=True),
        Watcher(TELLING, (*this_port, "--every-packet"), reads_drops=True),
        Watcher(PRINTING, ("bpftrace", "-e", deaths % 'printf("%s\\n", kstack)', *hold), reads_drops=True),
        Watcher(PERF, ("perf", "trace", "-a", "-e", "skb:kfree_skb", "sh", "{hold}"), reads_drops=True),
    ]


def _wait(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (home / "out").read_text(errors="replace") + (home / "err").read_text(errors="replace")
            raise NotReady(f"exit {process.poll()}: {said[-1000:]}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: it leads a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _summary(out: Path) -> str:
    """whydrop's closing line, else how much there is to read."""
    lines = out.read_text(errors="replace").splitlines()
    if lines and lines[-1].startswith('{"type": "end"'):
        return json.dumps({key: value for key, value in json.loads(lines[-1]).items() if value})
    return f"{len(lines)} lines"
