"""The program that keeps drops which nearly fit the filter (bpf/near.c), and what it has kept."""

import struct
from collections.abc import Callable

from dropwatch.probe.attach import Probes
from dropwatch.probe.programs.loader import Loader
from dropwatch.wire.near import RawNear, near_of, passed_over
from dropwatch.wire.settings import Settings


def attach_near(probes: Probes, loader: Loader, wanted: Settings, note: Callable[[str], None]) -> None:
    """`wanted` is what drops are compared with; `note` takes sentences for `blind_spots`."""
    loader.write("near_wanted", 0, wanted)
    refused = probes.attach_tracepoint("kfree_skb", "on_near")
    if refused is not None:
        note(f"drops that nearly fit the filter are not known: {refused}")


def read_near(loader: Loader) -> tuple[list[RawNear], int]:
    """Of each sort and CPU, and how many drops may have been nearer: nobody looked at them, or they had no room."""
    found = [
        near
        for _, values in loader.elements("near_drops")
        for value in values
        if (near := near_of(struct.pack(f"={len(value)}Q", *value))) is not None
    ]
    looks = [value for _, values in loader.elements("near_looks") for value in values]
    return found, sum(map(passed_over, looks))
