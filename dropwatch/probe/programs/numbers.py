"""The numbers that the programs need of the running kernel, from its BTF, and the families that it has room for."""

import resource
from dataclasses import replace
from functools import cache
from pathlib import Path

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.kernel.btf_enums import anonymous_enum
from dropwatch.kernel.cpus import possible_cpus
from dropwatch.model.dataclass import dataclass
from dropwatch.probe.family import Family
from dropwatch.probe.programs.text import (
    BPF_LOOP,
    CALL,
    CALLBACKS,
    IPVS_PROPERTY,
    REASONS,
    SOCK_ADDR_NAMES,
    THREAD_BYTES,
    TRACEPOINT_NAMES,
    VLAN_PRESENT,
    Mode,
    Text,
    common_files,
    join,
    names_in,
)
from dropwatch.resources import resource_dir

_ENUMS = ("netdev_state_t", "skb_ext_id", "tcp_tw_status", "sk_pacing")
_READ_OF_SK_BUFF = 256  # bytes, twice SKB_HALF of bpf/read.h
_LEAST_THREAD_BYTES = 16384  # THREAD_SIZE of x86 and arm64, where pages are not larger
RING_BYTES, TRACE_RING_BYTES = 8 << 20, 32 << 20
_XT_CHUNKS_PER_CPU = 64  # chunks of 512 entries of legacy tables, 2 KiB each


@dataclass(frozen=True, slots=True)
class Program:
    """What the loader gets: a text, a number for each of its names, and the entries of maps whose size differs.

    `families` are those that work here; `left_out` has the others that this kernel has no room for, with the reason.
    """

    text: Text
    numbers: dict[str, int]
    entries: dict[str, int]
    families: tuple[Family, ...]
    left_out: dict[str, str]


def build(
    families: tuple[Family, ...],
    directory: Path | None = None,
    *,
    without: tuple[Family, ...] = (),
    mode: Mode = "findings",
) -> Program:
    """Switches on the families whose structs this kernel has. Raises CannotRunHere without BTF.

    The text of a family that is switched off is there too, but nothing calls it: the numbers that this kernel
    does not have are zero in it.
    """
    directory = directory or resource_dir("bpf")
    numbers: dict[str, int] = {}
    for name in common_files(mode):
        numbers |= _require(directory / name)
    _check_size(numbers["SIZE_sk_buff"])
    chosen: list[Family] = []
    left_out = {}
    for family in families:
        found, missing = _resolve(*(directory / name for name in family.files))
        numbers |= found | dict.fromkeys(missing, 0)
        if family in without:
            continue
        if family.needs is not None and family.needs not in [there.name for there in chosen]:
            left_out[family.name] = f"it leans on what the family {family.needs} notes"
        elif missing:
            left_out[family.name] = f"this kernel's BTF has no {', '.join(sorted(missing.values()))}"
        else:
            chosen.append(family)
    numbers |= {family.flag: int(family in chosen) for family in families}
    numbers |= _tracepoint_arguments() | _sock_addr_arguments()
    numbers[CALL] = 1  # the answer where nothing is called
    numbers |= dict.fromkeys((BPF_LOOP, *CALLBACKS), int(_has_helper("BPF_FUNC_loop")))
    reasons = btf.vmlinux().enum("skb_drop_reason") or {}
    numbers |= {name: reasons.get(reason, 0) for name, reason in REASONS.items()}
    numbers[VLAN_PRESENT] = _value("BIT", ("sk_buff", "vlan_present")) or 0  # kernels before 6.2
    numbers[IPVS_PROPERTY] = _value("BIT", ("sk_buff", "ipvs_property")) or 0  # kernels with IPVS
    numbers[THREAD_BYTES] = max(_LEAST_THREAD_BYTES, resource.getpagesize())
    entries = {
        "events": TRACE_RING_BYTES if mode == "trace" else RING_BYTES,
        "xt_chunks": _XT_CHUNKS_PER_CPU * possible_cpus(),
    }
    working = tuple(_without_spared(family, numbers) for family in chosen)
    return Program(join(families, mode, directory), numbers, entries, working, left_out)


def _has_helper(name: str) -> bool:
    return name in (btf.vmlinux().enum("bpf_func_id") or {})


def _check_size(size: int) -> None:
    if not _READ_OF_SK_BUFF // 2 < size <= _READ_OF_SK_BUFF:
        raise CannotRunHere(
            f"a struct sk_buff of this kernel has {size} bytes, and whydrop reads {_READ_OF_SK_BUFF} at most",
            "please report this kernel",
        )


