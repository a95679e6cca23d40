"""A BPF program that drops everything, where no tool attaches it: netfilter hooks, lookups of sockets, cgroups."""

import ctypes
import os
import platform
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenarios.namespaces import LIBC, Namespace

from dropwatch.kernel.btf import vmlinux

NAME = "drop_all"
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, PROG_ATTACH, RAW_TRACEPOINT_OPEN, LINK_CREATE = 5, 8, 17, 28  # linux/bpf.h
ALLOW_MULTI = 2  # BPF_F_ALLOW_MULTI
TCX_INGRESS, NETKIT_PRIMARY = 46, 54
PROG_TYPE_NETFILTER, ATTACH_NETFILTER = 32, 45
PROG_TYPE_SK_LOOKUP, ATTACH_SK_LOOKUP = 30, 36
PROG_TYPE_XDP = 6
PROG_TYPE_SCHED_CLS = 3
PROG_TYPE_CGROUP_SKB = 8
PROG_TYPE_CGROUP_SOCK_ADDR = 18
PROG_TYPE_LWT_OUT = 11
PROG_TYPE_LSM, ATTACH_LSM_MAC = 29, 27
INGRESS, EGRESS = 0, 1  # BPF_CGROUP_INET_INGRESS, _EGRESS
CALLS = {8: "bind4", 9: "bind6", 10: "connect4", 11: "connect6", 14: "sendmsg4", 15: "sendmsg6"}
LOCAL_IN = 1
DROP = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack(
    "<BBhi", 0x95, 0, 0, 0
)  # r0 = NF_DROP, SK_DROP, XDP_ABORTED; exit
SHOT = struct.pack("<BBhi", 0xB7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = TC_ACT_SHOT; exit
PASS = struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack(
    "<BBhi", 0x95, 0, 0, 0
)  # r0 = 1: what a cgroup lets pass
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


def drop_by_xdp(end: Namespace, instructions: bytes = DROP, mode: str = "xdpgeneric") -> int:
    """Everything that comes in through the interface of this namespace dies; the number of the program.

    Of `mode` xdpdrv in the driver.
    """
    with _loaded(PROG_TYPE_XDP, 0, instructions) as program:
        number = _number(program)
        end.run(f"bpftool net attach {mode} id {number} dev {end.iface}")
    return number


def at_cgroup(directory: Path, hook: int, code: bytes = DROP, name: str = NAME) -> int:
    """For the sockets of the cgroup and of those below, until it is removed; the number of the program."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        kind = PROG_TYPE_CGROUP_SOCK_ADDR if hook in CALLS else PROG_TYPE_CGROUP_SKB
        with _loaded(kind, hook, code, name) as program:
            _bpf(PROG_ATTACH, bytearray(struct.pack("=IIII", group, program, hook, ALLOW_MULTI)))
            return _number(program)
    finally:
        os.close(group)


def drop_by_route(end: Namespace, route: str) -> int:
    """What leaves by this route dies in a program of it; the number of the program."""
    with _loaded(PROG_TYPE_LWT_OUT, 0, SHOT) as program:
        number = _number(program)
        pinned = Path("/sys/fs/bpf", f"whydrop-{number}")
        steps = (
            "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf",
            f"bpftool prog pin id {number} {pinned}",
            f"ip route add {route} encap bpf out pinned {pinned}",
        )
        end.run(f"sh -ec '{'; '.join(steps)}'")
    return number


def drop_by_tc(end: Namespace) -> int:
    """Every IPv4 packet that comes in through the interface dies in a filter of tc; the number of the program."""
    with _loaded(PROG_TYPE_SCHED_CLS, 0, SHOT) as program:
        number = _number(program)
        pinned = Path("/sys/fs/bpf", f"whydrop-{number}")
        end.run(f"tc qdisc add dev {end.iface} clsact")
        steps = (
            "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf",
            f"bpftool prog pin id {number} {pinned}",
            f"tc filter add dev {end.iface} ingress protocol ip pref 9 handle 4 "
            f"bpf direct-action object-pinned {pinned}",
            f"rm {pinned}",
        )
        end.run(f"sh -ec '{'; '.join(steps)}'")
    return number


@contextmanager
def dropping_at_interface(end: Namespace, iface: str, hook: int = TCX_INGRESS) -> Iterator[int]:
    """What passes this hook dies in a program that no filter of tc has; its number. Raises NoSuchLink."""
    with _loaded(PROG_TYPE_SCHED_CLS, 0, SHOT) as program, end.entered():
        number = _number(program)
        attribute = struct.pack("=IIII16x", program, socket.if_nametoindex(iface), hook, 0)
        try:
            link = _bpf(LINK_CREATE, bytearray(attribute))
        except AssertionError as why:
            raise NoSuchLink(str(why)) from None
    try:
        yield number
    finally:
        os.close(link)


@contextmanager
def refusing_by_lsm(port: int) -> Iterator[int]:
    """A security module refuses all that is for a socket of this port; the number of its program."""
    hook = vmlinux().function("bpf_lsm_socket_sock_rcv_skb")
    assert hook is not None
    with _loaded(PROG_TYPE_LSM, ATTACH_LSM_MAC, _refusing(port), btf_id=hook) as program:
        number = _number(program)
        link = _bpf(RAW_TRACEPOINT_OPEN, bytearray(struct.pack("=QI4x", 0, program)))
    try:
        yield number
    finally:
        os.close(link)


def _refusing(port: int) -> bytes:
    """-EPERM where sk->__sk_common.skc_num, which is at 14 in each kernel, is the port: *(u16 *)(*(u64 *)ctx + 14)."""
    return b"".join(
        struct.pack("<BBhi", *each)
        for each in (
            (0x79, 0x11, 0, 0),  # r1 = *(u64 *)(r1 + 0)
            (0x69, 0x11, 14, 0),  # r1 = *(u16 *)(r1 + 14)
            (0xB7, 0, 0, 0),  # r0 = 0
            (0x55, 1, 1, port),  # if r1 != port goto +1
            (0xB7, 0, 0, -1),  # r0 = -1
            (0x95, 0, 0, 0),  # exit
        )
    )


@contextmanager
def _loaded(
    kind: int, attached_to: int, code: bytes = DROP, name: str = NAME, btf_id: int = 0
) -> Iterator[int]:
    """The program, which its link keeps when this ends."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)  # before 5.11 a program counts as locked memory
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    load = bytearray(120)
    struct.pack_into("=IIQQ", load, 0, kind, len(code) // 8, *map(ctypes.addressof, (instructions, licence)))
    struct.pack_into("=16s", load, 48, name.encode())
    struct.pack_into("=I", load, 68, attached_to)
    struct.pack_into("=I", load, 108, btf_id)
    program = _bpf(PROG_LOAD, load)
    try:
        yield program
    finally:
        os.close(program)


def _number(program: int) -> int:
    """By which the kernel knows an open one."""
    return int(Path(f"/proc/self/fdinfo/{program}").read_text().partition("prog_id:")[2].split()[0])


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
