"""What every record of the kernel begins with (bpf/event.h), and which kinds there are."""

import ctypes
from ctypes import c_uint32, c_uint64

# enum record_type
RECORD_DROP, RECORD_XFRM, RECORD_ENGINES, RECORD_NFT, RECORD_XT, RECORD_EBT, RECORD_MODULE = range(1, 8)
RECORD_HOOKS, RECORD_XFRM_GONE, RECORD_STEP = range(8, 11)
RECORD_RESENT = 30


class RecordHeader(ctypes.Structure):
    _fields_ = (("time_ns", c_uint64), ("skb", c_uint64), ("type", c_uint32), ("size", c_uint32))
