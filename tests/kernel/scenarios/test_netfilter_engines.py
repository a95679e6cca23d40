"""What drops in netfilter without being a plain rule: conntrack, NAT, queues, SYNPROXY, bridges and BPF links."""

import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scenarios import bpf_links, ipvs, traffic, verdicts
from scenarios.blame import blame, by_netfilter, deaths, explained
from scenarios.firewalls import Rule, legacy, legacy_rules, nft, nft_rules, the_rule
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import probed
from scenarios.roads import bridge, through_the_bridge
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

from dropwatch.causes.diagnose import diagnose
from dropwatch.enrich.answers import live_answers
from dropwatch.enrich.drop import Enricher
from dropwatch.host.host import Host
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.reasons import ReasonNames
from dropwatch.model.culprits import HookFunction
from dropwatch.model.drop import Event
from dropwatch.model.filter import Filter
from dropwatch.probe import tracer
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.netfilter_families import AT_HOOKS, ENGINES, XT

MAX = 10
LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
WHY_INVALID = {
    "connection": ("no connection", "no entry", "did not see", "not seen"),
    "checksum": ("checksum",),
    "window": ("window", "bound"),
}
CHAIN = "table inet t {{ chain c {{ type filter hook {hook} priority {priority};\n{rules}\n}} }}"


def rules_in(end: Namespace, rules: str, hook: str = "input", priority: int = 0) -> None:
    nft(end, CHAIN.format(hook=hook, priority=priority, rules=rules))


def statistics(end: Namespace, name: str, column: str) -> int:
    """A column of /proc/net/stat/NAME, all processors together."""
    head, *lines = (line.split() for line in end.run(f"cat /proc/net/stat/{name}").stdout.splitlines())
    return sum(int(line[head.index(column)], 16) for line in lines)


def counted(end: Namespace, needle: str, count: int) -> Rule:
    eventually(lambda: the_rule(nft_rules(end), needle).packets == count, f"{needle} counts {count}")
    return the_rule(nft_rules(end), needle)


@pytest.fixture
def few_connections() -> Iterator[None]:
    """The limit of all namespaces; only the first one may change it."""
    subprocess.run(["modprobe", "nf_conntrack"], check=True)
    before = LIMIT.read_text()
    try:
        LIMIT.write_text(str(MAX))
        yield
    finally:
        LIMIT.write_text(before)


def test_conntrack_table_full(lab: Lab, whydrop: Whydrop, few_connections: None) -> None:
    rules_in(lab.b, "udp dport 5720 ct state new counter accept")
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind((lab.b.v4, 5720))
        for sport in range(41000, 41030):
            traffic.datagrams(lab.a, lab.b.v4, [5720], sport=sport)
        dropped = statistics(lab.b, "nf_conntrack", "drop")
        assert 15 <= dropped <= 20
        explained(
            deaths(whydrop, lab.b, dropped, 5720), "netfilter.conntrack-full", "nf_conntrack_max", str(MAX)
        )


@pytest.mark.parametrize("why", WHY_INVALID)
@pytest.mark.parametrize("tool", ["nft", "iptables-legacy"])
def test_invalid(lab: Lab, whydrop: Whydrop, tool: str, why: str) -> None:
    """The rule is blamed, and beside it stands why the packet was INVALID."""
    lab.b.run(
        "sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0"
    )  # or conntrack takes up what it has not seen begin
    if tool == "nft":
        rules_in(lab.b, "ct state invalid counter drop")
    else:
        legacy(lab.b, "*filter\n-A INPUT -m conntrack --ctstate INVALID -j DROP")
    ends, ports = (lab.a.v4, lab.b.v4), (42000, 5710)
    if why == "connection":
        traffic.segments(lab.a, ends, ports, traffic.ACK, seq=7, ack=7, count=5)
    elif why == "checksum":
        traffic.segments(lab.a, ends, ports, count=5, spoilt=True)
    else:
        out_of_window(lab, ports, 5)
    list_rules = nft_rules if tool == "nft" else legacy_rules
    eventually(lambda: list_rules(lab.b)[0].packets == 5, "the rule counts five packets")
    found = deaths(whydrop, lab.b, 5, 5710, by_netfilter)
    blame(found, list_rules(lab.b)[0], "netfilter.conntrack-invalid")
    for line in found:
        said = str(line["evidence"]).lower()
        assert any(word in said for word in WHY_INVALID[why]), line


