"""The first command that changes something ends the loss: what died arrives, in three namespaces in a row."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dropwatch.causes import by_id
from dropwatch.causes.advice import advise, of_catalogue
from dropwatch.causes.diagnose import diagnose
from dropwatch.causes.netfilter.rule_advice import fixes
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.route import Route
from dropwatch.model.culprits import ChainPolicy, IptablesRule, NftRule, Rule
from dropwatch.model.drop import Drop, Fix, Frame, Interface, Netns, Packet
from tests.unit.causes.throwaway import namespace
from tests.unit.told_host import ToldHost

# a and c are hosts, b between them is the one whose advice is followed.
ROAD = """
for end in a b c; do ip netns add $end; ip netns exec $end ip link set lo up; done
for end in a b c; do ip netns exec $end sysctl -qw net.ipv6.conf.default.accept_dad=0; done
ip link add va netns a type veth peer name vb netns b
ip link add vc netns b type veth peer name vd netns c
for link in "a va 1 1" "b vb 1 2" "b vc 2 2" "c vd 2 1"; do
    set -- $link
    ip -n $1 addr add 10.9.$3.$4/24 dev $2
    ip -n $1 addr add fd09:$3::$4/64 dev $2 nodad
    ip -n $1 link set $2 up
done
ip -n a route add default via 10.9.1.2
ip -n c route add default via 10.9.2.2
ip -n a -6 route add default via fd09:1::2
ip -n c -6 route add default via fd09:2::2
ip netns exec b sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
PING = "ip netns exec a ping -c 1 -W 1"
TOOLS = ("ip", "nft", "iptables-legacy", "ping")


@dataclass(frozen=True)
class Loss:
    """`spoil` are the commands that lose what `ping` sends, `cause_id` what whydrop calls it.

    Where the echo cannot come back, `heard` is a counter of b that rises when the request has arrived.
    """

    cause_id: str
    spoil: str
    ping: str
    packet: dict[str, Any]
    heard: str | None = None
    iface: str = "vb"


