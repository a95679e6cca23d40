"""Objects that several lines of the JSON hold: the packet, a place in the kernel, a device, who died with what."""

from typing import Annotated, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Direction

Schema = Literal[1]
Time = Annotated[str, "UTC, as 2026-11-20T20:15:01.123456Z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What its bytes say. For ESP in UDP `proto` is `udp`, the ports are the UDP ports, `spi` and `seq` are set."""

    family: Annotated[int | None, "4 or 6; null without an IP header"]
    proto: Annotated[str | None, "as udp, tcp, esp, icmp6, arp, or the number"]
    saddr: Annotated[str | None, "source address"]
    daddr: Annotated[str | None, "destination address"]
    sport: Annotated[int | None, "source port"]
    dport: Annotated[int | None, "destination port"]
    length: Annotated[int | None, "bytes from the network header on; null where there was no packet yet"]
    mark: Annotated[int, "the firewall mark"]
    spi: Annotated[str | None, "Security Parameters Index of ESP or AH, as 0x00001001"]
    seq: Annotated[int | None, "sequence number of ESP or AH"]
    ttl: Annotated[int | None, "TTL or hop limit"]
    tcp_flags: Annotated[str | None, "as SA for SYN and ACK"]
    icmp_type: Annotated[int | None, "of ICMP or ICMPv6"]
    icmp_code: Annotated[int | None, "of ICMP or ICMPv6"]
    fragment_id: Annotated[int | None, "alike in all fragments of a datagram"]
    fragment_offset: Annotated[int, "place in the datagram, in bytes"]
    more_fragments: Annotated[bool, "another fragment follows"]
    header_error: Annotated[str | None, "why reading the headers stopped early"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A place in the kernel."""

    function: Annotated[str | None, "as kallsyms has it; null where no name is known"]
    offset: Annotated[int | None, "bytes into the function"]
    module: Annotated[str | None, "null: the kernel itself"]
    address: Annotated[str | None, "only of a place without a name: its address"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Frame):
    """Where the packet died."""

    layer: Annotated[str | None, "of the stack: device, routing, netfilter, ipsec, socket"]
    direction: Annotated[Direction | None, "the packet's way through this host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network device."""

    index: Annotated[int, "its number in its namespace"]
    name: Annotated[str | None, "its name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """The pod that has a network namespace, or the container, if that is in none."""

    container: Annotated[str | None, "its id, or its name with LXC and systemd-nspawn"] = None
    container_name: Annotated[str | None, "what its runtime calls it"] = None
    pod: Annotated[str | None, "the uid of the Kubernetes pod, or the id of Podman's"] = None
    pod_name: Annotated[str | None, "what Kubernetes calls it"] = None
    pod_namespace: Annotated[str | None, "the namespace of Kubernetes that it is in"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Netns:
    """A network namespace."""

    inode: Annotated[int, "what ls -i /proc/PID/ns/net shows"]
    name: Annotated[str | None, "by which a user knows it"]
    tenant: Annotated[
        Tenant | None, "the container or pod that has it: that of the first process in it, after the drop"
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process."""

    pid: Annotated[int | None, "its process id; null where only the cgroup of its socket is known"]
    comm: Annotated[str | None, "its name, at most 15 bytes"]
    unit: Annotated[str | None, "of systemd: by the cgroup in which the socket was made, as the next two"]
    container: Annotated[str | None, "its id, or its name with LXC and systemd-nspawn"]
    pod: Annotated[str | None, "the uid of the Kubernetes pod, or the id of Podman's"]
    pod_name: Annotated[
        str | None, "what Kubernetes calls it, where its directory of logs is on this host"
    ] = None
    pod_namespace: Annotated[str | None, "the namespace of Kubernetes that it is in"] = None
    container_name: Annotated[
        str | None,
        "what its runtime calls the container, in a pod what the pod does; as the files of the runtime say",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why, as far as it is known."""

    id: Annotated[str, "of the catalogue, what whydrop explain takes; unknown where nothing is sure enough"]
    title: Annotated[str, "in one sentence"]
    confidence: Annotated[
        Confidence,
        "certain: the kernel said so, or what was read for this packet leaves no other explanation",
    ]
    url: Annotated[
        str | None,
        "of its page in a browser, made of WHYDROP_CAUSE_URL; null without that, and for unknown",
    ]
