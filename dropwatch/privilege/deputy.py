"""A child process that stays root when this one gives it up, for the few tasks that it was made with."""

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping

from dropwatch.errors import WhydropError, WrongUsage

_MOST_BYTES = 1 << 16
_TASK_BYTES = 64

Task = Callable[[], int | None]


class Deputy:
    """`tasks` take nothing and give a descriptor or None: who asks chooses which of them is done, and nothing else.

    It ends with this process, and is told so by `gone`.
    """

    def __init__(self, tasks: Mapping[str, Task], gone: Callable[[], None] = lambda: None) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                here.close()
                _serve(there, tasks, gone)
            finally:
                os._exit(0)
        there.close()
        self._socket = here

    def ask(self, task: str) -> int | None:
        """Raises what the task raised (WhydropError, OSError)."""
        self._socket.sendall(task.encode())
        answer, descriptors, *_ = socket.recv_fds(self._socket, _MOST_BYTES, 1)
        if not answer:
            raise OSError(0, "the process that may write it has ended")
        said = json.loads(answer)
        if "errno" in said:
            raise OSError(said["errno"], said["message"])
        if "message" in said:
            raise (WrongUsage if said["usage"] else WhydropError)(said["message"], said["hint"])
        return descriptors[0] if descriptors else None

    def close(self) -> None:
        self._socket.close()
        os.waitpid(self._pid, 0)


def _serve(asked: socket.socket, tasks: Mapping[str, Task], gone: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(
            number, signal.SIG_IGN
        )  # a terminal's are for the other process, which this one ends with
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in range(3):  # whose reader waits for the end of the other process only
        os.dup2(nowhere, standard)
    while task := asked.recv(_TASK_BYTES):
        descriptor, said = None, {}
        try:
            descriptor = tasks[task.decode()]()
        except WhydropError as error:
            said = {"usage": isinstance(error, WrongUsage), "message": error.message, "hint": error.hint}
        except OSError as error:
            said = {"errno": error.errno, "message": error.strerror or str(error)}
        socket.send_fds(asked, [json.dumps(said).encode()], [] if descriptor is None else [descriptor])
        if descriptor is not None:
            os.close(descriptor)
    gone()
