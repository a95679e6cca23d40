"""The process: it ends with its client, and its children with it; it needs its library, and nobody else does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dropwatch.cli import mcp
from dropwatch.cli.main import main
from tests.unit.mcp.conftest import PROGRAM

GREETING = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
Say = Callable[..., None]


@pytest.fixture
def server() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [PROGRAM, "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def say(server: "subprocess.Popen[str]", **message: object) -> None:
    assert server.stdin is not None
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def waits_in_a_tool(server: "subprocess.Popen[str]", fifo: Path) -> str:
    """A child that reads what nobody will ever write; its PID."""
    os.mkfifo(fifo)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("this is no JSON\n")
    say(server, id=1, method="initialize", params=GREETING)
    assert json.loads(server.stdout.readline())["result"]["serverInfo"]["name"] == "whydrop"
    say(server, method="notifications/initialized")
    say(server, id=2, method="tools/call", params={"name": "replay", "arguments": {"path": str(fifo)}})
    until = time.monotonic() + 30
    while not (found := children(server.pid)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found[0]


def is_over(pid: str) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # nobody reaps orphans in some containers
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_call_can_be_cancelled_and_the_end_of_input_ends_it(
    server: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    child = waits_in_a_tool(server, tmp_path / "fifo")
    say(server, method="notifications/cancelled", params={"requestId": 2})
    assert is_over(child)
    say(server, id=3, method="ping")
    assert server.stdout is not None
    assert json.loads(server.stdout.readline()) == {"jsonrpc": "2.0", "id": 3, "result": {}}
    say(
        server,
        id=4,
        method="tools/call",
        params={"name": "replay", "arguments": {"path": str(tmp_path / "fifo")}},
    )
    out, err = server.communicate(timeout=20)
    assert server.returncode == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == [4]
    assert "Traceback" not in err


def test_a_signal_ends_it_and_what_it_runs(server: "subprocess.Popen[str]", tmp_path: Path) -> None:
    child = waits_in_a_tool(server, tmp_path / "fifo")
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 128 + signal.SIGTERM
    assert is_over(child)


@pytest.mark.parametrize(("name", "major"), [("no_such_library", "2"), ("mcp", "9")])
def test_without_the_library_it_says_what_to_install(
    name: str, major: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "_LIBRARY", name)
    monkeypatch.setattr(mcp, "_MAJOR", major)
    assert main(["mcp"]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert f"the Python package {name}" in err
    assert "whydrop[mcp]" in err


def test_nothing_else_imports_it() -> None:
    code = (
        "import sys; from dropwatch.cli.main import main; main(['check', '--json']); main(['mcp', '--help']);"
        "sys.exit(bool({'mcp', 'pydantic', 'anyio', 'dropwatch.cli.agents'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
