"""Where the structs of netfilter's modules and of tun have their members: the typed mirror of bpf/layout.h."""

import ctypes
from ctypes import c_uint32, c_uint64

KILLERS = 4
TUN_WRITERS = 2


class XtEntryLayout(ctypes.Structure):
    _fields_ = (("offsets", c_uint32), ("counters", c_uint32))


class CodeRange(ctypes.Structure):
    _fields_ = (("start", c_uint64), ("end", c_uint64))


class TunLayout(ctypes.Structure):
    _fields_ = (
        ("writer", CodeRange * TUN_WRITERS),
        ("tun", c_uint32),
        ("flags", c_uint32),
        ("device", c_uint32),
        ("pad", c_uint32),
    )


class NetfilterLayout(ctypes.Structure):
    _fields_ = (
        ("killers", CodeRange * KILLERS),
        ("chain_rules", c_uint32 * 2),
        ("chain_has_blob", c_uint32),
        ("chain_table", c_uint32),
        ("chain_handle", c_uint32),
        ("chain_name", c_uint32),
        ("table_name", c_uint32),
        ("table_handle", c_uint32),
        ("base_chain", c_uint32),
        ("base_policy", c_uint32),
        ("expression_size", c_uint32),
        ("xt_table_first", c_uint32),
        ("xt_private", c_uint32),
        ("xt_name", c_uint32),
        ("xt_af", c_uint32),
        ("xt_size", c_uint32),
        ("xt_number", c_uint32),
        ("xt_underflow", c_uint32),
        ("xt_jumpstack", c_uint32),
        ("xt_entries", c_uint32),
        ("xt_target_name", c_uint32),
        ("one_cpu", c_uint32),
        ("xt_entry", XtEntryLayout * 4),
        ("ebt_table_first", c_uint32),
        ("ebt_private", c_uint32),
        ("ebt_name", c_uint32),
        ("ebt_nentries", c_uint32),
        ("ebt_counters", c_uint32),
        ("cache_line", c_uint32),
        ("ct_log_format", c_uint32),
        ("log_format", c_uint32),
        ("connection_status", c_uint32),
        ("net_hooks_ipv4", c_uint32),
        ("net_hooks_ipv6", c_uint32),
        ("net_hooks_arp", c_uint32),
        ("net_hooks_bridge", c_uint32),
        ("bridge_extension", c_uint32),
        ("bridge_port", c_uint32),
        ("bridge_port_is_device", c_uint32),
    )
