"""The programs of a cgroup and of those above it."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from dropwatch.host.bpf import cgroups
from dropwatch.host.bpf.cgroups import CgroupProgram, read_cgroup_programs
from dropwatch.host.bpf.programs import EGRESS, Program


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, ...]]:
    """/app/inner, and what is attached to each cgroup by its path."""
    (tmp_path / "app" / "inner").mkdir(parents=True)
    at: dict[str, tuple[int, ...]] = {}

    def upwards(number: int) -> Generator[tuple[str, int], None, None]:
        assert number == 4711
        for path in ("/app/inner", "/app", "/"):
            descriptor = os.open(f"{tmp_path}{path}", os.O_RDONLY)
            try:
                yield path, descriptor
            finally:
                os.close(descriptor)

    def attached(target: int, attach_type: int, *, effective: bool = False) -> tuple[int, ...]:
        assert attach_type == EGRESS
        path = str(Path(f"/proc/self/fd/{target}").readlink()).removeprefix(str(tmp_path)) or "/"
        return at.get("effective", ()) if effective else at.get(path, ())

    monkeypatch.setattr(cgroups, "upwards", upwards)
    monkeypatch.setattr(cgroups, "attached", attached)
    monkeypatch.setattr(cgroups, "read_program", Program)
    return at


def test_where_each_is_attached(tree: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    tree |= {"effective": (7, 8, 9), "/app/inner": (9,), "/app": (8, 5)}
    assert read_cgroup_programs(4711, EGRESS) == (
        CgroupProgram(Program(7)),
        CgroupProgram(Program(8), "/app", f"{tmp_path}/app"),
        CgroupProgram(Program(9), "/app/inner", f"{tmp_path}/app/inner"),
    )


def test_none(tree: dict[str, tuple[int, ...]]) -> None:
    tree |= {"/": (5,)}
    assert read_cgroup_programs(4711, EGRESS) == ()