HERE = {"proto": "icmp", "saddr": "10.9.1.1", "daddr": "10.9.1.2", "sport": None, "dport": None}
THROUGH = {**HERE, "daddr": "10.9.2.1"}
SIX = {"family": 6, "proto": "icmp6", "sport": None, "dport": None}
LOSSES = {
    "forwarding off": Loss(
        "routing.forwarding-off", "ip netns exec b sysctl -qw net.ipv4.ip_forward=0", "10.9.2.1", THROUGH
    ),
    "forwarding off on this interface": Loss(
        "routing.forwarding-off",
        "ip netns exec b sysctl -qw net.ipv4.conf.vb.forwarding=0",
        "10.9.2.1",
        THROUGH,
    ),
    "forwarding of IPv6 off": Loss(
        "routing.forwarding-off",
        "ip netns exec b sysctl -qw net.ipv6.conf.all.forwarding=0",
        "fd09:2::1",
        {**SIX, "saddr": "fd09:1::1", "daddr": "fd09:2::1"},
    ),
    "reverse path": Loss(
        "routing.reverse-path",
        "ip netns exec b sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.vb.rp_filter=1;"
        "ip -n a addr add 172.16.9.9/32 dev lo; ip -n b route add 172.16.9.9 via 10.9.2.1;"
        "ip netns exec a sysctl -qw net.ipv4.conf.all.arp_announce=2",
        "-I 172.16.9.9 10.9.1.2",
        {**HERE, "saddr": "172.16.9.9"},
        heard="IcmpInEchos",
    ),
    "an address of this host": Loss(
        "routing.martian-source",
        "ip -n a addr add 10.9.2.2/32 dev lo; ip netns exec a sysctl -qw net.ipv4.conf.all.arp_announce=2",
        "-I 10.9.2.2 10.9.1.2",
        {**HERE, "saddr": "10.9.2.2"},
        heard="IcmpInEchos",
    ),
    "IPv6 switched off": Loss(
        "ipv6.disabled",
        "ip netns exec b sysctl -qw net.ipv6.conf.vb.disable_ipv6=1",
        "-L -I va ff02::1",
        {**SIX, "saddr": "fe80::1", "daddr": "ff02::1"},
        heard="Icmp6InEchos",
    ),
    "localhost from outside": Loss(
        "routing.martian-destination",
        "ip netns exec a sysctl -qw net.ipv4.conf.va.route_localnet=1;"
        "ip -n a route del local 127.0.0.0/8 dev lo table local; ip -n a route add 127.5.5.5 via 10.9.1.2 dev va",
        "-I 10.9.1.1 127.5.5.5",
        {**HERE, "daddr": "127.5.5.5"},
        heard="IcmpInEchos",
    ),
    "unicast in a broadcast frame": Loss(
        "routing.unicast-in-multicast-frame",
        "ip -n a neigh replace 10.9.1.2 lladdr ff:ff:ff:ff:ff:ff dev va;"
        "ip netns exec b sysctl -qw net.ipv4.conf.all.drop_unicast_in_l2_multicast=1",
        "10.9.1.2",
        HERE,
        heard="IcmpInEchos",
    ),
    "unicast in a broadcast frame, IPv6": Loss(
        "routing.unicast-in-multicast-frame",
        "ip -n a neigh replace fd09:1::2 lladdr ff:ff:ff:ff:ff:ff dev va;"
        "ip netns exec b sysctl -qw net.ipv6.conf.vb.drop_unicast_in_l2_multicast=1",
        "fd09:1::2",
        {**SIX, "saddr": "fd09:1::1", "daddr": "fd09:1::2"},
        heard="Icmp6InEchos",
    ),
    "an interface that is down": Loss(
        "device.down", "ip -n b link set vc down", "10.9.2.1", THROUGH, iface="vc"
    ),
}


@pytest.fixture
def shell(make_drop: object) -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    del make_drop
    with namespace(ROAD) as enter:

        def run(line: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*enter, "sh", "-c", line],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=60,
            )

        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"feature {missing[0]}: not installed")
        if not arrives_at_last(run, "10.9.2.1"):
            pytest.skip("feature veth: no packet passes the three namespaces")
        yield run


@pytest.fixture
def dropped(make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]) -> Callable[..., Drop]:
    def build(iface: str = "vb", **packet: Any) -> Drop:
        drop = make_drop(make_packet(**packet))
        return replace(
            drop, iface=Interface(2, iface), netns=Netns(7, "b"), where=replace(drop.where, direction="in")
        )

    return build


def arrives(run: Callable[[str], subprocess.CompletedProcess[str]], ping: str, heard: str | None) -> bool:
    if heard is None:
        return run(f"{PING} {ping}").returncode == 0
    counter = f"ip netns exec b nstat -asz {heard} | awk '/{heard}/ {{print $2}}'"
    before = int(run(counter).stdout)
    run(f"{PING} {ping}")
    return int(run(counter).stdout) > before


def arrives_at_last(
    run: Callable[[str], subprocess.CompletedProcess[str]], ping: str, heard: str | None = None
) -> bool:
    """An interface that has just come up, or a busy machine, may lose the first."""
    return any(arrives(run, ping, heard) for _ in range(10))


def first_change(given: tuple[Fix, ...]) -> str:
    """The first command that does more than look."""
    looks = ("route get", "list chain", "-vnL", "tcpdump", "ip addr", "addr show", "monitor")
    found = [fix.command for fix in given if fix.command and not any(look in fix.command for look in looks)]
    return found[0]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_is_advised_ends_the_loss(
    loss: Loss, shell: Callable[[str], subprocess.CompletedProcess[str]], dropped: Callable[..., Drop]
) -> None:
    spoilt = shell(loss.spoil)
    assert spoilt.returncode == 0, spoilt.stderr
    assert not arrives(shell, loss.ping, loss.heard)
    cause = by_id(loss.cause_id)
    assert cause is not None
    drop = dropped(loss.iface, **loss.packet)
    done = shell(first_change(advise(of_catalogue(cause.fix, drop), drop, ToldHost())))
    assert (done.returncode, done.stderr) == (0, "")
    assert arrives_at_last(shell, loss.ping, loss.heard)


