"""Signs of what is sent to many, and of which nobody here is to get it. When in doubt, None."""

from ipaddress import IPv4Network, IPv6Network

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.device.unhandled import RECEIVING
from dropwatch.causes.discovery import asked_for_an_address_aside, went_since
from dropwatch.causes.membership import is_joined
from dropwatch.causes.places import SENDING, UDP_ENTRANCES, is_not_active, is_off
from dropwatch.causes.socket.lookup import came_in
from dropwatch.host.host import Host
from dropwatch.host.sockets import PortSocket
from dropwatch.model.drop import Drop, Evidence, Packet, Verdict
from dropwatch.packet.payload import igmp_type

MLD = frozenset({130, 131, 132, 143})
_ROUTER_SOLICITATION, _NEIGHBOUR_SOLICITATION = 133, 135
_IGMP_QUERY = 0x11
_DHCP_PORTS = frozenset({67, 68})
_TO_ALL = 0xFFFFFFFF
# RFC 4541, 2.1.2 and 3: what switches flood whoever has joined; of IPv6 what is registered for one link.
_FLOODED_GROUPS = (
    *(IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/120"), IPv6Network("ff02::1:0/112")),
    IPv6Network("ff02::1:ff00:0/104"),
)
# ipvlan frees its copy of a frame that no interface on it has joined.
_NOT_JOINED = frozenset({"ip6_mc_input", "ip_rcv_finish_core", "ipvlan_process_multicast"})
_FOR_MEMBERS_TOO = frozenset(
    {"ip6_pkt_discard", "ip6_pkt_drop", "ip_rcv_finish_core"}
)  # here also dies what has been joined
_NOT_DELIVERED = frozenset(
    {
        "br_dev_xmit",
        "br_flood",
        "br_multicast_flood",
        "igmp_rcv",
        "ip6_mc_input",
        "ip6_pkt_discard",
        "ip6_pkt_drop",
        "ip_rcv_finish_core",
        "ipvlan_process_multicast",
    }
)
# Spanning tree and what else has no ethertype of its own (802.2), LLDP, LACP, MVRP, MMRP (linux/if_ether.h).
_OF_SWITCHES = frozenset({0x0004, 0x88CC, 0x8809, 0x88F5, 0x88F6})
# All of net/llc and net/802 that frees a frame; a bridge frees each that it has read (br_stp_rcv).
_SPANNING_TREE = frozenset({"llc_rcv", "stp_pdu_rcv", "br_stp_rcv"})
_KEPT_IN = frozenset({"ip_mc_output", "ip6_finish_output2"})


def multicast_noise(drop: Drop, host: Host) -> Verdict | None:
    """Messages by which hosts and routers manage groups and addresses, where nobody is meant to get them."""
    packet, place = drop.packet, kernel_word.place(drop)
    if packet.daddr is None or not packet.daddr.is_multicast:
        return None
    not_ready = is_off(drop) or is_not_active(drop)
    if place in SENDING and not_ready and not drop.event.skb_iif and _comes_again(packet):
        fact = "the interface is not ready yet; the kernel sends this again, or sends it when a router asks"
        return kernel_word.certain(drop, Evidence("interface at the drop", fact))
    # IP_INNOROUTES: an interface that has just come up has no route for groups yet
    unread = kernel_word.gave_no_reason(drop) or drop.reason in {"NO_TX_TARGET", "IP_INNOROUTES"}
    if not unread or place not in _NOT_DELIVERED or _is_for_this_host(drop, host):
        return None
    asking = MLD | {_ROUTER_SOLICITATION, _NEIGHBOUR_SOLICITATION}
    if packet.proto == "igmp" or (packet.proto == "icmp6" and packet.icmp_type in asking):
        fact = "a message for routers or for members of another multicast group"
    elif place in _NOT_JOINED and any(packet.daddr in network for network in _FLOODED_GROUPS):
        fact = f"every switch floods the multicast group {packet.daddr}; no program here has joined it"
    else:
        return None
    return kernel_word.certain(drop, Evidence("packet", fact))


def _is_for_this_host(drop: Drop, host: Host) -> bool:
    """Its group is joined where it came in, or it asks this host: igmp_rcv frees a query only where it is invalid."""
    place = kernel_word.place(drop)
    if place == "igmp_rcv":
        return igmp_type(drop) == _IGMP_QUERY
    if place == "ip6_mc_input":
        is_asked = drop.packet.icmp_type == _NEIGHBOUR_SOLICITATION
        return is_asked and (asked_for_an_address_aside(drop, host) or _something_went(drop, host))
    return place in _FOR_MEMBERS_TOO and (is_joined(drop, host) is True or _group_went(drop, host))


def _something_went(drop: Drop, host: Host) -> bool:
    """Of what waits for this host. What manages groups is for routers, and who asks whether an address is free waits
    for no reply.
    """
    return not _comes_again(drop.packet) and went_since(drop, host)


def _group_went(drop: Drop, host: Host) -> bool:
    """Or the address that somebody asks it for."""
    if _comes_again(drop.packet):
        return False
    daddr = drop.packet.daddr
    left = daddr is not None and pinned.went_since(drop, host, daddr, drop.event.ifindex)
    return left or went_since(drop, host)


def message_of_switches(drop: Drop, host: Host) -> Verdict | None:
    """What switches tell one another, and every host hears. A program that takes part has had its copy before."""
    event, place = drop.event, kernel_word.place(drop)
    if "to-group" not in event.notes or event.protocol not in _OF_SWITCHES:
        return None
    fact = f"ethertype 0x{event.protocol:04x} to a multicast group, between switches: nothing here takes part"
    if place in _SPANNING_TREE and kernel_word.gave_no_reason(drop):
        return kernel_word.certain(drop, Evidence("packet", fact))
    unhandled = kernel_word.gave_no_reason(drop) or drop.reason == "UNHANDLED_PROTO"
    handled = host.ethertypes(event.netns, event.monotonic_ns)
    if place not in RECEIVING or not unhandled or handled is None or event.protocol in handled:
        return None
    return kernel_word.certain(drop, Evidence("packet", fact))


def _comes_again(packet: Packet) -> bool:
    """Reports of groups, questions for routers, and whether an address is free: each is sent several times."""
    if packet.proto == "igmp":
        return True
    if packet.proto != "icmp6" or packet.saddr is None:
        return False
    is_dad = packet.icmp_type == _NEIGHBOUR_SOLICITATION and _is_from_nobody(packet)
    return is_dad or packet.icmp_type in MLD | {_ROUTER_SOLICITATION}


def _is_from_nobody(packet: Packet) -> bool:
    """From an address that is not its sender's yet."""
    return packet.saddr is not None and packet.saddr.is_unspecified


def kept_in(drop: Drop, host: Host) -> Verdict | None:
    """With a TTL of 0 it is for this host alone: whoever listens here had a copy before (ip_mc_output)."""
    daddr = drop.packet.daddr
    if kernel_word.place(drop) not in _KEPT_IN or not kernel_word.gave_no_reason(drop):
        return None
    if daddr is None or not daddr.is_multicast or drop.packet.ttl != 0:
        return None
    return kernel_word.certain(drop, Evidence("packet", "its TTL is 0: the sender keeps it on this host"))


def dhcp_broadcast(drop: Drop, host: Host) -> Verdict | None:
    """A broadcast between DHCP clients and servers, on a host that is neither.

    A socket that is bound to an address of one host never gets one: clients without an address have packet sockets.
    """
    packet, event = drop.packet, drop.event
    if (
        not _nobody_took(drop)
        or kernel_word.place(drop) not in UDP_ENTRANCES
        or str(packet.daddr) != "255.255.255.255"
        or packet.dport not in _DHCP_PORTS
    ):
        return None
    found = host.sockets_at(event.netns, "udp", packet.dport, came_in(drop), event.monotonic_ns)
    if found is None or found.gone or found.count > len(found.sockets):
        return None
    if any(_takes_broadcasts(each) for each in found.sockets):
        return None
    fact = "a DHCP broadcast, and no program here listens for it"
    return kernel_word.certain(drop, Evidence("packet", fact))


def _takes_broadcasts(one: PortSocket) -> bool:
    address = one.address
    mapped = address.ipv4_mapped if address.version == 6 else address
    return int(address) == 0 or (mapped is not None and int(mapped) in (0, _TO_ALL))


def own_copy(drop: Drop, host: Host) -> Verdict | None:
    """What a host sends to a group or to all comes back to itself; the frame has left by then (ip_mc_output).

    Not where a program here has its port: it may have been to get this copy.
    """
    if (
        _nobody_took(drop)
        and "looped-back" in drop.event.notes
        and kernel_word.place(drop) in UDP_ENTRANCES | _NOT_JOINED
        and not _others_have_its_port(drop, host)
    ):
        return kernel_word.certain(
            drop,
            Evidence("skb->pkt_type", "this host's own copy of a multicast or broadcast packet that it sent"),
        )
    return None


def _others_have_its_port(drop: Drop, host: Host) -> bool:
    """Others than the socket that sends it. Of DHCP servers and clients on other interfaces none is to get it."""
    packet, event = drop.packet, drop.event
    if packet.proto not in ("udp", "udplite") or packet.dport is None or packet.dport in _DHCP_PORTS:
        return False
    found = host.sockets_at(event.netns, packet.proto, packet.dport, came_in(drop), event.monotonic_ns)
    if found is None:
        return False
    its_own = [each for each in found.sockets if packet.sport == packet.dport and _may_send(each, packet)]
    return found.count > len(its_own[:1])


def _may_send(one: PortSocket, packet: Packet) -> bool:
    return int(one.address) == 0 or one.address == packet.saddr


def _nobody_took(drop: Drop) -> bool:
    """What UDP and multicast routing say of a packet without a receiver."""
    return kernel_word.gave_no_reason(drop) or drop.reason == "NO_SOCKET"
