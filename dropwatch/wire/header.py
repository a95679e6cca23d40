"""What every record of the kernel begins with (bpf/event.h)."""

import ctypes
from ctypes import c_uint32, c_uint64


class RecordHeader(ctypes.Structure):
    _fields_ = (("time_ns", c_uint64), ("skb", c_uint64), ("type", c_uint32), ("size", c_uint32))
