"""The XDP programs of the interfaces of a network namespace."""

from typing import Literal

from dropwatch.host import netlink
from dropwatch.host.bpf.programs import Program, read_program
from dropwatch.host.links import links, name_of
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass

Mode = Literal["native", "generic", "offloaded"]
_XDP = 43  # IFLA_XDP, linux/if_link.h
_ATTACHED, _PROGRAM = 2, 4  # IFLA_XDP_ATTACHED, _PROG_ID
_MODES: dict[
    int, tuple[Mode, int]
] = {  # XDP_ATTACHED_*, and the IFLA_XDP_* that has the number where there are several
    1: ("native", 5),
    2: ("generic", 6),
    3: ("offloaded", 7),
}


@dataclass(frozen=True, slots=True)
class XdpProgram:
    """Of an interface; it may have one of each mode."""

    ifindex: int
    interface: str
    mode: Mode
    program: Program


def read_xdp(netns_inode: int) -> tuple[XdpProgram, ...]:
    """Of all interfaces. Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        found = links(lambda index, link: (index, link))
    return tuple(
        XdpProgram(index, name_of(link), mode, read_program(number))
        for index, link in found
        for mode, number in xdp_of(link.get(_XDP, b""))
    )


def xdp_of(nest: bytes) -> tuple[tuple[Mode, int], ...]:
    """Modes and numbers of programs, from IFLA_XDP."""
    about = netlink.attributes(nest)
    how = netlink.number(about.get(_ATTACHED))
    if how in _MODES:
        return ((_MODES[how][0], netlink.number(about.get(_PROGRAM))),)
    return tuple((mode, netlink.number(about[number])) for mode, number in _MODES.values() if number in about)