def test_an_invalid_segment_is_not_translated(lab: Lab, whydrop: Whydrop) -> None:
    """It belongs to a connection that NAT sends to another port, and dies where nobody listens."""
    redirect = "type nat hook prerouting priority -100; tcp dport 5712 redirect to :5713"
    nft(lab.b, f"table inet t {{ chain c {{ {redirect}\n}} }}")
    out_of_window(lab, (42002, 5712), 5, listens=5713)
    for line in deaths(whydrop, lab.b, 5, 5712):
        if line["reason"] is None:
            assert line["cause"]["id"] == "unknown", line
            continue
        explained([line], "netfilter.conntrack-invalid", "window", "is translated (nat)")


@pytest.mark.parametrize("cut", [False, True], ids=["checksum", "cut"])
def test_an_invalid_datagram_is_not_translated(lab: Lab, whydrop: Whydrop, cut: bool) -> None:
    """It dies of what is wrong with it, on the port that NAT would have led it away from."""
    redirect = "type nat hook prerouting priority -100; udp dport 5716 redirect to :5717"
    nft(lab.b, f"table inet t {{ chain c {{ {redirect}\n}} }}")
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind((lab.b.v4, 5717))
        reader.settimeout(60)
        traffic.datagrams(lab.a, lab.b.v4, [5716], sport=42004)
        assert reader.recv(100) == b"datagram"
        traffic.spoilt_datagram(lab.a, (lab.a.v4, lab.b.v4), (42004, 5716), cut=cut)
        (line,) = deaths(whydrop, lab.b, 1, 5716)
    words, cause = ("truncated", "truncated") if cut else ("bad checksum", "udp-checksum")
    was_left_alone(line, words, f"malformed.{cause}")


def test_an_invalid_message_is_not_translated(lab: Lab, whydrop: Whydrop) -> None:
    redirect = "type nat hook prerouting priority -100; meta l4proto icmp redirect"
    nft(lab.b, f"table inet t {{ chain c {{ {redirect}\n}} }}")
    traffic.spoilt_ping(lab.a, lab.b.v4)
    (line,) = deaths(whydrop, lab.b, 1, wanted=lambda line: line["packet"]["proto"] == "icmp")
    was_left_alone(line, "checksum", "malformed.icmp-checksum")


def was_left_alone(line: Line, words: str, cause: str) -> None:
    expected = (cause, "likely" if line["reason"] is None else "certain")
    assert (line["cause"]["id"], line["cause"]["confidence"]) == expected, line
    (fact,) = (each["text"] for each in line["evidence"] if each["source"] == "conntrack")
    assert "INVALID" in fact, line
    assert words in fact, line
    assert fact.endswith("NAT does not translate such a packet"), line


def out_of_window(lab: Lab, ports: tuple[int, int], count: int, *, listens: int | None = None) -> None:
    """Segments of a real connection, far beyond what the other end will take; NAT leads it to the port `listens`."""
    with (
        traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as listener,
        traffic.open_socket(lab.a, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as sniffer,
        traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        sniffer.bind((lab.a.iface, 3))
        sniffer.settimeout(60)
        listener.bind((lab.b.v4, listens or ports[1]))
        listener.listen()
        client.bind((lab.a.v4, ports[0]))
        client.connect((lab.b.v4, ports[1]))
        flags = 0
        while flags != traffic.ACK:
            packet = sniffer.recv(2000)
            if packet[9] == socket.IPPROTO_TCP and packet[12:16] == socket.inet_aton(lab.a.v4):
                seq, ack, flags = struct.unpack_from("!IIxB", packet, 24)
        far = (seq + (1 << 29)) % (1 << 32)
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), ports, traffic.ACK, seq=far, ack=ack, count=count)


