"""What reads recordings does it as nobody: a recording may come from a stranger, and it takes no right to read one."""

import os
from pathlib import Path

from dropwatch.privilege.caller import is_own_process
from dropwatch.privilege.root import give_up
from dropwatch.recording.held import hold
from dropwatch.recording.new_file import stay_root_for
from dropwatch.run.replay import refuse_same_file
from dropwatch.run.stop import Stop


def read_as_nobody(stop: Stop, *recordings: Path, write: Path | None = None, option: str = "--write") -> None:
    """Opens these and gives up root for good; a process that does nothing else stays what it was, to make `write`.

    Raises WrongUsage where it would replace what is read.
    """
    hold_all(stop, *recordings, write=write, option=option)
    give_up()


def hold_all(stop: Stop, *recordings: Path, write: Path | None = None, option: str = "--write") -> None:
    """The same, where there is more to open before root is given up."""
    if is_own_process() and os.geteuid() == 0:
        for path in recordings:
            with stop.waiting():
                hold(path)
            refuse_same_file(path, write)
        stay_root_for(write, option)
