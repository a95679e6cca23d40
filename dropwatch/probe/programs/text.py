"""Joins the text of the BPF programs, and finds the names in it that stand for numbers of the running kernel.

The text is never edited: Python chooses which files. `OFF_sk_buff__mark` is the offset of a member,
`BIT_sock__sk_userlocks` that of a bit field in bits, `SIZE_sk_buff` the size of a struct, `ENUM_SKB_EXT_SEC_PATH` an
enumerator. Two underscores part the steps of a path; a name that begins with two itself gives four
(`OFF_sock____sk_common__skc_net`).
"""

import zlib
from functools import cache
from pathlib import Path
from typing import Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.probe.family import Family
from dropwatch.resources import resource_dir

Mode = Literal["findings", "summary", "trace"]
MODES: tuple[Mode, ...] = ("findings", "summary", "trace")
NAMES = pattern(r"\b(OFF|BIT|SIZE|ENUM)_(\w+)\b")
VLAN_PRESENT = "VLAN_PRESENT_BIT"
IPVS_PROPERTY = "IPVS_PROPERTY_BIT"
THREAD_BYTES = "THREAD_BYTES"
# Drop reasons, 0 where the kernel has none of that name.
REASONS = {
    "REASON_RCVBUF": "SKB_DROP_REASON_SOCKET_RCVBUFF",
    "REASON_PROTO_MEM": "SKB_DROP_REASON_PROTO_MEM",
    "REASON_COPY_FAULT": "SKB_DROP_REASON_SKB_UCOPY_FAULT",
}
TRACEPOINT_NAMES = ("KFREE_SKB_REASON_ARGUMENT", "KFREE_SKB_SOCKET_ARGUMENT")
# What __cgroup_bpf_run_filter_sock_addr takes has grown twice.
SOCK_ADDR_NAMES = ("SOCK_ADDR_HAS_FLAGS", "SOCK_ADDR_HAS_LENGTH")
HEADERS = ("read.h",)
CALL = "CALL_EXPRESSION"  # where the loader calls the user's expression
BPF_LOOP = (
    "HAS_BPF_LOOP"  # the helper, which calls a program that the loader puts behind the one that asks for it
)
CALLBACKS = ("CALLBACK_read_xt_entry",)
BASE_FILES = (
    *(
        "maps.c",
        "records.c",
        "flow.c",
        "filter.c",
        "header.c",
        "segment.c",
        "flowi.c",
        "expression.c",
        "mark.c",
        "place.c",
        "owner.c",
        "death.c",
        "calls.c",
        "netfilter.c",
        "modules.c",
    ),
    *("summary.c", "journey.c"),
)
DROP_FILES = ("families.c", "drop.c", "refused.c", "near.c")
TRACE_FILES = ("trace_step.c", "trace_returns.c", "trace.c")


@dataclass(frozen=True, slots=True)
class Text:
    """What is compiled for one mode, the same on every kernel. `names` are those that the loader has numbers for."""

    mode: Mode
    text: str
    names: tuple[str, ...]
    directory: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """The compiler's."""
        modes = {"SUMMARY": self.mode == "summary", "TRACE": self.mode == "trace"}
        # the loader gives these maps the size that this machine and this run need
        sizes = {"RING_PAGES": 1, "XT_CHUNKS": 1}
        return tuple(f"-D{name}={int(value)}" for name, value in (modes | sizes).items())

    @property
    def digest(self) -> str:
        """Of all that decides what the compiler makes of it, but for the compiler."""
        parts = [self.text, *self.names, *self.flags]
        parts += [read(path) for path in sorted(self.directory.rglob("*.h"))]
        whole = "\0".join(parts).encode()
        return f"{zlib.crc32(whole):08x}{zlib.adler32(whole):08x}"  # not hashlib: OpenSSL takes 3 MB


@cache
def read(path: Path) -> str:
    """A file of the programs, as it is at the first look: one run reads them for several purposes."""
    return path.read_text()


@cache
def names_in(path: Path) -> frozenset[tuple[str, str]]:
    """Kind (`OFF`, ...) and rest of each name in a file that stands for a number."""
    return frozenset(NAMES.findall(read(path)))


def own_files(families: tuple[Family, ...]) -> tuple[str, ...]:
    return tuple(name for family in families for name in family.files)


def common_files(mode: Mode) -> tuple[str, ...]:
    """What every run of the mode needs, whatever the kernel has."""
    return (*HEADERS, *BASE_FILES, *DROP_FILES, *(TRACE_FILES if mode == "trace" else ()))


def join(families: tuple[Family, ...], mode: Mode, directory: Path | None = None) -> Text:
    """All families' files, in the order in which they lean on one another."""
    directory = directory or resource_dir("bpf")
    following = TRACE_FILES if mode == "trace" else ()
    files = (*BASE_FILES, *own_files(families), *DROP_FILES, *following)
    text = "\n".join(f'#line 1 "bpf/{name}"\n{read(directory / name)}' for name in files)
    found = {f"{kind}_{rest}" for name in (*HEADERS, *files) for kind, rest in names_in(directory / name)}
    names = {
        *found,
        *(family.flag for family in families),
        *TRACEPOINT_NAMES,
        *SOCK_ADDR_NAMES,
        VLAN_PRESENT,
        IPVS_PROPERTY,
        THREAD_BYTES,
        *REASONS,
        CALL,
        BPF_LOOP,
        *CALLBACKS,
    }
    return Text(mode, text, tuple(sorted(names)), directory)
