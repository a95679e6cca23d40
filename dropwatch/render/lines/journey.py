"""The line of a packet that a trace followed."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model import journey as model
from dropwatch.model.dataclass import dataclass
from dropwatch.render.lines.drop import Drop
from dropwatch.render.lines.parts import Interface, Netns, Packet, Process, Schema, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterAnswer:
    """What a table (legacy) or a base chain (nf_tables) said of the packet."""

    engine: Annotated[Literal["nftables", "iptables"], "whose table"]
    family: Annotated[str | None, "ip, ip6, inet, arp, bridge, netdev"]
    table: Annotated[str, "its name"]
    chain: Annotated[str | None, "name of the base chain; null of a legacy table"]
    hook: Annotated[str | None, "prerouting, input, forward, output, postrouting"]
    verdict: Annotated[str, "accept, drop, queue, stolen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that the packet met."""

    seconds: Annotated[float, "since the journey began"]
    since: Annotated[float, "seconds since the step before"]
    kind: Annotated[
        model.Kind,
        "call: a kernel function began; return: it ended; receive, queue, transmit: a device, where sniffers see it; "
        "consumed: freed, and not as a drop; copied: it goes on in another buffer as well; verdict: of netfilter",
    ]
    function: Annotated[str | None, "as kallsyms has it; null where no name is known"]
    offset: Annotated[int | None, "bytes into the function"]
    module: Annotated[str | None, "null: the kernel itself"]
    address: Annotated[str | None, "only of a place without a name: its address"] = None
    text: Annotated[str, "the step in words"]
    layer: Annotated[str | None, "of the stack"]
    packet: Annotated[Packet, "what its bytes said here"]
    netns: Annotated[Netns | None, "the namespace that it was in"]
    iface: Annotated[Interface | None, "the device that it was on"]
    route: Annotated[Interface | None, "the device that its route leads out of"]
    cpu: Annotated[int, "where it was"]
    process: Annotated[Process | None, "in whose system call it was"]
    copy: Annotated[int, "0: the first buffer, else the number of the copy"]
    depth: Annotated[int, "how many watched calls this one is inside of"]
    duration: Annotated[float | None, "seconds, of a call whose return was seen"]
    returned: Annotated[int | None, "what the call returned"]
    tap: Annotated[bool, "sniffers such as tcpdump see the packet here, on this device"]
    changed: Annotated[str | None, "what is another than at the step before"]
    netfilter: Annotated[NetfilterAnswer | None, "what a table or chain said"]
    fields: Annotated[
        dict[str, int | None], "those of --fields, in their order; null where one could not be read"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One packet's way: a line of `whydrop trace`."""

    type: ClassVar[Literal["journey"]] = "journey"
    schema: ClassVar[Schema] = 1
    number: Annotated[int, "counts from 1"]
    time: Annotated[Time, "of its first step: UTC, as 2026-11-20T20:15:01.123456Z"]
    packet: Annotated[Packet, "as it was first seen"]
    steps: Annotated[tuple[Step, ...], "in their order"]
    end: Annotated[
        model.End,
        "delivered: a socket's reader has received it; sent: handed to an interface; consumed: freed by what "
        "used it; "
        "open: nothing seen since",
    ]
    end_text: Annotated[str, "the same in words"]
    finding: Annotated[Drop | None, "why it was dropped"]
    process: Annotated[Process | None, "the process that received it, if known"]
