"""A recording through the whole of `whydrop replay`: the same words, filters, damage, other files made from it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from dropwatch.enrich.answers import Answers
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.model.drop import Event, Frame, MatchResult, Totals
from dropwatch.model.ipsec import Selector, XfrmNote, XfrmPolicy, XfrmState, XfrmTemplate
from dropwatch.recording.members import opening, pack, read_items
from dropwatch.render.layout import Layout
from dropwatch.run import bounds
from dropwatch.run.modes import renderer_for
from dropwatch.run.options import Options
from dropwatch.run.pipeline import pipeline
from dropwatch.run.write import listener_for, start_of
from tests.unit.told_host import ToldHost

A, B = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
ALGORITHMS = (("aead", "rfc4106(gcm(aes))", 160, 128),)
STATE = XfrmState(4, A, B, "esp", 0x1001, "transport", reqid=1, state="valid", algorithms=ALGORITHMS)
FLOW = Selector(4, A, 32, B, 32, 17, dport=5000, dport_mask=0xFFFF)
POLICY = XfrmPolicy(FLOW, "in", "allow", 0, 8, templates=(XfrmTemplate("esp", "transport", reqid=1),))
FRAMES = {
    1: Frame("xfrm_input", 479, None, 1), 2: Frame("__udp4_lib_rcv", 99, None, 2),
    3: Frame("inet_sock_destruct", 5, None, 3), 4: Frame("ip_local_deliver_finish", 129, None, 4),
}  # fmt: skip
REASONS = {7: "NO_SOCKET", 8: "QUEUE_PURGE"}
Record = Callable[..., tuple[Path, str]]
Replay = Callable[..., tuple[int, str, str]]


def ip(proto: int, body: bytes) -> bytes:
    head = bytes((0x45, 0)) + (20 + len(body)).to_bytes(2, "big") + bytes((0, 1, 0, 0, 64, proto, 0, 0))
    return head + A.packed + B.packed + body


ESP = ip(50, bytes.fromhex("0000100100000007") + b"\xab" * 40)
UDP = ip(17, bytes.fromhex("9c400009000f0000") + b"private")


@pytest.fixture
def events(make_event: Callable[..., Event]) -> list[Event]:
    """An ESP packet that failed its check, datagrams to a closed port, and a harmless drop."""
    esp = make_event(
        packet=ESP, location=1, stack=(1, 4), reason=None,
        xfrm=XfrmNote(frozenset({"icvfail"}), ("XfrmInStateProtoError",), 0x1001, 7, STATE),
    )  # fmt: skip
    udp = make_event(
        packet=UDP, location=2, stack=(2, 4), reason=7, monotonic_ns=83521935700, netns=4026532235
    )
    again = make_event(
        packet=UDP, location=2, stack=(2, 4), reason=7, monotonic_ns=83621935700, netns=4026532235
    )
    purged = make_event(packet=UDP, location=3, stack=(3,), reason=8, monotonic_ns=83721935700)
    return [esp, udp, again, again, purged, udp]


@pytest.fixture
def record(tmp_path: Path, events: list[Event], make_answers: Callable[..., Answers]) -> Record:
    """Records a run over these events; the file, and what the run showed."""

    def run(name: str = "x.whydrop", end: bool = True, **how: Any) -> tuple[Path, str]:
        path = tmp_path / name
        options = Options(write=path, **how)
        listener = listener_for(options)
        answers = make_answers(
            frame=FRAMES.__getitem__,
            reason=REASONS.get,
            netns={4026532234: "b", 4026532235: None}.__getitem__,
            interface=lambda netns, index: "vb",
            host=ToldHost(xfrm=XfrmConfig((STATE,), (POLICY,), 5)),
        )
        stages = pipeline(answers, options, listener, lambda by_filter: lambda drop: MatchResult("direct"))
        plain = renderer_for(options, Layout(), 4026532235)
        listener.begin(start_of(options, 4026532235))
        shown, now = "", 100.0
        for event in events:
            finding = stages.finding(event)
            if finding is not None:
                listener.shown(now)
                shown += plain.finding(finding, now)
            now += 0.45
            listener.tick(now)
            shown += plain.tick(now)
        lost, blind = {"ring buffer full": 3}, ("probe x: not attached",)
        suppressed = dict(stages.suppressed) | {"benign.unix-socket": 2}
        totals = Totals({"kfree_skb": 11}, stages.matched, stages.matched, lost, suppressed, blind)
        if end:
            listener.end(totals, 2, now)
        listener.close()
        return path, shown + plain.end(totals, now)

    return run


def causes(out: str) -> list[str]:
    return [json.loads(line)["cause"]["id"] for line in out.splitlines() if '"type": "drop"' in line]


def test_the_text_is_the_same(record: Record, replay: Replay) -> None:
    path, shown = record()
    code, out, err = replay(path)
    assert (code, out) == (0, shown)
    assert "[ipsec.auth-failed]" in out
    assert f"replaying {path}: recorded 20" in " ".join(err.split())
    assert all(len(line) <= 80 or str(path) in line for line in err.splitlines())
    assert "11 drops seen in all" in err
    assert "probe x: not attached" in err
    assert "benign.unix-socket 2" in err


def test_the_json_is_the_same(record: Record, replay: Replay) -> None:
    path, shown = record(json=True)
    assert replay(path, "--json") == (0, shown, "")


@pytest.mark.parametrize("how", [{"view": "stack", "count": 1}, {"view": "stack"}, {"view": "folded"}])
def test_stacks_are_shown_as_they_were(how: dict[str, Any], record: Record, replay: Replay) -> None:
    path, shown = record(payload=True, **how)
    assert replay(path)[:2] == (0, shown)
    assert "[ipsec.auth-failed]" in replay(path, "--findings")[1]
    assert causes(replay(path, "--findings", "--json", "--count", "1")[1]) == ["ipsec.auth-failed"]


def test_json_of_folded_stacks_is_json(record: Record, replay: Replay) -> None:
    path, _ = record(view="folded")
    code, out, _ = replay(path, "--json")
    assert (code, causes(out)[:1]) == (0, ["ipsec.auth-failed"])
    assert json.loads(out.splitlines()[-1])["type"] == "end"


@pytest.mark.parametrize(
    ("bound", "why"),
    [
        ("_SECONDS", "takes longer than a recording of its size can"),
        ("_SHOWN", "shows more than a recording"),
    ],
)
def test_a_replay_costs_no_more_than_its_file_can_mean(
    bound: str, why: str, record: Record, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = record()
    monkeypatch.setattr(bounds, bound, -1_000_000)
    code, _, err = replay(path)
    assert code == 1
    assert why in err


def test_a_recording_out_of_a_pipe_has_no_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    bounds.Bounds(tmp_path / "pipe").check("x" * (1 << 25))


def test_times_are_those_of_the_machine_that_recorded(
    record: Record,
    replay: Replay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, shown = record()
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    try:
        assert replay(path)[1] == shown
        assert os.environ["TZ"] == "Pacific/Chatham"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_harmless_was_kept_too(record: Record, replay: Replay) -> None:
    path, _ = record()
    code, out, _ = replay(path, "--json", "--all")
    assert code == 0
    assert "benign.socket-close" in causes(out)
    assert "benign.socket-close" not in causes(replay(path, "--json")[1])
    assert causes(replay(path, "--json", "--cause", "benign")[1]) == ["benign.socket-close"]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--dport", "9"], 4),
        (["--dport", "5000"], 1),
        (["--dport", "5001"], 0),
        (["--proto", "udp", "--saddr", "10.9.0.0/24"], 5),  # the policy of the ESP packet is for UDP
        (["--netns", "b"], 1),
        (["--netns", "4026532235"], 4),
        (["--netns", "net:[4026532235]", "--netns", "b"], 5),
        (["--netns", "nobody"], 0),
        (["--netns", "b,4026532235"], 5),
        (["--netns", "!b"], 4),
        (["--netns", "all"], 5),
        (["--iface", "!vb"], 0),
        (["--dport", "!9"], 1),
        (["udp", "dst", "port", "9"], 4),
        (["udp dst port 5000"], 1),  # as with the option: what the policy of the ESP packet says
        (["ip6"], 0),
        (["--iface", "vb"], 5),
        (["--iface", "eth7"], 0),
        (["--reason", "no_socket"], 4),
        (["--reason", "A_REASON_OF_A_LATER_KERNEL"], 0),
        (["--reason", "!SKB_DROP_REASON_NO_SOCKET"], 1),
        (["--cause", "ipsec"], 1),
        (["--count", "2"], 2),
    ],
)
def test_filters(
    words: list[str],
    count: int,
    record: Record,
    replay: Replay,
) -> None:
    path, _ = record()
    code, out, _ = replay(path, "--json", *words)
    assert (code, len(causes(out))) == (0, count)
    end = json.loads(out.splitlines()[-1])
    assert (end["drops_seen"], end["drops_matched"], end["events_lost"]) == (11, count, 3)
    if words == ["--dport", "5000"]:
        assert json.loads(out.splitlines()[0])["match"] == "ipsec"


def test_a_recording_of_a_recording(record: Record, replay: Replay, tmp_path: Path) -> None:
    path, shown = record(json=True)
    copy = tmp_path / "copy.whydrop"
    assert replay(path, "--json", "--write", copy) == (0, shown, "")
    assert replay(copy, "--json") == (0, shown, "")
    assert replay(path, "--write", path)[0] == 2


def test_payload_is_kept_on_request_only(record: Record, replay: Replay, tmp_path: Path) -> None:
    without, _ = record("without.whydrop")
    kept, _ = record("with.whydrop", payload=True)
    for path, there in ((without, False), (kept, True)):
        packets = [item["event"]["packet"] for item in read_items(path) if item["item"] == "event"]
        assert any(b"private" in bytes.fromhex(packet) for packet in packets) == there
        capture = tmp_path / f"{path.stem}.pcapng"
        assert replay(path, "--write", capture, *(["--payload"] if there else []))[0] == 0
        assert (b"private" in capture.read_bytes()) == there
    assert replay(without, "--json")[1] == replay(kept, "--json")[1]


def test_other_addresses_in_the_file(record: Record, replay: Replay, tmp_path: Path) -> None:
    path, _ = record(json=True)
    other = tmp_path / "other.whydrop"
    assert replay(path, "--write", other, "--anonymize")[0] == 0
    code, out, err = replay(other, "--json")
    assert (code, err) == (0, "")
    assert causes(out) == causes(replay(path, "--json")[1])
    assert str(A) not in out
    assert str(A) not in "".join(map(str, read_items(other)))
    first = json.loads(out.splitlines()[0])
    assert first["packet"]["saddr"] in first["object"]["text"]
    assert first["packet"]["spi"] == "0x00001001"
    assert json.loads(replay(other, "--json", "--dport", "5000")[1].splitlines()[0])["match"] == "ipsec"


def test_without_its_end(record: Record, replay: Replay) -> None:
    path, shown = record(json=True, end=False)
    code, out, err = replay(path, "--json")
    assert code == 1
    assert out.splitlines()[:-1] == shown.splitlines()[:-1]
    end = json.loads(out.splitlines()[-1])
    assert (end["drops_seen"], end["seen_by"], end["events_lost"]) == (None, None, None)
    assert "cannot be read to its end" in end["blind_spots"][-1]
    assert err.startswith(f"whydrop: error: {path} is damaged: its end is missing")
    assert err.splitlines()[1].startswith("hint: ")
    code, out, err = replay(path)
    assert "how many drops were seen in all is not known" in err


def test_damaged_anywhere_it_ends_well(record: Record, replay: Replay) -> None:
    path, shown = record(json=True)
    data, whole = path.read_bytes(), shown.splitlines()
    source = random.Random(7)
    cases = [data[:at] for at in range(0, len(data), 7)]
    for _ in range(150):
        at = source.randrange(len(data))
        cases.append(data[:at] + bytes((source.randrange(256),)) + data[at + 1 :])
    for case in cases:
        path.write_bytes(case)
        code, out, err = replay(path, "--json")
        lines = out.splitlines()
        if code == 0:  # a header of gzip has bytes that say nothing of the lines
            assert out == shown
            continue
        assert code in (1, 2), err
        assert lines[:-1] == whole[: len(lines[:-1])]
        assert len(err.splitlines()) == 2
        assert "this should not have happened" not in err


def mutated(source: random.Random, value: Any) -> Any:
    """The same JSON with one part of it replaced by something else."""
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(sorted(value))
        return {**value, key: mutated(source, value[key])}
    if isinstance(value, list) and value and source.random() < 0.9:
        at = source.randrange(len(value))
        return [*value[:at], mutated(source, value[at]), *value[at + 1 :]]
    return source.choice(
        [
            None,
            -1,
            2**64 - 1,
            2**70,
            1.5,
            -1.5,
            True,
            "",
            "x" * 300,
            "\x1b[31m\u202e",
            [],
            {},
            [[]],
            4095,
            "::1",
            "AAAA",
        ]
    )


def test_hostile_items_are_refused_or_shown(record: Record, replay: Replay) -> None:
    """Frames that are whole, with anything in them: two lines of error or a finding, never a crash."""
    path, _ = record(json=True)
    items = list(read_items(path))
    source = random.Random(11)
    for _ in range(400):
        at = source.randrange(len(items))
        path.write_bytes(
            opening("0.2.0") + b"".join(pack([*items[:at], mutated(source, items[at]), *items[at + 1 :]]))
        )
        for words in (["--json"], []):
            code, out, err = replay(path, *words)
            assert code in (0, 1, 2)
            assert "this should not have happened" not in err, err
            assert not {"\x1b", "\u202e"} & set(out + err)


def test_it_asks_nothing_of_the_machine_it_runs_on(record: Record) -> None:
    """No bcc, no pyroute2, nothing of /proc and /sys, no socket, no other program."""
    path, shown = record(json=True)
    guard = """
