"""Rules for frames: nf_tables for bridges, ARP and devices, and legacy ebtables and arptables."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from scenarios import traffic
from scenarios.blame import blame, blame_policy, by_netfilter, deaths
from scenarios.firewalls import Rule, nft, nft_rules, snapshot, the_rule
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.roads import bridge, through_the_bridge
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

BRIDGE_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
NETDEV = """
table netdev t {
  map verdicts { type inet_service : verdict; elements = { 5312 : drop, 5313 : goto judge } }
  chain judge { udp dport 5313 counter drop comment "mapped" }
  chain jumped { udp dport 5311 counter drop comment "jumped" }
  chain c {
    type filter hook ingress device "vb" priority 0; policy accept;
    udp dport 5310 counter drop comment "ingress"
    udp dport 5311 jump jumped
    udp dport 5312 counter comment "beside"
    udp dport vmap @verdicts comment "vmap"
  }
}
table inet t {
  chain c { type filter hook ingress device "vb" priority 5; udp dport 5314 counter drop comment "inet ingress"; }
}
"""
MORE = """
chain sorted { udp dport 5340 counter drop comment "sorted" }
chain more {
  type filter hook input priority 5;
  ether type vmap { arp : accept, ip : jump sorted }
  ip ttl 2-200 udp dport 5341 counter reject with icmp type port-unreachable comment "reject"
}
"""
NETDEV_WAYS = {
    "ingress": (5310, ()),
    "jumped": (5311, ("jumped",)),
    "vmap": (5312, ()),
    "mapped": (5313, ("judge",)),
    "inet ingress": (5314, ()),
}
EGRESS = 'type filter hook egress device "vb" priority 0;'
EBTABLES = "ebtables-legacy --concurrent"
COUNTED = re.compile(r"\d+\. .* ?, pcnt = (\d+) -- bcnt")


@pytest.fixture(scope="module")
def ingress(whydrop: Whydrop) -> Iterator[Lab]:
    with joined_pair() as lab:
        nft(lab.b, NETDEV)
        before = snapshot(lab.b)
        yield lab
        assert snapshot(lab.b) == before


@pytest.fixture(scope="module")
def bridged(whydrop: Whydrop) -> Iterator[Lab]:
    """A bridge in b, and a rule in each hook of the bridge family."""
    with joined_pair() as lab:
        bridge(lab)
        rule = 'chain c%s { type filter hook %s priority 0; udp dport %d counter drop comment "%s"; }\n'
        chains = [rule % (hook, hook, 5330 + n, hook) for n, hook in enumerate(BRIDGE_HOOKS)]
        nft(lab.b, "table bridge t {\n" + "".join(chains) + MORE + "\n}")
        yield lab


def counted(end: Namespace, comment: str, count: int) -> Rule:
    """The rule with this comment, once it has counted so many."""
    needle = f'comment "{comment}"'
    eventually(lambda: the_rule(nft_rules(end), needle).packets == count, f"{comment} counts {count}")
    return the_rule(nft_rules(end), needle)


@pytest.mark.parametrize("name", NETDEV_WAYS)
def test_ingress(ingress: Lab, whydrop: Whydrop, name: str) -> None:
    port, way = NETDEV_WAYS[name]
    traffic.datagrams(ingress.a, ingress.b.v4, [port] * 5)
    rule = counted(ingress.b, "beside" if name == "vmap" else name, 5)
    if name == "vmap":
        rule = the_rule(nft_rules(ingress.b), 'comment "vmap"')
    blame(deaths(whydrop, ingress.b, 5, port), rule, way=("c", *way))


def test_egress(lab: Lab, whydrop: Whydrop) -> None:
    rules = 'udp dport 5320 counter drop comment "out"\nudp dport 5321 counter jump deeper'
    deeper = 'chain deeper { udp dport 5321 counter drop comment "deeper"; }'
    try:
        nft(lab.b, f"table netdev t {{\n{deeper}\nchain c {{\n{EGRESS}\n{rules}\n}} }}")
    except AssertionError as refused:
        if "Operation not supported" not in str(refused):
            raise
        pytest.skip("feature netdev-egress: nf_tables has no such hook")
    traffic.datagrams(lab.b, lab.a.v4, [5320, 5321] * 5)
    blame(deaths(whydrop, lab.b, 5, 5320), counted(lab.b, "out", 5))
    blame(deaths(whydrop, lab.b, 5, 5321), counted(lab.b, "deeper", 5), way=("c", "deeper"))


def test_policy_of_netdev(lab: Lab, whydrop: Whydrop) -> None:
    rules = 'udp dport != 5322 accept\nmeta protocol != ip accept\nudp dport 5322 counter comment "witness"'
    hook = 'type filter hook ingress device "vb" priority 0; policy drop;'
    nft(lab.b, f"table netdev t {{ chain c {{ {hook}\n{rules}\n}} }}")
    traffic.datagrams(lab.a, lab.b.v4, [5322] * 3)
    counted(lab.b, "witness", 3)
    blame_policy(deaths(whydrop, lab.b, 3, 5322), "t", "c")


@pytest.mark.parametrize("hook", BRIDGE_HOOKS)
def test_bridge_family(bridged: Lab, whydrop: Whydrop, hook: str) -> None:
    port = 5330 + BRIDGE_HOOKS.index(hook)
    if hook in ("output", "postrouting"):
        traffic.datagrams(bridged.b, bridged.a.v4, [port] * 5)
    elif hook == "forward":
        through_the_bridge(bridged, port, 5)
    else:
        traffic.datagrams(bridged.a, bridged.b.v4, [port] * 5)
    blame(deaths(whydrop, bridged.b, 5, port), counted(bridged.b, hook, 5))


@pytest.mark.parametrize("name", ["sorted", "reject"])
def test_bridge_family_by_other_ways(bridged: Lab, whydrop: Whydrop, name: str) -> None:
    port = 5340 if name == "sorted" else 5341
    traffic.datagrams(bridged.a, bridged.b.v4, [port] * 3)
    cause = "netfilter.nft-rule" if name == "sorted" else "netfilter.nft-reject"
    blame(deaths(whydrop, bridged.b, 3, port), counted(bridged.b, name, 3), cause, way=("more",))


def ask(lab: Lab, sender: str, count: int) -> None:
    """ARP requests for b's address in the name of somebody who is not there."""
    hardware = traffic.hardware_address(lab.a, lab.a.iface)
    body = traffic.arp_request(sender, lab.b.v4, hardware)
    traffic.frames(lab.a, lab.a.iface, to=traffic.BROADCAST, kind=traffic.ETH_P_ARP, body=body, count=count)


