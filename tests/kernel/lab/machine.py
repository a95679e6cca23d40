"""The processors that guests may have, as QEMU emulates them. This machine's own is amd64."""

import os
from dataclasses import dataclass

AMD64, ARM64 = "amd64", "arm64"  # as Debian calls them


@dataclass(frozen=True, slots=True)
class Machine:
    """`qemu` is a program and its words, `console` the first serial line, `parameters` are the kernel's."""

    qemu: str
    console: str
    parameters: str = ""


MACHINES = {
    # A processor with AES, as a server has, and without AVX, which costs time in emulation and gives nothing here. On a
    # busy host the guest's clock calibration against the PIT fails: q35 has an HPET to fall back on, "microvm" has not.
    # no_timer_check: the kernel's test of its timer panics when the host is too busy to deliver ticks in time
    AMD64: Machine(
        "qemu-system-x86_64 -M q35 -cpu Westmere,+rdrand", "ttyS0", "no_timer_check tsc=nowatchdog"
    ),
    # Pointer authentication as QEMU's manual advises: the architecture's own algorithm takes half of all time.
    ARM64: Machine("qemu-system-aarch64 -M virt,gic-version=3 -cpu max,pauth-impdef=on", "ttyAMA0"),
}


def wanted() -> str:
    """The one that the scenarios run on: `make test ARCH=arm64`. Raises ValueError for an unknown one."""
    machine = os.environ.get("ARCH") or AMD64
    if machine not in MACHINES:
        raise ValueError(f"no machine {machine!r}: {' '.join(MACHINES)}")
    return machine
