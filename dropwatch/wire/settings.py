"""What user space tells the programs before they are attached: the typed mirror of bpf/settings.h."""

import ctypes
from ctypes import c_char, c_uint8, c_uint16, c_uint32, c_uint64
from enum import IntEnum

ALTERNATIVES = 4
NAME_BYTES = 16
FRAME_BYTES = 280
MEMORY_WORDS = 16


class Prefix(ctypes.Structure):
    _fields_ = (("address", c_uint32 * 4), ("mask", c_uint32 * 4))


class PortRange(ctypes.Structure):
    _fields_ = (("first", c_uint16), ("last", c_uint16))


class Mark(ctypes.Structure):
    _fields_ = (("value", c_uint32), ("mask", c_uint32))


class ExpressionKind(IntEnum):
    """enum expression"""

    NONE = 0
    PLAIN = 1
    TAG = 2


class Frame(ctypes.Structure):
    _fields_ = (
        ("bytes", c_uint8 * FRAME_BYTES),
        ("captured", c_uint32),
        ("length", c_uint32),
        ("tag", c_uint32),
        ("pad", c_uint32),
        ("memory", c_uint32 * MEMORY_WORDS),
    )


class Settings(ctypes.Structure):
    _fields_ = (
        ("netns_operations", c_uint64),
        ("blackhole_mtu", c_uint64 * 2),
        ("per_cpu_value", c_uint64),
        ("current_kprobe", c_uint64),
        ("bpf_prog_active", c_uint64),
        ("protos", c_uint64 * 4),
        ("send_all", c_uint32),
        ("asks_flow", c_uint32),
        ("families", c_uint32),
        ("asks_proto", c_uint32),
        ("saddrs", c_uint32),
        ("daddrs", c_uint32),
        ("hosts", c_uint32),
        ("sports", c_uint32),
        ("dports", c_uint32),
        ("ports", c_uint32),
        ("netnses", c_uint32),
        ("marks", c_uint32),
        ("ifaces", c_uint32),
        ("asks_arp", c_uint32),
        ("asks_expression", c_uint32),
        ("first_of_a_sort", c_uint32),
        ("saddr", Prefix * ALTERNATIVES),
        ("daddr", Prefix * ALTERNATIVES),
        ("host", Prefix * ALTERNATIVES),
        ("sport", PortRange * ALTERNATIVES),
        ("dport", PortRange * ALTERNATIVES),
        ("port", PortRange * ALTERNATIVES),
        ("netns", c_uint32 * ALTERNATIVES),
        ("mark", Mark * ALTERNATIVES),
        ("iface", (c_char * NAME_BYTES) * ALTERNATIVES),
    )