def test_arp_family(lab: Lab, whydrop: Whydrop) -> None:
    """A request that is dropped as it comes, and an answer as it goes."""
    silent, unheard = (f"{lab.a.v4.rpartition('.')[0]}.{host}" for host in (77, 78))
    nft(
        lab.b,
        f"""table arp t {{
          chain in {{ type filter hook input priority 0;
            arp saddr ip {silent} counter drop comment "in"; }}
          chain deeper {{ arp daddr ip {unheard} counter drop comment "out"; }}
          chain out {{ type filter hook output priority 0; arp operation reply jump deeper; }} }}""",
    )
    ask(lab, silent, 5)
    incoming = counted(lab.b, "in", 5)
    found = deaths(whydrop, lab.b, 5, wanted=by_netfilter)
    blame(found, incoming)
    ask(lab, unheard, 3)
    outgoing = counted(lab.b, "out", 3)
    found = deaths(whydrop, lab.b, 8, wanted=by_netfilter)
    blame(found[5:], outgoing, way=("out", "deeper"))


@pytest.mark.parametrize("time", ["first", "again"])
def test_module_that_comes_later(lab: Lab, whydrop: Whydrop, time: str) -> None:
    """Probes go to a module that is loaded while whydrop runs; what died before is not blamed on anything else."""
    if time == "again":
        unload_arp_tables()
    silent = f"{lab.a.v4.rpartition('.')[0]}.77"
    lab.b.run(f"arptables-legacy -A INPUT -s {silent} -j DROP")

    def certain() -> list[Line]:
        here = [line for line in whydrop.lines() if (line.get("netns") or {}).get("name") == lab.b.name]
        return [line for line in here if line["cause"]["confidence"] == "certain"]

    def sent_and_seen() -> bool:
        ask(lab, silent, 1)
        return len(certain()) >= 3

    eventually(sent_and_seen, "packets are blamed on the rule")
    blame(certain(), Rule("filter", "INPUT", silent, None, number=1), "netfilter.arptables-rule")


def unload_arp_tables() -> None:
    """As soon as the namespaces that used it are gone."""
    words = ["modprobe", "-qr", "arptable_filter", "arp_tables"]
    eventually(lambda: subprocess.run(words, check=False).returncode == 0, "nobody uses arp_tables")


