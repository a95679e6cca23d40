"""Files of bpf/ compiled for the host, with a reader of memory that knows only what a test lets it read."""

import ctypes
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dropwatch.resources import resource_dir

BPF = resource_dir("bpf")
_READER = """
#define bpf_ntohs __builtin_bswap16
#define bpf_ntohl __builtin_bswap32
#define bpf_htonl __builtin_bswap32
#include <linux/types.h>
static u64 readable, readable_end;
static inline void may_read(const void *from, u64 size)
{
	readable = (u64)from;
	readable_end = readable + size;
}
static long bpf_probe_read_kernel(void *to, u32 size, const void *from)
{
	int inside = (u64)from >= readable && (u64)from + size <= readable_end;
	if (from == to) /* forget() */
		return 0;
	if (inside)
		__builtin_memcpy(to, from, size);
	else
		__builtin_memset(to, 0, size);
	return inside ? 0 : -14;
}
#include "event.h"
#include "read.h"
#include "settings.h"
"""
_FLAGS = ("-shared", "-fPIC", "-O1", "-w", "-D__KERNEL__", "-DSUMMARY=0", "-DFOLDS=1")
_SET = {"VLAN_PRESENT_BIT": 0, "KFREE_SKB_SOCKET_ARGUMENT": 0}


def compiled(directory: Path, text: str, numbers: Mapping[str, int] | None = None) -> ctypes.CDLL:
    """`text` includes the files that are tried, and has the functions that the test calls; may_read() is for them.

    `numbers` are the kernel's, by their placeholders; the others are some number.
    """
    source, library = directory / "host.c", directory / "host.so"
    source.write_text(_READER + text)
    files = ["read.h", *re.findall(r'#include "(\w+\.c)"', text)]
    names = {name for file in files for name in re.findall(r"\b(?:OFF|SIZE)_\w+\b", (BPF / file).read_text())}
    known = {**dict.fromkeys(sorted(names), 256), **_SET, **(numbers or {})}
    command = [
        "cc",
        "-std=gnu17",
        *_FLAGS,
        f"-I{BPF}",
        f"-I{BPF / 'include'}",
        *(f"-D{name}={number}" for name, number in known.items()),
    ]
    ran = subprocess.run([*command, "-o", library, source], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ctypes.CDLL(str(library))
