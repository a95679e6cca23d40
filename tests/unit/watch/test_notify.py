"""What systemd hears, and that nobody hears it where there is none."""

import socket
from pathlib import Path

import pytest

from dropwatch.watch.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_one_datagram_with_a_line_each(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@whydrop-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0", 1) if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1", "STATUS=watching")
        assert systemd.recv(100) == b"READY=1\nSTATUS=watching"


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/notify"])
def test_nobody_hears(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
