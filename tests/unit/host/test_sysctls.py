"""A setting below net is read in the namespace, by its name."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from dropwatch.host import sysctls
from dropwatch.host.sysctls import read_sysctl


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysctls, "_SYSCTLS", tmp_path)
    monkeypatch.setattr(sysctls, "entered", lambda inode: nullcontext())
    directory = tmp_path / "net" / "bridge"
    directory.mkdir(parents=True)
    return directory


def test_its_value(settings: Path) -> None:
    (settings / "bridge-nf-call-iptables").write_text("1\n")
    found = read_sysctl(1, "net.bridge.bridge-nf-call-iptables")
    assert found is not None
    assert found.value == 1
    assert found.read_at_ns > 0


def test_one_that_is_not_there_or_no_number(settings: Path) -> None:
    assert read_sysctl(1, "net.bridge.bridge-nf-call-iptables") is None
    (settings / "words").write_text("many of them\n")
    assert read_sysctl(1, "net.bridge.words") is None