RULES = {
    "nft rule": ("nft", "add rule inet t c icmp type echo-request drop"),
    "nft reject": ("nft", "add rule inet t c icmp type echo-request reject"),
    "nft policy": ("nft", "add chain inet t c { policy drop; }"),
    "nft rule for all": ("nft", "add rule inet t c meta l4proto icmp counter drop"),
    "iptables rule": ("iptables-legacy", '-A INPUT -p icmp -m comment --comment "it\'s mine" -j DROP'),
    "iptables reject": ("iptables-legacy", "-A INPUT -p icmp -j REJECT"),
    "iptables policy": ("iptables-legacy", "-P INPUT DROP"),
}


def refusing(tool: str, rule: str, run: Callable[[str], subprocess.CompletedProcess[str]]) -> ListedRule:
    """Make the rule in b, and what whydrop knows of it."""
    if tool == "nft":
        run(
            "ip netns exec b nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }'"
        )
        made = run(f"ip netns exec b nft '{rule}'")
        listed = json.loads(run("ip netns exec b nft -j -a list chain inet t c").stdout)["nftables"]
        handles = [one["rule"]["handle"] for one in listed if "rule" in one]
        found: Rule = (
            NftRule(rule, "inet", "t", "c", handles[0]) if handles else ChainPolicy(rule, "inet", "t", "c")
        )
    else:
        made = run(f"ip netns exec b {tool} {rule}")
        chain = ("ip", "filter", "INPUT")
        found = ChainPolicy(rule, *chain) if rule.startswith("-P") else IptablesRule(rule, *chain, 1)
    assert made.returncode == 0, made.stderr
    return ListedRule(found, tool, "true")


@pytest.mark.parametrize(("tool", "rule"), RULES.values(), ids=RULES)
def test_a_rule_lets_the_flow_pass(
    tool: str,
    rule: str,
    shell: Callable[[str], subprocess.CompletedProcess[str]],
    dropped: Callable[..., Drop],
) -> None:
    listed = refusing(tool, rule, shell)
    assert not arrives(shell, "10.9.1.2", None)
    drop = dropped(**HERE)
    given = advise(fixes(drop, listed.rule, listed), drop, ToldHost())
    assert shell(given[0].command or "").stderr == ""
    assert arrives_at_last(shell, "10.9.1.2")
    if not isinstance(listed.rule, ChainPolicy):  # also after the rule above was put before it
        assert shell(given[-1].command or "").stderr == ""
        assert "echo-request" not in shell("ip netns exec b nft list ruleset").stdout
        assert "-j DROP" not in shell("ip netns exec b iptables-legacy-save").stdout


def test_a_larger_mtu_where_it_leaves_lets_it_pass(
    shell: Callable[[str], subprocess.CompletedProcess[str]], dropped: Callable[..., Drop]
) -> None:
    shell("ip -n b link set vc mtu 1000")
    large = "-M do -s 1300 10.9.2.1"
    assert not arrives(shell, large, None)
    place = Frame("ip_forward", 1, None, 0)
    drop = dropped(**{**THROUGH, "length": 1328})
    drop = replace(drop, reason="PKT_TOO_BIG", where=replace(drop.where, frame=place), stack=(place,))
    _, verdict = diagnose(drop, ToldHost(route_on=Route("vc")))
    assert shell(first_change(verdict.fix)).stderr == ""
    shell("ip -n a route flush cache")  # a has learned the smaller size
    assert arrives_at_last(shell, large)
