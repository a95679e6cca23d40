"""Errors of XDP programs: the typed mirror of the keys of bpf/xdp.c."""

import ctypes
from ctypes import c_uint32

from dropwatch.model.xdp import XdpError

_ACTIONS = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")  # enum xdp_action, linux/bpf.h
FAILED_REDIRECT = 256


class XdpException(ctypes.Structure):
    _fields_ = (("netns", c_uint32), ("ifindex", c_uint32), ("program", c_uint32), ("action", c_uint32))


def xdp_error(key: bytes) -> XdpError:
    """An action that XDP does not know is an error of the program as well."""
    raw = XdpException.from_buffer_copy(key)
    if raw.action == FAILED_REDIRECT:
        action = "failed redirect"
    else:
        action = _ACTIONS[raw.action] if raw.action < len(_ACTIONS) else f"unknown verdict {raw.action}"
    return XdpError(raw.netns, raw.ifindex, raw.program, action)
