"""Whoever carries out what is advised first ends the loss: provoke, read the finding, run its command, see packets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios import losing, outgoing, roads
from scenarios.blame import by_netfilter
from scenarios.first_fix import PORT, Loss, arrive_again, carry_out, read_six, rises, seen, spoil, whole
from scenarios.losing import nft
from scenarios.namespaces import Lab
from scenarios.tallies import died_in
from scenarios.test_discovery import REDIRECT
from scenarios.test_drops import kernel_gives_reasons
from scenarios.test_netfilter_frames import EBTABLES, udp, unload_arp_tables
from scenarios.whydrop_process import Whydrop, told

GLOBAL = (  # what scenarios write in the first namespace
    *("core/netdev_max_backlog", "core/rmem_default", "core/rmem_max", "ipv4/neigh/default/gc_thresh3"),
    "netfilter/nf_conntrack_max",
)


def xt(tool: str, *rules: str) -> tuple[str, ...]:
    return tuple(f"b: {tool} {rule}" for rule in rules)


def held(interface: str, what: str) -> str:
    end = "a" if interface == "va" else "b"
    return f"{end}: tc qdisc add dev {interface} root netem {what}"


def filtered(end: str, way: str) -> tuple[str, ...]:
    drop = f"{end}: tc filter add dev v{end} {way} protocol ip matchall action drop"
    return f"{end}: tc qdisc add dev v{end} clsact", drop


LEGACY, LEGACY6, BY_NFT = "iptables-legacy", "ip6tables-legacy", "iptables-nft"
FLOW = f"-p udp --dport {PORT}"
ASYMMETRIC = (f"a: ip address add {losing.ELSEWHERE}/32 dev lo", "a: net.ipv4.conf.all.arp_announce = 2")
UNTRACKED, OLD, TUN, FULL_TUN = losing.Untracked(), losing.OldConnection(), losing.Tun(), losing.Tun()
DATAGRAMS = losing.Burst()
NO_POLICY, MARK, CLEAR, REQID, INTERFACE = map(
    losing.Protected, ("no policy", "mark", "clear text", "another reqid", "another interface")
)

FIREWALLS = {
    "nft rule": Loss("netfilter.nft-rule", nft(f"udp dport {PORT} drop;")),
    "nft rule in prerouting": Loss("netfilter.nft-rule", nft(f"udp dport {PORT} drop;", "prerouting", -150)),
    "nft rule for IPv6": Loss(
        "netfilter.nft-rule", nft(f"udp dport {PORT} drop;"), losing.to_b_in_ipv6, read_six
    ),
    "nft rule of iptables-nft": Loss("netfilter.nft-rule", xt(BY_NFT, f"-A INPUT {FLOW} -j DROP")),
    "nft reject": Loss("netfilter.nft-reject", nft(f"udp dport {PORT} reject;")),
    "nft policy": Loss("netfilter.chain-policy", nft("ct state established accept;", policy="policy drop;")),
    "iptables rule": Loss("netfilter.iptables-rule", xt(LEGACY, f"-A INPUT {FLOW} -j DROP")),
    "iptables rule in a chain": Loss(
        "netfilter.iptables-rule", xt(LEGACY, "-N mine", "-A INPUT -j mine", f"-A mine {FLOW} -j DROP")
    ),
    "iptables rule in raw": Loss(
        "netfilter.iptables-rule", xt(LEGACY, f"-t raw -A PREROUTING {FLOW} -j DROP")
    ),
    "ip6tables rule": Loss(
        "netfilter.iptables-rule", xt(LEGACY6, f"-A INPUT {FLOW} -j DROP"), losing.to_b_in_ipv6, read_six
    ),
    "iptables reject": Loss("netfilter.iptables-reject", xt(LEGACY, f"-A INPUT {FLOW} -j REJECT")),
    "iptables policy": Loss("netfilter.chain-policy", xt(LEGACY, "-P INPUT DROP")),
    "frames that ebtables drops": Loss(
        "netfilter.ebtables-rule",
        (f"b: {EBTABLES} -A FORWARD {udp(PORT)} -j DROP",),
        losing.over_the_bridge,
        seen("b", "p1", losing.is_to_port),
        roads.bridge,
        needs="ebtables-legacy",
    ),
    "arptables rule": Loss(
        "netfilter.arptables-rule",
        ("b: arptables-legacy -A INPUT -s {a4} -j DROP",),
        losing.ask_in_arp,
        seen("a", "va", losing.is_arp_reply),
        is_ours=by_netfilter,
    ),
    "check of the way back by nft": Loss(
        "netfilter.rpfilter-match",
        (*ASYMMETRIC, *nft(f"udp dport {PORT} fib saddr . iif oif missing drop;", "prerouting", -300)),
        losing.from_elsewhere,
    ),
    "check of the way back by iptables": Loss(
        "netfilter.rpfilter-match",
        (*ASYMMETRIC, *xt(LEGACY, "-t raw -A PREROUTING -m rpfilter --invert -j DROP")),
        losing.from_elsewhere,
    ),
    "conntrack table full": Loss("netfilter.conntrack-full", prepare=losing.full_of_connections),
    "conntrack finds it invalid": Loss(
        "netfilter.conntrack-invalid", (), UNTRACKED.send, UNTRACKED.witness, UNTRACKED.prepare
    ),
}
ROUTES = {
    "reverse path": Loss(
        "routing.reverse-path",
        (*ASYMMETRIC, "b: net.ipv4.conf.all.rp_filter = 1"),
        losing.from_elsewhere,
        needs="reasons",
    ),
    "reverse path with another way back": Loss(
        "routing.reverse-path",
        (*ASYMMETRIC, "b: net.ipv4.conf.all.rp_filter = 1"),
        losing.from_elsewhere,
        prepare=losing.another_way_back,
        needs="reasons",
    ),
    "source on loopback": Loss("routing.martian-source", (), losing.from_loopback),
    "destination on loopback": Loss("routing.martian-destination", (), losing.to_loopback),
    "for another hardware address": Loss(
        "routing.not-for-us",
        ("a: ip neigh replace {b4} lladdr 02:00:00:00:99:99 dev va nud reachable",),
        peer=True,
        needs="reasons",
    ),
    "unicast in a broadcast frame": Loss(
        "routing.unicast-in-multicast-frame",
        ("b: net.ipv4.conf.all.drop_unicast_in_l2_multicast = 1",),
        losing.to_b_in_broadcasts,
        needs="reasons",
    ),
    "forwarding off": Loss(
        "routing.forwarding-off",
        ("b: net.ipv4.ip_forward = 0",),
        losing.beyond,
        rises("Ip", "ForwDatagrams"),
        roads.turn_around,
        needs="reasons",
    ),
    "forwarding off on the interface": Loss(
        "routing.forwarding-off",
        ("b: net.ipv4.conf.vb.forwarding = 0",),
        losing.beyond,
        rises("Ip", "ForwDatagrams"),
        roads.turn_around,
        needs="reasons",
    ),
    "forwarding of IPv6 off": Loss(
        "routing.forwarding-off",
        ("b: net.ipv6.conf.all.forwarding = 0",),
        losing.beyond_in_ipv6,
        rises("", "Ip6OutForwDatagrams"),
        roads.turn_around,
        needs="reasons",
    ),
    "group that nobody joined": Loss(
        "routing.multicast-not-joined", ("a: ip route add 239.0.0.0/8 dev va",), losing.to_a_group
    ),
    "blackhole in IPv6": Loss(
        "routing.blackhole",
        ("b: ip route add blackhole fd77::9/128",),
        losing.beyond_in_ipv6,
        rises("", "Ip6OutForwDatagrams"),
        roads.turn_around,
    ),
}
HOSTS = {
    "queue of a neighbour": Loss(
        "neighbour.queue-full",
        ("a: net.ipv4.neigh.va.unres_qlen_bytes = 4096", held("vb", "delay 300ms")),
        losing.unanswered_for_a_while,
        whole(3),
        dies_in="a",
        needs="reasons",
    ),
    "table of neighbours": Loss(
        "neighbour.table-full",
        (),
        losing.unknown_neighbours,
        whole(len(losing.NEW_NEIGHBOURS)),
        losing.full_of_neighbours,
        dies_in="a",
        needs="reasons",
    ),
    "buffer of a UDP socket": Loss(
        "socket.udp-buffer-full",
        ("first: net.core.rmem_default = 16000",),
        DATAGRAMS.send,
        DATAGRAMS.witness,
    ),
    "socket outside of the VRF": Loss("socket.bound-elsewhere", prepare=losing.in_a_vrf, needs="reasons"),
    "tc filter on the way in": Loss("queueing.tc-ingress", filtered("b", "ingress"), needs="reasons"),
    "tc filter on the way out": Loss(
        "queueing.tc-egress", filtered("a", "egress"), dies_in="a", needs="reasons"
    ),
    "input queue of a CPU": Loss(
        "queueing.cpu-backlog",
        ("first: net.core.netdev_max_backlog = 8", held("va", "slot 300ms 300ms")),
        losing.in_a_burst,
        whole(12),
        needs="reasons",
    ),
    "other end of a pair is down": Loss(
        "queueing.noqueue-down",
        (),
        losing.beyond,
        seen("a", "x1", losing.is_to_port),
        losing.into_a_loose_cable,
        dies_in="a",
    ),
    "tun device that is down": Loss("device.down", (), TUN.write, TUN.witness, TUN.prepare, needs="reasons"),
    "queue of a tun device": Loss(
        "device.tun-full",
        ("b: ip link set tun0 txqueuelen 2 up",),
        FULL_TUN.send,
        FULL_TUN.reads,
        FULL_TUN.prepare,
        needs="reasons",
    ),
    "backup port of a bond": Loss(
        "device.bond-inactive",
        (),
        losing.to_b_in_broadcasts,
        prepare=losing.backup_of_a_bond,
        needs="reasons",
    ),
    "VLAN filter of a bridge": Loss(
        "device.bridge-vlan-filter",
        ("b: ip link set br0 type bridge vlan_filtering 1", "b: bridge vlan del dev vb vid 1"),
        losing.to_b_in_broadcasts,
        prepare=roads.bridge,
    ),
    "IPv6 switched off": Loss(
        "ipv6.disabled",
        ("b: net.ipv6.conf.vb.disable_ipv6 = 1",),
        losing.to_all_nodes,
        read_six,
        needs="reasons",
    ),
    "redirect that is refused": Loss(
        "ipv6.message-refused",
        (),
        losing.redirect,
        losing.redirected,
        losing.route_for_redirects,
        is_ours=lambda line: line["packet"]["icmp_type"] == REDIRECT,
    ),
    "XDP program": Loss("bpf.xdp-generic", (), losing.to_b_in_frames, prepare=losing.xdp),
    "connection that the peer forgot": Loss(
        "tcp.invalid-syn", (), OLD.send, OLD.witness, OLD.prepare, needs="reasons"
    ),
    "policy of IPsec blocks": Loss(
        "ipsec.policy-block",
        (f"b: ip xfrm policy add dst {{b4}}/32 proto udp dport {PORT} dir in action block priority 7",),
    ),
    "policy of IPsec is missing": Loss(
        "ipsec.no-policy", (), NO_POLICY.send, NO_POLICY.witness, NO_POLICY.prepare, NO_POLICY.is_ours
    ),
    "SA is for a mark": Loss("ipsec.mark-mismatch", (), MARK.send, MARK.witness, MARK.prepare, MARK.is_ours),
    "policy is for another interface": Loss(
        "ipsec.interface-mismatch",
        (),
        INTERFACE.send,
        INTERFACE.witness,
        INTERFACE.prepare,
        INTERFACE.is_ours,
    ),
    "SA has another reqid": Loss(
        "ipsec.out-no-state", (), REQID.send, REQID.witness, REQID.prepare, REQID.is_ours, dies_in="a"
    ),
    "clear text where IPsec is demanded": Loss(
        "ipsec.template-mismatch", (), CLEAR.send, CLEAR.witness, CLEAR.prepare, CLEAR.is_ours
    ),
}
LOSSES = FIREWALLS | ROUTES | HOSTS


@pytest.fixture(scope="module", autouse=True)
def probes(whydrop: Whydrop) -> Iterator[None]:
    outgoing.probes_follow("esp4 tun xfrm_interface arp_tables", "arpt_do_table", "xfrmi_xmit")
    yield
    unload_arp_tables()  # that they come later is another scenario's


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """What holds for all namespaces is as before."""
    before = {path: path.read_text() for name in GLOBAL if (path := Path("/proc/sys/net", name)).exists()}
    yield
    for path, text in before.items():
        path.write_text(text)


@pytest.mark.parametrize(
    "loss",
    [pytest.param(loss, id=name, marks=pytest.mark.once(needs=loss.needs)) for name, loss in LOSSES.items()],
)
def test_the_first_fix_ends_the_loss(lab: Lab, whydrop: Whydrop, loss: Loss) -> None:
    possible(loss)
    if loss.prepare is not None:
        loss.prepare(lab)
    for line in loss.spoil:
        spoil(lab, line)
    end = lab.a if loss.dies_in == "a" else lab.b
    with loss.witness(lab) as arrived:
        loss.send(lab)
        (found, *_) = whydrop.wait_for(lambda line: died_in(end, line) and loss.is_ours(line))
        assert found["cause"]["id"] == loss.cause_id, told(found)
        assert not arrived(), "it was lost"
        command = carry_out(lab, found, peer=loss.peer)
        assert arrive_again(lab, loss, arrived), f"nothing arrives after {command}"


def possible(loss: Loss) -> None:
    if loss.needs == "reasons" and not kernel_gives_reasons():
        pytest.skip("feature reasons: this kernel does not tell this cause")
    if loss.needs == "ebtables-legacy" and not losing.legacy_ebtables_are_here():
        pytest.skip("feature ebtables-legacy: this kernel has no such tables")


@pytest.mark.once
def test_forty_causes_are_tried() -> None:
    assert len({loss.cause_id for loss in LOSSES.values()}) >= 40