def _without_spared(family: Family, numbers: dict[str, int]) -> Family:
    """With the hooks that it needs here: some learn what the tracepoint says by itself on other kernels."""
    reasons = btf.vmlinux().enum("skb_drop_reason") or {}
    needed = tuple(
        hook
        for hook in family.hooks
        if (hook.unless is None or not numbers[hook.unless])
        and hook.unless_reason not in reasons
        and (hook.only_with is None or numbers[hook.only_with])
    )
    return replace(family, hooks=needed)


def _tracepoint_arguments() -> dict[str, int]:
    """Index of an argument of skb:kfree_skb, 0: there is none. It has grown twice, in stable kernels too.

    The programs read them at these places only: a context cannot be read at an index that the compiler does not know.
    """
    arguments = btf.vmlinux().tracepoint_arguments("kfree_skb") or []
    expected = ((2, "skb_drop_reason"), (3, "sock"))
    return {
        flag: index if name in arguments[index : index + 1] else 0
        for flag, (index, name) in zip(TRACEPOINT_NAMES, expected, strict=True)
    }


def _sock_addr_arguments() -> dict[str, int]:
    """How many there are tells which: the four that always were, the flags, the length of the address before them."""
    arguments = btf.vmlinux().parameters("__cgroup_bpf_run_filter_sock_addr") or []
    return {name: int(len(arguments) > 4 + at) for at, name in enumerate(SOCK_ADDR_NAMES)}


def _require(file: Path) -> dict[str, int]:
    found, missing = _resolve(file)
    if missing:
        raise CannotRunHere(
            f"this kernel's BTF has no {', '.join(sorted(missing.values()))}, which bpf/{file.name} needs",
            "whydrop check tells what this host can do; please report this kernel",
        )
    return found


def _resolve(*files: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Values of the names in these files, and what of them this kernel lacks (as `struct.member`)."""
    found: dict[str, int] = {}
    missing: dict[str, str] = {}
    for kind, rest in {name for file in files for name in names_in(file)}:
        path = _path(rest) if kind in ("OFF", "BIT") else (rest,)
        value = _value(kind, path)
        if value is None:
            missing[f"{kind}_{rest}"] = ".".join(path)
        else:
            found[f"{kind}_{rest}"] = value
    return found, missing


@cache
def _value(kind: str, path: tuple[str, ...]) -> int | None:
    kernel = btf.vmlinux()
    if kind == "OFF":
        return kernel.offset(path[0], path[1:])
    if kind == "BIT":
        member = kernel.members(path[0]).get(path[1])
        return None if member is None else member.bit_offset
    if kind == "SIZE":
        return kernel.size(path[0])
    return _enumerators().get(path[0])


@cache
def _enumerators() -> dict[str, int]:
    named = (btf.vmlinux().enum(name) or {} for name in _ENUMS)
    return (
        {name: value for enum in named for name, value in enum.items()}
        | xfrm_counters()
        | xfrm_states()
        | tcp_counters()
        | cgroup_hooks()
    )


@cache
def cgroup_hooks() -> dict[str, int]:
    """Enumerators by which the kernel tells the hooks of a cgroup's programs: before 5.15 those of its interface."""
    own = btf.vmlinux().enum("cgroup_bpf_attach_type")
    if own is not None:
        return own
    attached = btf.vmlinux().enum("bpf_attach_type") or {}
    return {name.removeprefix("BPF_"): value for name, value in attached.items()}


@cache
def xfrm_states() -> dict[str, int]:
    """Enumerators of struct xfrm_state.km.state (include/net/xfrm.h)."""
    return anonymous_enum("XFRM_STATE_VOID", "XFRM_STATE_")


@cache
def tcp_counters() -> dict[str, int]:
    """Enumerators of what /proc/net/netstat has as TcpExt (include/uapi/linux/snmp.h)."""
    return anonymous_enum("LINUX_MIB_NUM", "LINUX_MIB_")


@cache
def xfrm_counters() -> dict[str, int]:
    """Enumerators of the xfrm statistics (include/uapi/linux/snmp.h), and `__LINUX_MIB_XFRMMAX`, their number."""
    names = anonymous_enum("LINUX_MIB_XFRMNUM", "LINUX_MIB_XFRM")
    return names | ({"__LINUX_MIB_XFRMMAX": max(names.values()) + 1} if names else {})


def _path(name: str) -> tuple[str, ...]:
    steps: list[str] = []
    leading = False
    for part in name.split("__"):
        if not part:
            leading = True
            continue
        steps.append("__" + part if leading else part)
        leading = False
    return tuple(steps)
