"""The landmarks of a packet's way through the kernel: functions that a trace watches, and what it says of each.

The phrases are in the present tense and have the packet as their subject. What else a function does, and in which
layer it stands, symbols/functions.toml says.
"""

from typing import NamedTuple


class CuratedFunction(NamedTuple):
    """`argument` is the packet, from 1, where no BTF tells; 0: it is not the same in every kernel, so BTF must tell.

    `socket`: the first argument is the struct sock that the packet is for or from. `skipped` packets come before this
    one among the arguments.
    """

    name: str
    argument: int
    socket: bool
    text: str
    skipped: int = 0


def _first(**functions: str) -> tuple[CuratedFunction, ...]:
    """(struct sk_buff *, ...)"""
    return tuple(CuratedFunction(name, 1, False, text) for name, text in functions.items())


def _second(**functions: str) -> tuple[CuratedFunction, ...]:
    """(something, struct sk_buff *, ...)"""
    return tuple(CuratedFunction(name, 2, False, text) for name, text in functions.items())


def _of_socket(**functions: str) -> tuple[CuratedFunction, ...]:
    """(struct sock *, struct sk_buff *, ...)"""
    return tuple(CuratedFunction(name, 2, True, text) for name, text in functions.items())


def _third(**functions: str) -> tuple[CuratedFunction, ...]:
    """(struct net *, struct sock *, struct sk_buff *, ...), mostly"""
    return tuple(CuratedFunction(name, 3, False, text) for name, text in functions.items())


def _described_by_btf(**functions: str) -> tuple[CuratedFunction, ...]:
    return tuple(CuratedFunction(name, 0, False, text) for name, text in functions.items())


_DEVICES_IN = (
    *_first(
        enqueue_to_backlog="waits in the backlog of a CPU",
        skb_do_redirect="is sent to another device by a BPF program",
        tcf_classify="meets the filters of tc",
        tcf_classify_ingress="meets the filters of tc, on its way in",
        cls_bpf_classify="is shown to a BPF program of tc",
        tcf_mirred_act="is mirrored or redirected by tc",
        packet_rcv="is seen by a packet socket (such as a sniffer's)",
        tpacket_rcv="is seen by a packet socket (such as tcpdump's)",
        packet_rcv_fanout="is seen by a group of packet sockets",
        arp_rcv="comes to ARP",
    ),
    *(
        CuratedFunction(name, 2, False, "is joined to an earlier packet of its flow (GRO)", skipped=1)
        for name in ("skb_gro_receive", "skb_gro_receive_list")
    ),
    *_third(arp_process="is answered or learned from, by ARP"),
    *_described_by_btf(do_xdp_generic="is shown to a generic XDP program"),
)

_BRIDGE = (
    *_third(
        br_handle_frame_finish="comes to the bridge",
        br_forward_finish="is through with the bridge's forward hook",
        br_dev_queue_push_xmit="leaves the bridge by a port",
    ),
    *_second(
        br_forward="crosses the bridge to one port",
        br_flood="crosses the bridge to every port",
        br_multicast_flood="crosses the bridge to the ports of its multicast group",
        ovs_vport_receive="comes to Open vSwitch",
        ovs_dp_upcall="is shown to ovs-vswitchd: no flow is known for it",
        ovs_vport_send="leaves Open vSwitch by a port",
    ),
    *_first(
        br_pass_frame_up="is for the bridge itself: goes up",
        br_dev_xmit="is sent into the bridge by this host",
    ),
)

_IP_IN = (
    *_first(
        ip_rcv="comes to IP",
        ipv6_rcv="comes to IPv6",
        ip_rcv_core="has its IP header checked",
        ip6_rcv_core="has its IPv6 header checked",
        ip_route_input_noref="is looked up in the routing tables",
        ip6_route_input="is looked up in the routing tables",
        ip_local_deliver="is for this host",
        ip6_input="is for this host",
        ip6_mc_input="is for a multicast group, and maybe for this host",
        ip_forward="is to be forwarded",
        ip6_forward="is to be forwarded",
        ip_mr_input="is to be forwarded to the members of its multicast group",
        ip6_mr_input="is to be forwarded to the members of its multicast group",
        ipv6_frag_rcv="is a fragment: waits for the others",
        mpls_forward="is to be forwarded by its MPLS label",
    ),
    *_second(
        ip_defrag="is a fragment: waits for the others",
        nf_ct_frag6_gather="is a fragment: waits for the others, for conntrack",
        ip_protocol_deliver_rcu="is given to the protocol that it carries",
        ip6_protocol_deliver_rcu="is given to the protocol that it carries",
    ),
    *_third(
        ip_rcv_finish="is through with prerouting",
        ip6_rcv_finish="is through with prerouting",
        ip_local_deliver_finish="is through with input",
        ip6_input_finish="is through with input",
        ip_forward_finish="is through with forward",
        ip6_forward_finish="is through with forward",
    ),
)