def test_insertion_clash(lab: Lab, whydrop: Whydrop) -> None:
    """Four times the same new connection waits in a queue: the first to come out of it is entered, the others clash.

    Some kernels look once more, whether the connection is there by now, as a packet leaves a queue: nothing clashes.
    """
    rules_in(lab.b, "tcp dport 5730 ct state new queue num 7")
    nft(lab.b, "table ip raw { chain o { type filter hook output priority -300; tcp sport 5730 drop; } }")
    with verdicts.listening(lab.b, 7) as listener:
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (43000, 5730), count=4)
        for number in listener.take(4):
            listener.judge(number, verdicts.ACCEPT)
    failed = statistics(lab.b, "nf_conntrack", "insert_failed")
    assert failed in (0, 3)
    found = deaths(whydrop, lab.b, failed, 5730, by_netfilter)
    explained(found, "netfilter.conntrack-clash")


def test_nat_without_a_free_port(lab: Lab, whydrop: Whydrop) -> None:
    """Several flows to one destination, and a single port for them."""
    nft(
        lab.b,
        f"""table ip t {{ chain c {{ type nat hook postrouting priority 100;
          udp dport 5740 counter snat to {lab.b.v4}:1024; }} }}""",
    )
    for sport in range(44000, 44006):
        traffic.datagrams(lab.b, lab.a.v4, [5740], sport=sport)
    dropped = statistics(lab.b, "nf_conntrack", "insert_failed") + statistics(lab.b, "nf_conntrack", "drop")
    assert dropped >= 5
    explained(deaths(whydrop, lab.b, 5, 5740), "netfilter.conntrack-clash")


@pytest.mark.parametrize("tool", ["nft", "iptables-legacy"])
def test_queue_without_a_listener(lab: Lab, whydrop: Whydrop, tool: str) -> None:
    if tool == "nft":
        rules_in(lab.b, "udp dport 5750 counter queue num 505")
    else:
        legacy(lab.b, "*filter\n-A INPUT -p udp -m udp --dport 5750 -j NFQUEUE --queue-num 505")
    traffic.datagrams(lab.a, lab.b.v4, [5750] * 5)
    assert (nft_rules if tool == "nft" else legacy_rules)(lab.b)[0].packets == 5
    found = deaths(whydrop, lab.b, 5, 5750)
    explained(found, "netfilter.queue-unheard", "505")
    for line in found:
        (led,) = line["led_by"]
        assert (led["object"]["kind"], led["confidence"]) == (f"{tool.split('-')[0]}-rule", "likely"), line
        assert "queue 505" in led["text"], line


def queue_drops(end: Namespace, queue: int) -> tuple[int, int]:
    """How many packets the kernel did not put into the queue because it was full, and could not deliver."""
    for line in end.run("cat /proc/net/netfilter/nfnetlink_queue").stdout.splitlines():
        words = [int(word) for word in line.split()]
        if words[0] == queue:
            return words[5], words[6]
    raise AssertionError(f"no queue {queue}")


def test_queue_full(lab: Lab, whydrop: Whydrop) -> None:
    rules_in(lab.b, "udp dport 5760 counter queue num 506")
    with verdicts.listening(lab.b, 506, maxlen=2):
        traffic.datagrams(lab.a, lab.b.v4, [5760] * 9)
        assert queue_drops(lab.b, 506) == (7, 0)
        found = deaths(whydrop, lab.b, 7, 5760)
    explained(found, "netfilter.queue-unheard", "506", "full")


def test_listener_says_drop(lab: Lab, whydrop: Whydrop) -> None:
    """More packets wait than pass through a hook at a time: each is still known by its queue, and by its rule."""
    rules_in(lab.b, "udp dport 5770 counter queue num 507")
    with verdicts.listening(lab.b, 507) as listener:
        traffic.datagrams(lab.a, lab.b.v4, [5770] * 20)
        for number in listener.take(20):
            listener.judge(number, verdicts.DROP)
        found = deaths(whydrop, lab.b, 20, 5770)
    explained(found, "netfilter.queue-verdict", "507")
    for line in found:
        assert line["process"] is None, line  # who judges a packet has not sent it
        assert f"(pid {os.getpid()}) sent the verdict" in json.dumps(line["evidence"]), line
        assert [led["object"]["kind"] for led in line["led_by"]] == ["nft-rule"], line


