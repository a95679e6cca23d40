"""A pcap-filter expression, compiled: what runs on the bytes of a packet, and what of it a flow alone shows."""

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from dropwatch.model.dataclass import dataclass

Side = Literal["src", "dst", "either", "both"]
Instruction = tuple[int, int, int, int]  # code, jt, jf, k of struct bpf_insn (pcap/bpf.h)


@dataclass(frozen=True, slots=True)
class Fact:
    """One primitive, as far as a flow shows it: what is None or empty is not asked for.

    `side` is for addresses and ports. `rest` is True where it asks for more than the other fields say.
    """

    family: int | None = None
    protos: frozenset[int] = frozenset()
    network: IPv4Network | IPv6Network | None = None
    ports: tuple[int, int] | None = None
    side: Side = "either"
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    part: "Node"


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple["Node", ...]


Node = Fact | Not | All | Any
UNKNOWN = Fact(rest=True)
NO_FLOW = Fact(family=0)  # what is no IP
OF_LINK = Fact(family=0, rest=True)  # of the link header, which nothing has that is carried


@dataclass(frozen=True, slots=True)
class Expression:
    """`program` is libpcap's, for Ethernet frames; `tree` is UNKNOWN where only libpcap understands the text.

    `asks_tag`: the tag of a VLAN is to be in the frame. Else it is not, as in what the kernel shows to tcpdump.
    """

    text: str
    program: tuple[Instruction, ...]
    tree: Node
    asks_tag: bool = False

    def __str__(self) -> str:
        return f"'{self.text}'"
