"""An object as its own tool has it, told from its like by table, chain, handle or number."""

from collections.abc import Callable

import pytest

from dropwatch.model.culprits import (
    ChainPolicy,
    Culprit,
    EbtablesRule,
    IptablesRule,
    NftRule,
    Queue,
    Relation,
    Socket,
    Sysctl,
    XfrmPolicy,
    XfrmState,
)
from dropwatch.model.drop import Evidence, Finding, Process
from dropwatch.model.forwarding import Route, TcFilter
from dropwatch.render.finding import objects


def state(relation: Relation | None = None) -> XfrmState:
    return XfrmState(
        "src a dst b", "0x00000001", "a", "b", "esp", "tunnel", 1, 0, 0, 0, None, relation=relation
    )


@pytest.mark.parametrize(
    ("culprit", "words"),
    [
        (NftRule("udp dport 5 drop", "inet", "t", "c", 2, 1), "nft inet t c: udp dport 5 drop # handle 2"),
        (
            NftRule("-A INPUT -j DROP", "ip6", "filter", "INPUT", 9, 4),
            "ip6tables-nft -t filter -A INPUT -j DROP # rule 4, handle 9",
        ),
        (
            IptablesRule("-A INPUT -j DROP", "ip", "raw", "INPUT", 3),
            "iptables -t raw -A INPUT -j DROP # rule 3",
        ),
        (
            IptablesRule("-j DROP -s 10.0.0.1", "arp", "filter", "OUTPUT", 1),
            "arptables -t filter -A OUTPUT -j DROP -s 10.0.0.1 # rule 1",
        ),
        (IptablesRule("a rule of table ip raw", "ip", "raw"), "a rule of table ip raw"),
        (
            EbtablesRule("-A FORWARD -j DROP", "bridge", "filter", "FORWARD", 2),
            "ebtables -t filter -A FORWARD -j DROP # rule 2",
        ),
        (ChainPolicy("policy drop;", "inet", "t", "last", "drop"), "nft inet t last: policy drop;"),
        (
            ChainPolicy("-P INPUT DROP", "ip6", "filter", "INPUT", target="DROP"),
            "ip6tables -t filter -P INPUT DROP",
        ),
        (Queue("queue 505", 505), "queue 505"),
        (Sysctl("net.ipv4.ip_forward = 0", "net.ipv4.ip_forward", 0), "sysctl net.ipv4.ip_forward = 0"),
        (XfrmPolicy("default policy of direction in: block", "in", "block", default=True),
         "IPsec default policy of direction in: block"),
        (XfrmPolicy("src a dst b dir in", "in", "block"), "IPsec policy src a dst b dir in"),
        (Route("prohibit 10.77.0.9/32 table main", "prohibit"), "route prohibit 10.77.0.9/32 table main"),
        (Route("ip rule 77: from all prohibit", "prohibit", rule=77), "ip rule 77: from all prohibit"),
        (TcFilter("filter dev va ingress", "va", "ingress", "u32", 3, "ip", "800::800", "drop"),
         "tc filter dev va ingress"),
        (state(), "SA src a dst b"),
    ],
)  # fmt: skip
def test_as_its_tool_has_it(culprit: Culprit, words: str) -> None:
    assert objects.words(culprit) == words


@pytest.mark.parametrize(
    ("relation", "label"), [(None, "by"), ("nearest", "near"), ("deleted", "gone"), ("expired", "gone")]
)
def test_an_sa_that_did_not_do_it_is_not_said_to(relation: Relation | None, label: str) -> None:
    assert objects.label(state(relation)) == label


def test_a_policy_whose_sa_was_deleted_did_it() -> None:
    assert objects.label(XfrmPolicy("x", "out", "allow", relation="deleted")) == "by"


def test_whose_it_is(make_finding: Callable[..., Finding]) -> None:
    """The owner of a finding holds the packet's socket, and no rule."""
    rule = NftRule("drop", "ip", "filter", "DOCKER", 4)
    said = (Evidence("name of the chain", "DOCKER: Docker makes it", "owner"),)
    finding = make_finding(culprit=rule, owner=Process(7, "nginx"), evidence=said)
    assert objects.with_owner(finding) == "nft ip filter DOCKER: drop # handle 4 (Docker makes it)"
    held = Socket("udp 10.9.0.2:53", "udp", "10.9.0.2", 53, None, None, None, 7)
    finding = make_finding(culprit=held, owner=Process(7, "nginx"))
    assert objects.with_owner(finding) == "socket udp 10.9.0.2:53 of nginx (pid 7)"
