"""libpcap, which compiles an expression of pcap-filter(7) to classic BPF."""

import ctypes
from contextlib import suppress
from functools import cache
from ipaddress import ip_network
from typing import Any

from dropwatch.errors import CannotRunHere, WrongUsage
from dropwatch.model.expression import Expression, Instruction
from dropwatch.names.foreign import foreign
from dropwatch.pcap.grammar import tree

MOST_BYTES = 8192  # of an expression
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS of linux/bpf_common.h: as many as a socket's filter may have
_NAMES = ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so")
_ETHERNET = 1  # DLT_EN10MB
_SNAPLEN = 262144
_ANY_NETMASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_HINT = "man pcap-filter has the language; for example: 'udp port 5000 and host 10.0.0.1'"


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


def compile_expression(text: str) -> Expression:
    """Raises WrongUsage, with libpcap's own message; CannotRunHere where there is no libpcap."""
    words = _bytes(text)
    pcap = _library()
    handle = pcap.pcap_open_dead(_ETHERNET, _SNAPLEN)
    if not handle:
        raise CannotRunHere(
            "libpcap has no memory for an expression", "ask with options: --host, --port, --proto"
        )
    program = _Program()
    try:
        if pcap.pcap_compile(handle, ctypes.byref(program), words, 1, _ANY_NETMASK):
            said = foreign(pcap.pcap_geterr(handle)).strip()
            raise WrongUsage(f"expression {_shown(text)}: {said}", _hint(text))
        try:
            instructions = _instructions(program)
        finally:
            pcap.pcap_freecode(ctypes.byref(program))
    finally:
        pcap.pcap_close(handle)
    if len(instructions) > MOST_INSTRUCTIONS:
        raise WrongUsage(
            f"expression {_shown(text)}: too large: {len(instructions)} instructions, {MOST_INSTRUCTIONS} at most",
            "use networks instead of many hosts, and port ranges",
        )
    return Expression(text, instructions, tree(text), asks_tag="vlan" in text)


def _bytes(text: str) -> bytes:
    """What is no text for libpcap is refused before it sees it."""
    if not text.strip():
        raise WrongUsage("the expression is empty", f"leave it out to see every drop; {_HINT}")
    if text.lstrip().startswith("-"):
        raise WrongUsage(f"expression {_shown(text)}: it begins with `-`", _HINT)
    if "\0" in text:
        raise WrongUsage("the expression has a NUL byte", _HINT)
    try:
        words = text.encode()
    except UnicodeEncodeError:
        raise WrongUsage("the expression has bytes that are no UTF-8 text", _HINT) from None
    if len(words) > MOST_BYTES:
        raise WrongUsage(
            f"the expression is too long: {len(words)} bytes, {MOST_BYTES} at most",
            "use networks instead of many hosts, and port ranges",
        )
    return words


def _hint(text: str) -> str:
    """tcpdump as well wants a word before an address."""
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        return _HINT
    return f"did you mean '{'host' if network.num_addresses == 1 else 'net'} {text.strip()}'?"


def _shown(text: str) -> str:
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"


def _instructions(program: _Program) -> tuple[Instruction, ...]:
    found = (program.instructions[at] for at in range(program.length))
    return tuple((one.code, one.jt, one.jf, one.k) for one in found)


@cache
def _library() -> Any:
    """Loaded when the first expression comes: options need none of it."""
    for name in _NAMES:
        with suppress(OSError):
            return _declared(ctypes.CDLL(name))
    raise CannotRunHere(
        "an expression needs libpcap, and there is none on this host",
        "install it (Debian: libpcap0.8, Fedora: libpcap), or ask with options: --host, --port, --proto",
    )


def _declared(pcap: Any) -> Any:
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    pcap.pcap_compile.argtypes = (
        *(ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p),
        *(ctypes.c_int, ctypes.c_uint32),
    )
    pcap.pcap_geterr.argtypes = (ctypes.c_void_p,)
    pcap.pcap_geterr.restype = ctypes.c_char_p
    pcap.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
    pcap.pcap_close.argtypes = (ctypes.c_void_p,)
    return pcap
