"""Which network namespaces there are on this host: by inode, by name, by what a user wrote.

A namespace is known by its inode number in nsfs; its file is a name that `ip netns` made, or the `ns/net` of
a process. No file of another namespace stays open: that would keep it alive after its owner has gone.
"""

import errno
import fcntl
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.host.netns import files
from dropwatch.host.netns.files import OWN_FILE, NamespaceFiles, entries, is_namespace, nsfs_device
from dropwatch.names.foreign import foreign

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
CLONE_NEWNET = 0x40000000  # linux/sched.h
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h: _IO(0xb7, 3)
_PROC = Path("/proc")
_REMEMBERED = 4096
_TRIES = 3
_PID_MAX_LIMIT = 1 << 22  # linux/threads.h; the kernel numbers namespaces from 0xf0000000 on


_FILES = NamespaceFiles()


def own_inode() -> int:
    """The inode of the namespace that this thread is in."""
    return OWN_FILE.stat().st_ino


def netns_name(inode: int) -> str | None:
    """What a user knows a namespace by: its `ip netns` name, else a process in it, as `pid 812 (nginx)`.

    None for the nameless namespace that whydrop itself runs in, and for one that is gone or cannot be looked for.
    """
    try:
        return _named(inode)[0]
    except OSError:
        return None


def _named(inode: int) -> tuple[str | None, Path | None]:
    """The name, and the file that proves it."""
    path = _FILES.find(inode)
    if path is not None and path.parent == files.NAMES_DIR:
        return _as_named(foreign(os.fsencode(path.name))), path
    if inode == own_inode():
        return None, OWN_FILE
    return (f"pid {path.parts[2]} ({_comm(path.parents[1])})", path) if path is not None else (None, None)


def _as_named(name: str) -> str:
    """A name that `ip netns` has, which might be chosen to look like that of a process."""
    return name.replace(" ", "\\x20", 1) if name.startswith("pid ") else name


class NetnsNames:
    """`netns_name` with a memory: a thousand drops do not walk /proc a thousand times.

    The kernel gives the inode of a namespace that is gone to the next one, so that a name is believed only while its
    file still is that namespace; that there is none is not remembered here, but by `NamespaceFiles`.
    """

    def __init__(self, look_up: Callable[[int], tuple[str | None, Path | None]] = _named) -> None:
        self._look_up = look_up
        self._known: OrderedDict[int, tuple[str | None, Path]] = OrderedDict()

    def name(self, inode: int) -> str | None:
        """Raises OSError where it cannot be looked for."""
        name, file = self._known.pop(inode, (None, None))
        if file is None or not is_namespace(file, inode):
            name, file = self._look_up(inode)
        if file is not None:
            self._known[inode] = name, file
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return name


def resolve_netns(text: str) -> int:
    """The inode of the namespace that a user wrote as `ip netns` name, path, inode (also `net:[N]`) or PID.

    A name that is all digits comes before the number. Raises WrongUsage when there is no such namespace,
    CannotRunHere when this user may not look.
    """
    if "/" in text:
        return _inode_of(Path(text), text)
    if text not in {"", ".", ".."} and "\0" not in text and _exists(files.NAMES_DIR / text):
        return _inode_of(files.NAMES_DIR / text, text)
    digits = text.removeprefix("net:[").removesuffix("]") if text.startswith("net:[") else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
        raise WrongUsage(
            f"there is no network namespace named {text!r}",
            f"{_known_names()}; without --netns all are watched, also those that come later",
        )
    number = int(digits)
    if digits == text and number <= _PID_MAX_LIMIT:
        if not _exists(_PROC / str(number)):
            raise WrongUsage(f"there is no process {number} whose network namespace to watch", _known_names())
        return _inode_of(_PROC / str(number) / "ns/net", text)
    _path_of(number, text)
    return number


def open_netns(inode: int) -> int:
    """A descriptor of the namespace, for the caller to close at once.

    Raises FileNotFoundError when it is gone, else OSError.
    """
    for _ in range(_TRIES):
        path = OWN_FILE if inode == own_inode() else _FILES.find(inode)
        if path is None:
            break
        try:
            descriptor = os.open(path, OPEN_FLAGS)
        except FileNotFoundError:  # that process has ended, another may be there
            continue
        if _matches(os.fstat(descriptor), inode):
            return descriptor
        os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, f"no network namespace with inode {inode}")


def _path_of(inode: int, text: str) -> Path:
    path = NamespaceFiles().find(inode)
    if path is None:
        raise WrongUsage(f"there is no network namespace with inode {text}", _known_names())
    return path


def _inode_of(path: Path, text: str) -> int:
    """The inode behind a file that has to be a network namespace."""
    try:
        if path.stat().st_dev == nsfs_device():
            descriptor = os.open(path, OPEN_FLAGS)
            try:
                if fcntl.ioctl(descriptor, _NS_GET_NSTYPE) == CLONE_NEWNET:
                    return os.fstat(descriptor).st_ino
            finally:
                os.close(descriptor)
    except PermissionError as error:
        raise CannotRunHere(
            f"may not look at the network namespace {text!r}: {error.strerror}",
            "run whydrop as root, in a container with CAP_SYS_PTRACE",
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a path has no null byte"
        raise WrongUsage(f"cannot use {text!r} as a network namespace: {reason}", _known_names()) from error
    raise WrongUsage(f"{text!r} is not a network namespace", _known_names())


def _known_names() -> str:
    names = [foreign(path.name) for path in entries(files.NAMES_DIR)]
    known = f"`ip netns` knows {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
    return f"{known or '`ip netns` knows no names here'}; a path, an inode or a PID will do as well"


def _matches(found: os.stat_result, inode: int) -> bool:
    return found.st_ino == inode and found.st_dev == nsfs_device()


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _comm(process: Path) -> str:
    try:
        return foreign((process / "comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return "?"
