"""The sessions of L2TP in a namespace, by generic netlink."""

from dropwatch.host import netlink
from dropwatch.host.generic import HEADER, ask_family
from dropwatch.host.netlink import attributes, number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

# linux/l2tp.h
_VERSION, _SESSION_GET = 1, 8
_IFNAME, _TUNNEL, _SESSION, _PEER_COOKIE = 8, 9, 11, 16  # L2TP_ATTR_*


@dataclass(frozen=True, slots=True)
class L2tpSession:
    """`tunnel` and `session` are the numbers on this side; `cookie` are the bytes of the one that must be in what comes
    in. Which one that is stays in the kernel's message: it is there so that nobody guesses it.
    """

    tunnel: int
    session: int
    interface: str = ""
    cookie: int = 0


def read_l2tp_sessions(netns_inode: int) -> tuple[L2tpSession, ...]:
    """Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        try:
            family = ask_family(b"l2tp")
            body = HEADER.pack(_SESSION_GET, _VERSION, 0)
            return tuple(netlink.dump(netlink.GENERIC, family, body, family, session_of))
        except netlink.Refused:  # there is no such module
            return ()


def session_of(message: memoryview | bytes) -> L2tpSession:
    """From one message."""
    found = attributes(message[HEADER.size :])
    return L2tpSession(
        number(found.get(_TUNNEL)),
        number(found.get(_SESSION)),
        foreign(found.get(_IFNAME, b"").partition(b"\0")[0]),
        len(found.get(_PEER_COOKIE, b"")),
    )
