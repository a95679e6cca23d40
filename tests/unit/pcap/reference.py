"""libpcap's own bpf_filter(), by which ours is measured."""

import ctypes
from collections.abc import Sequence

from dropwatch.model.expression import Instruction
from dropwatch.pcap import libpcap


class _Header(ctypes.Structure):
    """struct pcap_pkthdr"""

    _fields_ = (
        ("seconds", ctypes.c_long),
        ("micros", ctypes.c_long),
        ("caplen", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


def matches_by_libpcap(program: Sequence[Instruction], frame: bytes, length: int) -> bool:
    pcap = libpcap._library()
    pcap.pcap_offline_filter.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    instructions = (libpcap._Instruction * len(program))(*(libpcap._Instruction(*one) for one in program))
    made = libpcap._Program(len(program), instructions)
    header = _Header(0, 0, len(frame), length)
    return bool(pcap.pcap_offline_filter(ctypes.byref(made), ctypes.byref(header), frame))