import sys
def hook(event, args):
    if event == "open" and str(args[0]).startswith(("/proc", "/sys", "/run")): raise RuntimeError(args[0])
    if event == "import" and args[0].split(".")[0] in ("bcc", "pyroute2"): raise RuntimeError(args[0])
    if event.startswith(("socket.", "subprocess.")) or event == "ctypes.dlopen" and args[0]: raise RuntimeError(event)
sys.addaudithook(hook)
from dropwatch.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", guard, "replay", str(path), "--json", "--debug"]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, shown, "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--anonymize"], "there is none"),
        (["--payload"], "there is none"),
        (["--write", "y.whydrop", "--anonymize", "--payload"], "cannot look into payload"),
        (["--write", "/nowhere/y.whydrop"], "there is no directory"),
        (["--write", "y.pcap"], "no place for comments"),
        (["--duration", "3"], "no option --duration"),
        (["--cause", "nonsense"], "no such cause"),
    ],
)
def test_wrong_usage(
    words: list[str],
    why: str,
    record: Record,
    replay: Replay,
) -> None:
    path, _ = record()
    code, out, err = replay(path, *words)
    assert (code, out) == (2, "")
    assert why in err


@pytest.mark.parametrize("begun", [False, True])
def test_a_pipe_into_which_nobody_writes_any_more(begun: bool, record: Record, tmp_path: Path) -> None:
    """It is waited for, but not when a signal says to stop; what came is told."""
    path, shown = record(json=True)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [sys.executable, "-c", "from dropwatch.cli.main import main; import sys; sys.exit(main())"]
    process = subprocess.Popen(
        [*words, "replay", str(pipe), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not hears(process.pid, signal.SIGTERM):
        assert process.poll() is None
    if not begun:
        process.terminate()
        out, said = process.communicate(timeout=60)
        assert (process.returncode, out, said.strip()) == (130, "", "")
        return
    with pipe.open("wb") as writing:
        writing.write(opening("1") + b"".join(pack(list(read_items(path))[:-1])))
        writing.flush()
        told = process.stdout.readline()
        process.terminate()
        out, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert shown.startswith(told)
    assert json.loads(out.splitlines()[-1])["type"] == "end"


def hears(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for this signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
