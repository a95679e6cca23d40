"""Where the structs of netfilter's modules have their members (bpf/layout.h), from the modules' BTF.

A module has BTF from Linux 5.11 on. Before, the layouts are those of include/net/netfilter/nf_tables.h and
include/linux/netfilter/x_tables.h of that time, put together from the sizes of what they contain; the structs of
the core are in vmlinux's BTF on every kernel.
"""

from dropwatch.kernel import btf
from dropwatch.kernel.cpus import possible_cpus
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.wire.layout import CodeRange, NetfilterLayout, XtEntryLayout

_POINTER = 8
_LIST_HEAD = 16
# By enum killer of bpf/layout.h, each with its names over the years.
_KILLERS = (("nf_hook_slow",), ("nft_do_chain",), ("br_handle_frame",), ("nf_reinject", "nfqnl_reinject"))
SYMBOLS = tuple(name for names in _KILLERS for name in names)
_CACHE_LINE = 64  # SMP_CACHE_BYTES of x86 and arm64; ebtables exists on nothing else that runs bcc


def read_layout(symbols: Kallsyms) -> NetfilterLayout:
    """What is known now: to be asked again when a module has come."""
    found = NetfilterLayout(one_cpu=possible_cpus() == 1, cache_line=_CACHE_LINE)
    for number, names in enumerate(_KILLERS):
        extents = (symbols.extent(name) for name in names)
        found.killers[number] = CodeRange(*next((extent for extent in extents if any(extent)), (0, 0)))
    _nf_tables(found)
    _x_tables(found)
    _ebtables(found)
    _conntrack(found)
    _hooks(found)
    _bridge(found)
    return found


def _nf_tables(found: NetfilterLayout) -> None:
    offset = _Offsets("nf_tables")
    blob = offset.find("nft_chain", "blob_gen_0")
    found.chain_has_blob = blob is not None
    rules = blob if blob is not None else offset("nft_chain", "rules_gen_0", fallback=0)
    found.chain_rules[0], found.chain_rules[1] = rules, rules + _POINTER
    # rules_gen_0, rules_gen_1, rules, list, rhlhead
    before_table = 2 * _POINTER + 2 * _LIST_HEAD + _size("rhlist_head", 2 * _POINTER)
    found.chain_table = offset("nft_chain", "table", fallback=before_table)
    found.chain_handle = offset("nft_chain", "handle", fallback=before_table + _POINTER)
    found.chain_name = offset("nft_chain", "name", fallback=before_table + 3 * _POINTER)
    # list, chains_ht, chains, sets, objects, flowtables, hgenerator
    before_handle = 5 * _LIST_HEAD + _size("rhltable", 0) + _POINTER
    found.table_handle = offset("nft_table", "handle", fallback=before_handle)
    found.table_name = offset("nft_table", "name", fallback=before_handle + 2 * _POINTER)
    # ops, hook_list, type, policy
    before_policy = _size("nf_hook_ops", 40) + _LIST_HEAD + _POINTER
    found.base_policy = offset("nft_base_chain", "policy", fallback=before_policy)
    found.base_chain = offset("nft_base_chain", "chain", fallback=before_policy + 2 * _POINTER)
    found.expression_size = offset("nft_expr_ops", "size", fallback=2 * _POINTER)


def _x_tables(found: NetfilterLayout) -> None:
    offset = _Offsets("x_tables", "ip_tables", "ip6_tables", "arp_tables")
    found.xt_table_first = any(
        _table_comes_first(f"{name}t_do_table", f"{name}_tables") for name in ("ip", "ip6", "arp")
    )
    found.xt_private = offset("xt_table", "private", fallback=24)
    found.xt_name = offset("xt_table", "name", fallback=56)
    found.xt_af = offset("xt_table", "af", fallback=40)
    found.xt_size = offset("xt_table_info", "size", fallback=0)
    found.xt_number = offset("xt_table_info", "number", fallback=4)
    found.xt_underflow = offset("xt_table_info", "underflow", fallback=32)
    found.xt_jumpstack = offset("xt_table_info", "jumpstack", fallback=56)
    found.xt_entries = offset("xt_table_info", "entries", fallback=64)
    found.xt_target_name = offset("xt_target", "name", fallback=_LIST_HEAD)
    # target_offset, next_offset and counters: ABI
    for at, places in enumerate(((88, 96), (140, 152), (164, 176))):
        found.xt_entry[at] = XtEntryLayout(*places)


def _ebtables(found: NetfilterLayout) -> None:
    offset = _Offsets("ebtables")
    found.ebt_table_first = _table_comes_first("ebt_do_table", "ebtables")
    found.ebt_name = offset("ebt_table", "name", fallback=_LIST_HEAD)
    found.ebt_private = offset("ebt_table", "private", fallback=72)
    found.ebt_nentries = offset("ebt_table_info", "nentries", fallback=4)
    found.ebt_counters = offset("ebt_table_info", "counters", fallback=128)


def _conntrack(found: NetfilterLayout) -> None:
    found.ct_log_format = _format_of("nf_ct_l4proto_log_invalid", fallback=3)
    found.log_format = _format_of("nf_l4proto_log_invalid", fallback=5)
    found.connection_status = _Offsets("nf_conntrack")("nf_conn", "status", fallback=0)


def _hooks(found: NetfilterLayout) -> None:
    for family in ("ipv4", "ipv6", "arp", "bridge"):
        offset = btf.vmlinux().offset("net", ("nf", f"hooks_{family}"))
        setattr(found, f"net_hooks_{family}", offset or 0)


def _bridge(found: NetfilterLayout) -> None:
    """The port is an index; it was a device once."""
    kernel = btf.vmlinux()
    extension = (kernel.enum("skb_ext_id") or {}).get("SKB_EXT_BRIDGE_NF")
    index, device = (kernel.offset("nf_bridge_info", (name,)) for name in ("physinif", "physindev"))
    port = index if index is not None else device
    if extension is None or port is None:
        return
    found.bridge_extension, found.bridge_port = extension + 1, port
    found.bridge_port_is_device = index is None


class _Offsets:
    """Offsets of members, from the first of these modules that has the struct, or from the kernel itself."""

    def __init__(self, *modules: str) -> None:
        loaded = [known for module in modules if (known := btf.module(module)) is not None]
        self._known = (*loaded, btf.vmlinux())

    def find(self, struct: str, member: str) -> int | None:
        offsets = (known.offset(struct, (member,)) for known in self._known)
        return next((offset for offset in offsets if offset is not None), None)

    def __call__(self, struct: str, member: str, fallback: int) -> int:
        found = self.find(struct, member)
        return fallback if found is None else found


def _parameters(function: str, *modules: str) -> list[str]:
    """Names of the types that a module's function takes, [] when there is no BTF for it."""
    for module in modules:
        known = btf.module(module)
        found = known.parameters(function) if known is not None else None
        if found:
            return found
    return btf.vmlinux().parameters(function) or []


def _table_comes_first(function: str, *modules: str) -> bool:
    """`ipt_do_table(priv, skb, state)`; before 5.16 `(skb, state, table)`, as it is taken to be without BTF."""
    types = _parameters(function, *modules)
    return bool(types) and types[0] != "sk_buff"


def _format_of(function: str, fallback: int) -> int:
    """Which argument, from 1, is the `const char *`."""
    types = _parameters(function, "nf_conntrack")
    return types.index("char") + 1 if "char" in types else fallback


def _size(struct: str, fallback: int) -> int:
    found = btf.vmlinux().size(struct)
    return fallback if found is None else found