@pytest.mark.parametrize("tool", ["nft", "iptables-legacy"])
def test_synproxy_refuses(lab: Lab, whydrop: Whydrop, tool: str) -> None:
    """An ACK with a cookie that was never given."""
    lab.b.run("modprobe nf_conntrack")
    lab.b.run("sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0")
    if tool == "nft":
        rules_in(
            lab.b, "tcp dport 5780 ct state invalid,untracked counter synproxy mss 1460 wscale 7 sack-perm"
        )
    else:
        legacy(
            lab.b,
            "*filter\n-A INPUT -p tcp -m tcp --dport 5780 -m conntrack --ctstate INVALID,UNTRACKED"
            " -j SYNPROXY --sack-perm --wscale 7 --mss 1460",
        )
    traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (45000, 5780), traffic.ACK, seq=9, ack=9, count=5)
    assert statistics(lab.b, "synproxy", "cookie_invalid") == 5
    assert (nft_rules if tool == "nft" else legacy_rules)(lab.b)[0].packets == 5
    explained(deaths(whydrop, lab.b, 5, 5780), "netfilter.synproxy", "synproxy")


@pytest.mark.parametrize("tool", ["nft", "iptables-legacy"])
def test_reverse_path_rule(lab: Lab, whydrop: Whydrop, tool: str) -> None:
    lab.a.run("ip address add 172.16.9.9/32 dev lo")
    # or ARP itself would ask from the refused address
    lab.a.run("sysctl -qw net.ipv4.conf.all.arp_announce=2")
    if tool == "nft":
        rules_in(lab.b, "udp dport 5790 fib saddr . iif oif missing counter drop", "prerouting", -300)
    else:
        legacy(lab.b, "*raw\n-A PREROUTING -m rpfilter --invert -j DROP")
    traffic.datagrams(lab.a, lab.b.v4, [5790] * 5, source="172.16.9.9")
    rule = (nft_rules if tool == "nft" else legacy_rules)(lab.b)[0]
    assert rule.packets == 5
    found = deaths(whydrop, lab.b, 5, 5790)
    blame(found, rule, "netfilter.rpfilter-match", way=("172.16.9.9",))


@pytest.fixture
def bridge_netfilter() -> Iterator[None]:
    """It hands bridged packets to iptables in every namespace, so it must go again."""
    subprocess.run(["modprobe", "br_netfilter"], check=True)
    yield
    subprocess.run(["modprobe", "-r", "br_netfilter"], check=True)


def test_bridged_packet_and_iptables(bridge_netfilter: None, lab: Lab, whydrop: Whydrop) -> None:
    """A frame that only crosses a bridge dies by rules for routed packets."""
    bridge(lab)
    legacy(
        lab.b, f"*filter\n-A FORWARD -p udp -m physdev --physdev-in {lab.b.iface} -m udp --dport 5800 -j DROP"
    )
    rules_in(lab.b, "udp dport 5801 counter drop", "forward")
    through_the_bridge(lab, 5800, 5)
    through_the_bridge(lab, 5801, 3)
    of_legacy, of_nft = legacy_rules(lab.b)[0], counted(lab.b, "dport 5801", 3)
    assert of_legacy.packets == 5
    by_legacy, by_nft = deaths(whydrop, lab.b, 5, 5800), deaths(whydrop, lab.b, 3, 5801)
    blame(by_legacy, of_legacy, "netfilter.iptables-rule")
    blame(by_nft, of_nft)
    for line in by_legacy + by_nft:
        assert "bridge" in str(line["evidence"]) or "br_netfilter" in str(line["evidence"]), line


def test_bpf_link(lab: Lab, whydrop: Whydrop) -> None:
    try:
        with bpf_links.dropping_ipv4_input(lab.b):
            before = snmp_delivered(lab.b)
            traffic.datagrams(lab.a, lab.b.v4, [5810] * 5)
            found = deaths(whydrop, lab.b, 5, 5810)
            assert snmp_delivered(lab.b) == before
    except bpf_links.NoSuchLink as why:
        pytest.skip(f"feature netfilter-bpf-link: {why}")
    for line in found:
        assert line["cause"]["id"] in ("netfilter.hook-other", "bpf.netfilter"), line
        assert line["cause"]["confidence"] == "certain", line
        assert line["object"]["name"] == bpf_links.NAME, line
        assert line["object"]["attached_to"] == "netfilter hook ip input, priority 50", line