_NETFILTER = (
    *_first(
        nf_nat_manip_pkt="has its addresses translated (NAT)",
        nf_queue="waits for a program's verdict (NFQUEUE)",
        ip_vs_nat_xmit="is sent on to a real server (IPVS)",
        ip_vs_dr_xmit="is sent on to a real server (IPVS)",
        ip_vs_tunnel_xmit="is sent on to a real server (IPVS)",
    ),
    *_second(
        nf_flow_offload_ip_hook="may take the short cut of a flowtable",
        nf_flow_offload_ipv6_hook="may take the short cut of a flowtable",
    ),
    *_described_by_btf(
        nf_send_reset="is answered with a TCP reset, by the firewall",
        nf_send_reset6="is answered with a TCP reset, by the firewall",
    ),
)

_PROTOCOLS_IN = (
    *_first(
        icmp_rcv="reaches ICMP",
        icmpv6_rcv="reaches ICMPv6",
        icmp_echo="is a ping: is answered",
        icmpv6_echo_reply="is a ping: is answered",
        ndisc_rcv="reaches neighbour discovery",
        igmp_rcv="reaches IGMP",
        ping_rcv="is an answer to a ping",
        udp_rcv="reaches UDP",
        udpv6_rcv="reaches UDP",
        udplite_rcv="reaches UDP-Lite",
        udplitev6_rcv="reaches UDP-Lite",
        tcp_v4_rcv="reaches TCP",
        tcp_v6_rcv="reaches TCP",
        sctp_rcv="reaches SCTP",
        __icmp_send="is answered with an ICMP error",
        icmp6_send="is answered with an ICMPv6 error",
    ),
    *_of_socket(
        udp_queue_rcv_one_skb="finds its socket",
        udpv6_queue_rcv_one_skb="finds its socket",
        raw_rcv="is for a raw socket as well",
        rawv6_rcv="is for a raw socket as well",
        tcp_v4_do_rcv="is handled by its TCP socket",
        tcp_v6_do_rcv="is handled by its TCP socket",
        tcp_add_backlog="waits: its TCP socket is busy",
        tcp_rcv_established="belongs to an established connection",
        tcp_rcv_state_process="is judged by the state of its connection",
        tcp_v4_send_reset="is answered with a reset",
        tcp_v6_send_reset="is answered with a reset",
        tcp_data_queue="brings data for the socket's queue",
    ),
    CuratedFunction("tcp_conn_request", 4, False, "asks for a connection"),
)

_SOCKETS = _of_socket(
    __udp_enqueue_schedule_skb="is put into the socket's queue",
    sock_queue_rcv_skb="is offered to the socket, behind its filter",
    sock_queue_rcv_skb_reason="is offered to the socket, behind its filter",
    __sock_queue_rcv_skb="is put into the socket's queue",
    skb_consume_udp="is read by its process",
    skb_free_datagram="is read by its process",
    tcp_eat_recv_skb="is read by its process",
)

_IP_OUT = (
    *_third(
        __ip_local_out="gets on its way: this host made it",
        __ip6_local_out="gets on its way: this host made it",
        ip_output="is routed: leaves by IP",
        ip6_output="is routed: leaves by IPv6",
        ip_mc_output="is routed: leaves by IP, to many",
        ip_finish_output2="is through with postrouting: looks for its next hop",
        ip6_finish_output2="is through with postrouting: looks for its next hop",
        ip_do_fragment="is cut into fragments",
        ip6_fragment="is cut into fragments",
    ),
    *_second(
        neigh_resolve_output="wants its next hop's hardware address",
        neigh_connected_output="gets its next hop's hardware address",
        arp_solicit="makes ARP ask for its next hop",
        ndisc_solicit="makes neighbour discovery ask for its next hop",
    ),
)

_QUEUES = _first(
    dev_qdisc_enqueue="is put into the device's queue (qdisc)",
    pfifo_fast_enqueue="is queued by pfifo_fast",
    fq_codel_enqueue="is queued by fq_codel",
    fq_enqueue="is queued by fq",
    cake_enqueue="is queued by cake",
    htb_enqueue="is queued by htb",
    hfsc_enqueue="is queued by hfsc",
    tbf_enqueue="is queued by tbf",
    sfq_enqueue="is queued by sfq",
    prio_enqueue="is queued by prio",
    netem_enqueue="is delayed, or worse, by netem",
    sch_direct_xmit="leaves the queue (qdisc) for the device",
    skb_checksum_help="has its checksum computed by the kernel",
)

