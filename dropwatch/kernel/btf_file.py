"""The bytes of the kernel's BTF: its own, or those of a file that somebody brings (--btf)."""

import sys
from pathlib import Path

from dropwatch.errors import CannotRunHere

VMLINUX = Path("/sys/kernel/btf/vmlinux")
WHERE = (
    "boot one built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are since 2021; or whydrop --btf FILE, with a file "
    "of exactly this kernel: apt install linux-image-$(uname -r)-dbg pahole, then "
    "pahole --btf_encode_detached=FILE /usr/lib/debug/boot/vmlinux-$(uname -r)"
)
_MAGIC = 0xEB9F
_MOST_BYTES = 64 << 20  # distributions' have 5 to 8 MB
_brought: list[bytes] = []  # one at most


def bring(path: Path) -> None:
    """Takes the kernel's BTF from a file, where the kernel carries none: its own is never wrong. Raises CannotRunHere.

    The file is read now, before anything asks, and kept: later there may be no right to.
    """
    if VMLINUX.exists():
        return
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
    except OSError as error:
        raise CannotRunHere(f"--btf: {path} cannot be read: {error.strerror}", "name another file") from error
    if raw[:2] != _MAGIC.to_bytes(2, sys.byteorder):
        raise CannotRunHere(
            f"--btf: {path} is not BTF of this machine's byte order",
            "make it of a vmlinux with debugging information: pahole --btf_encode_detached=FILE VMLINUX",
        )
    _brought[:] = [raw]


def brought() -> bytes | None:
    """What a file has, which may be another kernel's."""
    return _brought[0] if _brought else None


def vmlinux_bytes() -> bytes:
    """BTF of the kernel itself. Raises OSError where there is none."""
    return brought() or VMLINUX.read_bytes()