def snmp_delivered(end: Namespace) -> int:
    """IPv4 packets that came past the hook for input."""
    lines = [line.split() for line in end.run("cat /proc/net/snmp").stdout.splitlines()]
    names, values = (line for line in lines if line[0] == "Ip:")
    return int(values[names.index("InDelivers")])


def test_ipvs_without_a_server(lab: Lab, whydrop: Whydrop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its probes, and for a second whydrop, which has only that of the return, as in the moment in which they are
    attached: as the one function at the hook that is left. nf_conntrack_in returned from there before it."""
    hooks = tuple(
        replace(hook, entry=None) if hook.function in ipvs.REQUEST_HOOKS else hook for hook in ENGINES.hooks
    )
    assert hooks != ENGINES.hooks
    subprocess.run(["modprobe", "ip_vs"], check=True)
    eventually(lambda: not ipvs.REQUEST_HOOKS.isdisjoint(probed()), "whydrop has its probe of IPVS")
    # no more probes than it takes: attaching is what a start spends its time with
    needed = {XT: XT.hooks, ENGINES: hooks, AT_HOOKS: AT_HOOKS.hooks}
    families = tuple(replace(family, hooks=needed.get(family, ())) for family in FAMILIES)
    monkeypatch.setattr(tracer, "FAMILIES", families)
    wanted = Filter(dport=((5820, 5821),))
    with (
        ipvs.service_without_servers(lab.b, 5820),
        ipvs.service_without_servers(lab.b, 5821),
        tracer.Tracer(wanted, symbols := Kallsyms(), send_all=False) as second,
    ):
        traffic.datagrams(lab.a, lab.b.v4, [5820] * 5)
        # then also past a legacy table, whose rules have nothing to do with it
        legacy(lab.b, "*filter\n-A INPUT -p udp -m udp --dport 9 -j DROP")
        traffic.datagrams(lab.a, lab.b.v4, [5821] * 5)
        for port in (5820, 5821):
            for line in deaths(whydrop, lab.b, 5, port):
                assert (line["cause"]["id"], line["object"]["port"]) == ("ipvs.no-server", port), told(line)
                assert "ip_vs_" in line["evidence"][1]["source"], told(line)
        events: list[Event] = []
        while len(events) < 10:
            batch = second.read(60_000)
            assert batch, "no drop came"
            events += batch
    answers = live_answers(symbols, ReasonNames(), Host())
    enrich = Enricher(answers).drop
    for event in events:
        cause, verdict = diagnose(enrich(event), answers.host)
        assert cause is not None, event.netfilter
        assert (cause.id, verdict.confidence) == ("netfilter.hook-other", "likely"), event.netfilter
        assert isinstance(verdict.culprit, HookFunction), event.netfilter
        assert verdict.culprit.function in ipvs.REQUEST_HOOKS
        assert verdict.culprit.module == "ip_vs"


def test_nat_passes_no_redirect_on(lab: Lab, whydrop: Whydrop) -> None:
    """About a connection that this host translates; about another one the kernel takes it."""
    other = lab.b.v4.rsplit(".", 1)[0] + ".77"
    lab.b.configure(f"address add {other}/24 dev {lab.b.iface}", f"route add 198.51.100.0/24 via {lab.a.v4}")
    post = "type nat hook postrouting priority srcnat;\nudp dport 5731 snat to " + other
    nft(lab.b, f"table ip t {{ chain c {{ {post}\n}} }}")
    traffic.datagrams(lab.b, "198.51.100.9", [5731, 5732], sport=40000)
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as router:
        for source, port in ((other, 5731), (lab.b.v4, 5732)):
            datagram = traffic.udp_packet(source, "198.51.100.9", port)
            message = struct.pack("!BBH4s", 5, 1, 0, socket.inet_aton(lab.a.v4)) + datagram[:28]
            message = message[:2] + struct.pack("!H", traffic.checksum(message)) + message[4:]
            for _ in range(3):
                router.sendto(message, (source, 0))
    for line in deaths(whydrop, lab.b, 3, wanted=by_netfilter):
        assert line["packet"]["proto"] == "icmp", told(line)
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("netfilter.nat-icmp", "certain"), told(
            line
        )