_DEVICES_OUT = _first(
    veth_xmit="goes through a veth pair to its other end",
    netkit_xmit="goes through a netkit pair to its other end",
    loopback_xmit="goes round the loopback",
    vlan_dev_hard_start_xmit="gets its VLAN tag",
    macvlan_start_xmit="leaves by the device below the macvlan",
    ipvlan_start_xmit="leaves by the device below the ipvlan",
    vrf_xmit="goes through the VRF",
    bond_start_xmit="leaves by a port of the bond",
    team_xmit="leaves by a port of the team",
    tun_net_xmit="is given to the program behind the tun or tap device",
    dummy_xmit="ends in a dummy device",
    ifb_xmit="is taken round by an ifb device",
)

_TUNNELS = (
    *_first(
        vxlan_xmit="goes into a VXLAN tunnel",
        geneve_xmit="goes into a Geneve tunnel",
        ipgre_xmit="goes into a GRE tunnel",
        gre_tap_xmit="goes into a GRE tunnel, with its Ethernet header",
        erspan_xmit="goes into an ERSPAN tunnel",
        ip6gre_tunnel_xmit="goes into a GRE tunnel over IPv6",
        ipip_tunnel_xmit="goes into an IP-in-IP tunnel",
        sit_tunnel_xmit="goes into an IPv6-in-IPv4 tunnel",
        ip6_tnl_start_xmit="goes into a tunnel over IPv6",
        wg_xmit="goes into a WireGuard tunnel",
        xfrmi_xmit="goes into an IPsec tunnel, by an xfrm interface",
        vti_tunnel_xmit="goes into an IPsec tunnel, by a vti interface",
        vti6_tnl_xmit="goes into an IPsec tunnel, by a vti interface",
        l2tp_eth_dev_xmit="goes into an L2TP tunnel",
        gtp_dev_xmit="goes into a GTP tunnel",
        lwtunnel_xmit="goes into the tunnel of its route",
    ),
    *_third(
        iptunnel_xmit="gets its outer IP header",
        lwtunnel_output="goes into the tunnel of its route",
        udp_tunnel6_xmit_skb="gets its outer UDP header",
    ),
    *_of_socket(
        vxlan_rcv="comes out of a VXLAN tunnel",
        geneve_udp_encap_recv="comes out of a Geneve tunnel",
        wg_receive="comes to WireGuard",
        l2tp_udp_encap_recv="comes to L2TP",
    ),
    *_second(
        ip_tunnel_rcv="comes out of an IP tunnel",
        ip6_tnl_rcv="comes out of a tunnel over IPv6",
        l2tp_recv_common="comes out of an L2TP tunnel",
    ),
)

_IPSEC = (
    *_first(
        xfrm_input="comes to IPsec",
        esp_input_done2="is decrypted: ESP is taken off",
        esp6_input_done2="is decrypted: ESP is taken off",
        xfrm4_transport_finish="is through with IPsec: goes back to IP",
        xfrm6_transport_finish="is through with IPsec: goes back to IPv6",
    ),
    *_second(
        esp_input="is decrypted",
        esp6_input="is decrypted",
        ah_input="is authenticated",
        ah6_input="is authenticated",
        ipcomp_input="is decompressed",
        esp_output="is encrypted",
        esp6_output="is encrypted",
        esp_xmit="is encrypted, on its way to the device",
        esp6_xmit="is encrypted, on its way to the device",
        ah_output="gets its authentication header",
        ah6_output="gets its authentication header",
        ipcomp_output="is compressed",
    ),
    *_of_socket(
        xfrm4_udp_encap_rcv="is ESP in UDP",
        xfrm6_udp_encap_rcv="is ESP in UDP",
        xfrm_output="is to be protected by IPsec",
    ),
    *_third(
        __xfrm_policy_check="is held against the IPsec policies",
        xdst_queue_output="waits for an IPsec SA",
        xfrm4_output="is routed: leaves by IPsec",
        xfrm6_output="is routed: leaves by IPsec",
    ),
)

CURATED: tuple[CuratedFunction, ...] = (
    *(*_DEVICES_IN, *_BRIDGE, *_IP_IN, *_NETFILTER, *_IPSEC, *_PROTOCOLS_IN),
    *(*_SOCKETS, *_IP_OUT, *_QUEUES, *_DEVICES_OUT, *_TUNNELS),
)
