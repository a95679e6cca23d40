"""Packs the smallest initramfs that can mount this machine's root file system: busybox, a few modules, one script."""

import lzma
import shlex
import stat
from pathlib import Path

from lab.fetch import Fetched
from lab.userland import VENV

BUSYBOX = Path("/bin/busybox")  # Debian's busybox-static
INIT = Path(__file__).with_name("init.sh")
TREE = Path(__file__).resolve().parents[3]
NEEDED = ("virtio_pci", "virtio_rng", "virtio_console", "9pnet_virtio", "9p", "overlay")


def pack(kernel: Fetched, root: Path | None = None) -> bytes:
    """A cpio archive in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).

    `root` is the root file system that the guest gets, None: this machine's.
    """
    words = {"release": kernel.release, "modules": str(kernel.modules), "tree": str(TREE)}
    if root is not None:
        words |= {"root": str(root), "venv": str(VENV)}
    settings = "".join(f"{name}={shlex.quote(word)}\n" for name, word in words.items())
    archive = [
        _entry(name, stat.S_IFDIR | 0o755) for name in ("dev", "layers", "modules", "new", "proc", "tree")
    ]
    busybox = BUSYBOX if root is None else root / BUSYBOX.relative_to("/")  # it may have another processor
    archive.append(_entry("busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    archive.append(_entry("init", stat.S_IFREG | 0o755, INIT.read_bytes()))
    archive.append(_entry("settings", stat.S_IFREG | 0o644, settings.encode()))
    for number, path in enumerate(_in_load_order(kernel.modules)):
        archive.append(_entry(f"modules/{number:02}.ko", stat.S_IFREG | 0o644, _content(path)))
    archive.append(_entry("TRAILER!!!", 0))
    return b"".join(archive)


def _in_load_order(modules: Path) -> list[Path]:
    """The files of NEEDED and of all they depend on, each after what it depends on; built-in ones are no files."""
    depends: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        depends[path] = others.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in depends}
    order: dict[str, None] = {}
    for name in NEEDED:
        if name in by_name:
            path = by_name[name]
            order.update(dict.fromkeys([*reversed(depends[path]), path]))
    return [modules / path for path in order]


def _content(module: Path) -> bytes:
    return lzma.decompress(module.read_bytes()) if module.suffix == ".xz" else module.read_bytes()


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    terminated = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(terminated), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + terminated
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)