def test_legacy_arptables(lab: Lab, whydrop: Whydrop) -> None:
    silent, other, unheard = (f"{lab.a.v4.rpartition('.')[0]}.{host}" for host in (77, 78, 79))
    for rule in (
        "-N user",
        f"-A INPUT -s {other} -j DROP",
        f"-A INPUT -s {silent} -j user",
        f"-A user -s {other} -j DROP",
        f"-A user -s {silent} -j DROP",
        f"-A OUTPUT -d {unheard} -j DROP",
    ):
        lab.b.run(f"arptables-legacy {rule}")
    ask(lab, silent, 5)
    assert f"-s {silent} , pcnt=5 --" in lab.b.run("arptables-legacy -L user -n -v").stdout
    found = deaths(whydrop, lab.b, 5, wanted=by_netfilter)
    blame(found, Rule("filter", "user", silent, 5, number=2), "netfilter.arptables-rule", way=("INPUT",))
    ask(lab, unheard, 3)
    assert f"-d {unheard} , pcnt=3 --" in lab.b.run("arptables-legacy -L OUTPUT -n -v").stdout
    found = deaths(whydrop, lab.b, 8, wanted=by_netfilter)[5:]
    blame(found, Rule("filter", "OUTPUT", unheard, 3, number=1), "netfilter.arptables-rule")


@pytest.fixture
def legacy_bridge(lab: Lab) -> Lab:
    """A bridge in b, on a kernel that has the legacy tables for it."""
    bridge(lab)
    if subprocess.run(["modprobe", "-q", "ebtable_filter"], check=False).returncode != 0:
        pytest.skip("feature ebtables-legacy: this kernel has no such tables")
    return lab


def ebtables_rules(end: Namespace, chain: str) -> list[Rule]:
    numbered = end.run(f"{EBTABLES} -L {chain} --Ln --Lc").stdout.splitlines()
    counts = [int(match[1]) for line in numbered if (match := COUNTED.match(line.strip()))]
    commands = end.run(f"{EBTABLES} -L {chain} --Lx").stdout.splitlines()
    texts = [f"-A {rest.strip()}" for line in commands if (rest := line.partition(" -A ")[2])]
    numbers = range(1, len(counts) + 1)
    return [
        Rule("filter", chain, text, count, number=number)
        for text, count, number in zip(texts, counts, numbers, strict=True)
    ]


def ebtables_counted(end: Namespace, chain: str, number: int, count: int) -> Rule:
    what = f"rule {number} of {chain} counts {count}"
    eventually(lambda: ebtables_rules(end, chain)[number - 1].packets == count, what)
    return ebtables_rules(end, chain)[number - 1]


def udp(port: int) -> str:
    return f"-p IPv4 --ip-protocol udp --ip-destination-port {port}"


def test_legacy_ebtables(legacy_bridge: Lab, whydrop: Whydrop) -> None:
    """Twins in FORWARD, a user chain, an address of the hardware in INPUT, and OUTPUT."""
    lab = legacy_bridge
    mac = traffic.hardware_address(lab.a, lab.a.iface).hex(":")
    for rule in (
        "-N user",
        *(f"-A FORWARD {udp(port)} -j DROP" for port in (5350, 5351, 5352)),
        f"-A FORWARD {udp(5353)} -j user",
        f"-A user {udp(5354)} -j DROP",
        "-A user -j DROP",
        f"-A INPUT -s 02:00:00:00:00:01 {udp(5355)} -j DROP",
        f"-A INPUT -s {mac} {udp(5355)} -j DROP",
        f"-A OUTPUT {udp(5356)} -j DROP",
    ):
        lab.b.run(f"{EBTABLES} {rule}")
    for port, count in ((5351, 5), (5353, 3), (5352, 2)):
        through_the_bridge(lab, port, count)
    traffic.datagrams(lab.a, lab.b.v4, [5355] * 7)
    traffic.datagrams(lab.b, lab.a.v4, [5356] * 3)
    for port, count, chain, number, way in (
        (5351, 5, "FORWARD", 2, ()),
        (5353, 3, "user", 2, ("FORWARD",)),
        (5352, 2, "FORWARD", 3, ()),
        (5355, 7, "INPUT", 2, ()),
        (5356, 3, "OUTPUT", 1, ()),
    ):
        guilty = ebtables_counted(lab.b, chain, number, count)
        blame(deaths(whydrop, lab.b, count, port), guilty, "netfilter.ebtables-rule", way=way)


def test_policy_of_legacy_ebtables(legacy_bridge: Lab, whydrop: Whydrop) -> None:
    lab = legacy_bridge
    lab.b.run(f"{EBTABLES} -A FORWARD {udp(5360)} -j CONTINUE")
    lab.b.run(f"{EBTABLES} -P FORWARD DROP")
    through_the_bridge(lab, 5360, 5)
    ebtables_counted(lab.b, "FORWARD", 1, 5)
    found = deaths(whydrop, lab.b, 5, 5360)
    for line in found:
        assert line["cause"]["id"] == "netfilter.chain-policy", line
        assert line["cause"]["confidence"] == "certain", line
        assert (line["object"]["kind"], line["object"]["chain"]) == ("chain-policy", "FORWARD"), line
