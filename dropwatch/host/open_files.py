"""What a process has open, as /proc/PID/fd names it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def open_files(process: Path) -> Iterator[tuple[str, str]]:
    """Number and target (`socket:[812]`, `anon_inode:bpf-prog`) of each; none of a process that has just ended.

    One that is closed while they are read hides none of the others: busy programs close files all the time.
    """
    with suppress(OSError), os.scandir(process / "fd") as descriptors:
        for one in descriptors:
            try:
                target = os.readlink(one)  # noqa: PTH115  # not a path
            except OSError:
                continue
            yield one.name, target
