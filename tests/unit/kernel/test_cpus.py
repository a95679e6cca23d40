"""Lists of CPUs, as /sys/devices/system/cpu has them."""

from pathlib import Path

import pytest

from dropwatch.kernel import cpus


@pytest.mark.parametrize(
    ("text", "first", "possible"),
    [("0\n", 0, 1), ("0-3\n", 0, 4), ("1-3,8\n", 1, 9), ("2,4\n", 2, 5), ("7,9-12\n", 7, 13)],
)
def test_a_list_of_cpus(
    text: str, first: int, possible: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list").write_text(text)
    monkeypatch.setattr(cpus, "_ONLINE", tmp_path / "list")
    monkeypatch.setattr(cpus, "_POSSIBLE", tmp_path / "list")
    assert (cpus.an_online_cpu(), cpus.possible_cpus()) == (first, possible)


def test_without_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "_ONLINE", tmp_path / "none")
    monkeypatch.setattr(cpus, "_POSSIBLE", tmp_path / "none")
    assert cpus.an_online_cpu() == 0
    assert cpus.possible_cpus() >= 1
