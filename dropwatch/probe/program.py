"""Joins the BPF program text and finds the numbers it needs in the running kernel's BTF.

The text is never edited: Python chooses which files, and defines names. `OFF_sk_buff__mark` is the offset of a
member, `BIT_sock__sk_userlocks` that of a bit field in bits, `SIZE_sk_buff` the size of a struct,
`ENUM_SKB_EXT_SEC_PATH` an enumerator. Two underscores part the
steps of a path; a name that begins with two itself gives four (`OFF_sock____sk_common__skc_net`).
"""

import re
import resource
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.kernel.cpus import possible_cpus
from dropwatch.probe.family import Family
from dropwatch.resources import resource_dir

_NAMES = re.compile(r"\b(OFF|BIT|SIZE|ENUM)_(\w+)\b")
_ENUMS = ("skb_ext_id", "tcp_tw_status")
RING_BYTES, TRACE_RING_BYTES = 8 << 20, 32 << 20
_XT_CHUNKS_PER_CPU = 64  # chunks of 512 entries of legacy tables, 2 KiB each


HEADERS = ("read.h",)
BASE_FILES = (
    *(
        "maps.c",
        "records.c",
        "flow.c",
        "filter.c",
        "place.c",
        "death.c",
        "calls.c",
        "netfilter.c",
        "modules.c",
    ),
    *("summary.c", "journey.c"),
)
DROP_FILES = ("families.c", "drop.c")
TRACE_FILES = ("trace_step.c", "trace_returns.c", "trace.c")


@dataclass(frozen=True, slots=True)
class Program:
    """What BCC gets: one text and its flags; and the families that this kernel has no room for, with the reason."""

    text: str
    flags: tuple[str, ...]
    families: tuple[Family, ...]
    left_out: dict[str, str]


def build(
    families: tuple[Family, ...],
    directory: Path | None = None,
    *,
    without: tuple[Family, ...] = (),
    summary: bool = False,
    trace: bool = False,
) -> Program:
    """Joins the files, and switches on the families whose structs this kernel has. Raises CannotRunHere without BTF.

    The text of a family that is switched off is there too, but nothing calls it: the numbers that this kernel does not
    have are zero in it. With `summary` the program counts the drops and sends only samples of them; with `trace` there
    are the programs that follow packets as well.
    """
    directory = directory or resource_dir("bpf")
    defined: dict[str, int] = {}
    following = TRACE_FILES if trace else ()
    for name in (*HEADERS, *BASE_FILES, *DROP_FILES, *following):
        defined |= _require(name, (directory / name).read_text())
    chosen: list[Family] = []
    left_out = {}
    for family in families:
        found, missing = _resolve("".join((directory / name).read_text() for name in family.files))
        defined |= found | dict.fromkeys(missing, 0)
        if family in without:
            continue
        if family.needs is not None and family.needs not in [there.name for there in chosen]:
            left_out[family.name] = f"it leans on what the family {family.needs} notes"
        elif missing:
            left_out[family.name] = f"this kernel's BTF has no {', '.join(sorted(missing.values()))}"
        else:
            chosen.append(family)
    own = (name for family in families for name in family.files)
    files = (*BASE_FILES, *own, *DROP_FILES, *following)
    text = "\n".join(f'#line 1 "bpf/{name}"\n{(directory / name).read_text()}' for name in files)
    defined |= {family.flag: family in chosen for family in families}
    defined |= {"SUMMARY": summary, "TRACE": trace, **_tracepoint_arguments()}
    defined["PAGE_SIZE"] = resource.getpagesize()
    defined["RING_PAGES"] = (TRACE_RING_BYTES if trace else RING_BYTES) // resource.getpagesize()
    defined["XT_CHUNKS"] = _XT_CHUNKS_PER_CPU * possible_cpus()
    flags = tuple(f"-D{name}={int(value)}" for name, value in sorted(defined.items()))
    return Program(text, flags, tuple(_without_spared(family, defined) for family in chosen), left_out)


def _without_spared(family: Family, defined: dict[str, int]) -> Family:
    """With the hooks that it needs here: some learn what the tracepoint says by itself on other kernels."""
    needed = tuple(hook for hook in family.hooks if hook.unless is None or not defined[hook.unless])
    return replace(family, hooks=needed)


def _tracepoint_arguments() -> dict[str, int]:
    """Which argument of skb:kfree_skb is what, 0: none. It has grown twice, and stable kernels took the change too."""
    arguments = btf.vmlinux().tracepoint_arguments("kfree_skb") or []
    names = {"KFREE_SKB_REASON_ARGUMENT": "skb_drop_reason", "KFREE_SKB_SOCKET_ARGUMENT": "sock"}
    return {flag: arguments.index(name) if name in arguments else 0 for flag, name in names.items()}


def _require(file: str, text: str) -> dict[str, int]:
    found, missing = _resolve(text)
    if missing:
        raise CannotRunHere(
            f"this kernel's BTF has no {', '.join(sorted(missing.values()))}, which bpf/{file} needs",
            "whydrop check says what this machine can do; please report this kernel",
        )
    return found


def _resolve(text: str) -> tuple[dict[str, int], dict[str, str]]:
    """Values of the names in a text, and what of them this kernel lacks (as `struct.member`)."""
    found: dict[str, int] = {}
    missing: dict[str, str] = {}
    for kind, rest in set(_NAMES.findall(text)):
        path = _path(rest) if kind in ("OFF", "BIT") else (rest,)
        value = _value(kind, path)
        if value is None:
            missing[f"{kind}_{rest}"] = ".".join(path)
        else:
            found[f"{kind}_{rest}"] = value
    return found, missing


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
    return {name: value for enum in named for name, value in enum.items()} | xfrm_counters() | xfrm_states()


def xfrm_states() -> dict[str, int]:
    """Enumerators of struct xfrm_state.km.state (include/net/xfrm.h)."""
    return btf.anonymous_enum("XFRM_STATE_VOID", "XFRM_STATE_")


def xfrm_counters() -> dict[str, int]:
    """Enumerators of the xfrm statistics (include/uapi/linux/snmp.h), and `__LINUX_MIB_XFRMMAX`, their number."""
    names = btf.anonymous_enum("LINUX_MIB_XFRMNUM", "LINUX_MIB_XFRM")
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
