"""The BPF programs that run for the sockets of a cgroup: its own, and those of the cgroups above it."""

import os
from contextlib import closing

from dropwatch.host.bpf.programs import Program, attached, read_program
from dropwatch.host.cgroups import upwards
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign


@dataclass(frozen=True, slots=True)
class CgroupProgram:
    """`path` is that of the cgroup to which it is attached, `directory` where that is in the file system; both None: it
    is above those that are mounted here.
    """

    program: Program
    path: str | None = None
    directory: str | None = None


def read_cgroup_programs(number: int, attach_type: int) -> tuple[CgroupProgram, ...]:
    """In the order in which they run for a socket of the cgroup of this number.

    Raises FileNotFoundError where it is gone, another OSError where this user may not look.
    """
    effective: tuple[int, ...] = ()
    where: dict[int, tuple[str, str]] = {}  # the nearest of several
    with closing(upwards(number)) as cgroups:
        for path, one in cgroups:
            effective = effective or attached(one, attach_type, effective=True)
            for each in attached(one, attach_type) if effective else ():
                where.setdefault(each, (path, _directory(one)))
            if where.keys() >= set(effective):
                break
    return tuple(CgroupProgram(read_program(each), *where.get(each, ())) for each in effective)


def _directory(cgroup: int) -> str:
    return foreign(os.readlink(f"/proc/self/fd/{cgroup}".encode()))  # noqa: PTH115  # bytes, as they are
