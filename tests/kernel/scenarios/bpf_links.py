"""A BPF program that drops everything, linked where no tool does it: to a netfilter hook, to the lookup of sockets."""

import ctypes
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios.namespaces import LIBC, Namespace

NAME = "drop_all"
SYS_BPF = 321  # x86_64
PROG_LOAD, LINK_CREATE = 5, 28  # linux/bpf.h
PROG_TYPE_NETFILTER, ATTACH_NETFILTER = 32, 45
PROG_TYPE_SK_LOOKUP, ATTACH_SK_LOOKUP = 30, 36
PROG_TYPE_XDP = 6
LOCAL_IN = 1
DROP = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack(
    "<BBhi", 0x95, 0, 0, 0
)  # r0 = NF_DROP, SK_DROP, XDP_ABORTED; exit
REDIRECT = b"".join(  # bpf_redirect(9999, 0), to an interface that is not there; exit
    struct.pack("<BBhi", *each)
    for each in ((0xB7, 1, 0, 9999), (0xB7, 2, 0, 0), (0x85, 0, 0, 23), (0x95, 0, 0, 0))
)


class NoSuchLink(Exception):
    """This kernel has no such programs."""


@contextmanager
def dropping_ipv4_input(end: Namespace) -> Iterator[None]:
    """Every IPv4 packet that comes in for this namespace dies. Raises NoSuchLink where the kernel has no such thing."""
    with _loaded(PROG_TYPE_NETFILTER, ATTACH_NETFILTER) as program, end.entered():
        hook = struct.pack("=IIiI", socket.AF_INET, LOCAL_IN, 50, 0)
        link = _bpf(LINK_CREATE, bytearray(struct.pack("=IIII", program, 0, ATTACH_NETFILTER, 0) + hook))
    try:
        yield
    finally:
        os.close(link)


@contextmanager
def dropping_lookups(end: Namespace) -> Iterator[None]:
    """No socket of this namespace is found that is not connected to the sender."""
    with (
        _loaded(PROG_TYPE_SK_LOOKUP, ATTACH_SK_LOOKUP) as program,
        end.entered(),
        Path("/proc/thread-self/ns/net").open() as here,
    ):
        attribute = struct.pack("=IIII", program, here.fileno(), ATTACH_SK_LOOKUP, 0)
        link = _bpf(LINK_CREATE, bytearray(attribute))
    try:
        yield
    finally:
        os.close(link)


def drop_by_generic_xdp(end: Namespace, instructions: bytes = DROP) -> None:
    """Everything that comes in through the interface of this namespace dies, until the program is taken off."""
    with _loaded(PROG_TYPE_XDP, 0, instructions) as program:
        about = Path(f"/proc/self/fdinfo/{program}").read_text()
        number = about.partition("prog_id:")[2].split()[0]
        end.run(f"bpftool net attach xdpgeneric id {number} dev {end.iface}")


@contextmanager
def _loaded(kind: int, attached_to: int, code: bytes = DROP) -> Iterator[int]:
    """The program, which its link keeps when this ends."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)  # before 5.11 a program counts as locked memory
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    load = bytearray(72)
    struct.pack_into("=IIQQ", load, 0, kind, len(code) // 8, *map(ctypes.addressof, (instructions, licence)))
    struct.pack_into("=16s", load, 48, NAME.encode())
    struct.pack_into("=I", load, 68, attached_to)
    program = _bpf(PROG_LOAD, load)
    try:
        yield program
    finally:
        os.close(program)


def _bpf(command: int, attribute: bytearray) -> int:
    """The file descriptor that the call answers with."""
    place = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    fd = int(LIBC.syscall(SYS_BPF, command, place, len(attribute)))
    if fd < 0:
        error = os.strerror(ctypes.get_errno())
        if command == PROG_LOAD:
            raise NoSuchLink(error)
        raise AssertionError(f"the link was refused: {error}")
    return fd
