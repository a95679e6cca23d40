"""The flow filter through IPsec: before the protection, inside of it and after it, by inner and by outer addresses."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scenarios import roads
from scenarios.firewalls import nft
from scenarios.namespaces import Lab
from scenarios.outgoing import Losses, probes_follow, shown
from scenarios.outgoing import told as sent
from scenarios.tunnels import Way, cbc_sha256, gcm, key, way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

pytestmark = pytest.mark.twice
PORT = 5000
INNER, OUTER = ("172.29.1.0/24", "172.29.2.0/24")
FAMILIES = (4, 6)
WAYS = [(family, mode) for family in FAMILIES for mode in ("transport", "tunnel")]


@dataclass(frozen=True)
class Watchers:
    """`port` asks for --dport PORT; `hosts` for source addresses in INNER or OUTER."""

    port: Whydrop
    hosts: Whydrop


@pytest.fixture(scope="module")
def watchers(filtered: Whydrop) -> Iterator[Watchers]:
    with Whydrop("--saddr", INNER, "--saddr", OUTER) as by_hosts:
        probes_follow("esp4 esp6")
        yield Watchers(filtered, by_hosts)


@pytest.fixture
def whydrop(watchers: Watchers) -> Whydrop:
    return watchers.port


def asked_for(wanted: Way) -> Way:
    return wanted.but(port=PORT)


def decoy(lab: Lab, family: int, mode: str) -> Way:
    """Another tunnel between the same hosts, for another port, whose packets die in the same way."""
    other = way(lab, family, mode)
    assert other.port != PORT
    return other


def matched(found: list[Line], match: str, *words: str) -> None:
    for line in found:
        assert line["match"] == match, shown([line])
        assert all(word in (line["match_why"] or "") for word in words), shown([line])


def datagrams_of(found: list[Line], wanted: Way) -> None:
    """Not protected, or not any more."""
    for line in found:
        packet = line["packet"]
        assert (packet["proto"], packet["dport"]) == ("udp", PORT), shown([line])
        assert (packet["saddr"], packet["daddr"]) == wanted.inner, shown([line])


def protected(found: list[Line], wanted: Way) -> None:
    assert {line["packet"]["spi"] for line in found} == {wanted.spi_text}, shown(found)


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_it_dies_encrypted(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    """By the policy of b; a decoy dies beside it."""
    wanted, other = asked_for(way(lab, family, mode)), decoy(lab, family, mode)
    for each in (other, wanted):
        cipher = key(16)
        each.lead_in(cbc_sha256(cipher))
        lab.b.configure(each.state(cbc_sha256(cipher)), each.policy("in"))
    losses = Losses(lab.b, whydrop)
    other.send(4)
    wanted.send(3)
    other.send(4)
    eventually(lambda: losses.rose() == {"XfrmInStateProtoError": 11}, "all of them die")
    losses.deaths(3)
    wanted.send(1)
    found = losses.deaths(4)
    matched(found, "ipsec", f"dport {PORT}", "dir in", f"reqid {wanted.reqid}")
    protected(found, wanted)


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_it_dies_once_decrypted(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    """Three times at a rule, twice since nobody reads."""
    wanted, other = asked_for(way(lab, family, mode)), decoy(lab, family, mode)
    for each in (other, wanted):
        each.open(gcm())
    losses = Losses(lab.b, whydrop)
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0; udp dport {PORT} drop }} }}")
    other.send(3)
    wanted.send(3)
    found = losses.deaths(3)
    assert {line["cause"]["id"] for line in found} == {"netfilter.nft-rule"}, shown(found)
    nft(lab.b, "delete table inet t")
    wanted.send(2)
    found = losses.deaths(5)
    matched(found, "direct")
    datagrams_of(found, wanted)


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_it_dies_before_it_is_protected(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    wanted, other = asked_for(way(lab, family, mode)), decoy(lab, family, mode)
    for each in (other, wanted):
        each.open(gcm())
    ports = f"{{ {PORT}, {other.port} }}"
    nft(lab.a, f"table inet t {{ chain c {{ type filter hook output priority 0; udp dport {ports} drop }} }}")
    losses = Losses(lab.a, whydrop)
    for each in (other, wanted):
        assert sent(lab.a, each.inner, each.port, 3) == ["EPERM"] * 3
    found = losses.deaths(3)
    assert {line["cause"]["id"] for line in found} == {"netfilter.nft-rule"}, shown(found)
    matched(found, "direct")
    datagrams_of(found, wanted)


@pytest.mark.parametrize(("family", "mode"), WAYS)
@pytest.mark.parametrize("hook", ["output", "postrouting"])
def test_it_dies_once_protected(lab: Lab, whydrop: Whydrop, family: int, mode: str, hook: str) -> None:
    """At a rule of the sender for ESP."""
    wanted, other = asked_for(way(lab, family, mode)), decoy(lab, family, mode)
    for each in (other, wanted):
        each.open(gcm())
    nft(lab.a, f"table inet t {{ chain c {{ type filter hook {hook} priority 0; meta l4proto esp drop }} }}")
    losses = Losses(lab.a, whydrop)
    for each in (other, wanted):
        sent(lab.a, each.inner, each.port, 3)
    found = losses.deaths(3)
    assert {line["cause"]["id"] for line in found} == {"netfilter.nft-rule"}, shown(found)
    matched(found, "ipsec", f"dport {PORT}", "dir out")
    protected(found, wanted)


def test_it_dies_on_a_router_between(lab: Lab, whydrop: Whydrop) -> None:
    """A router that knows no SA and no policy can't tell which ESP packets carry the flow: none is shown."""
    roads.turn_around(lab)
    wanted = asked_for(way(lab, 4, "tunnel"))
    wanted = wanted.but(outer=(lab.a.v4, roads.BEYOND4))
    wanted.lead_in(gcm())
    nft(
        lab.b,
        "table inet t { chain c { type filter hook forward priority 0; meta l4proto esp counter drop } }",
    )
    losses = Losses(lab.b, whydrop)
    wanted.send(3)
    eventually(lambda: "packets 3 " in lab.b.run("nft list ruleset").stdout, "they die there")
    sent(lab.a, (lab.a.v4, lab.b.v4), PORT, 1)
    (last,) = losses.deaths(1)
    matched([last], "direct")


def test_inner_and_outer_addresses(lab: Lab, watchers: Watchers) -> None:
    """One tunnel has what is asked for inside, one outside, one nowhere; each has another key at its end."""
    inside = tunnel(lab, inner=("172.29.1.1", "172.29.3.1"), outer=(lab.a.v4, lab.b.v4))
    outside = tunnel(lab, inner=("172.29.4.1", "172.29.4.2"), outer=("172.29.2.1", "172.29.2.2"))
    neither = tunnel(lab, inner=("172.29.5.1", "172.29.5.2"), outer=(lab.a.v4, lab.b.v4))
    losses = Losses(lab.b, watchers.hosts)
    for each in (neither, inside, outside, neither):
        each.send(3)
    eventually(lambda: losses.rose() == {"XfrmInStateProtoError": 12}, "all of them die")
    found = losses.deaths(6)
    for each in (inside, outside):
        assert len([line for line in found if line["packet"]["spi"] == each.spi_text]) == 3, shown(found)
    matched([line for line in found if line["packet"]["spi"] == inside.spi_text], "ipsec", "172.29.1.1")
    matched([line for line in found if line["packet"]["spi"] == outside.spi_text], "direct")


def tunnel(lab: Lab, inner: tuple[str, str], outer: tuple[str, str]) -> Way:
    wanted = way(lab, 4, "transport").but(mode="tunnel", inner=inner, outer=outer)
    for end, ours, theirs in ((lab.a, 0, 1), (lab.b, 1, 0)):
        addresses = [f"address replace {inner[ours]}/32 dev lo"]
        if outer[ours] != end.v4:
            addresses.append(f"address replace {outer[ours]}/24 dev {end.iface}")
        end.configure(*addresses, f"route replace {inner[theirs]}/32 via {outer[theirs]} src {inner[ours]}")
    wanted.lead_in(gcm())
    lab.b.configure(wanted.state(gcm()), wanted.policy("in"))
    return wanted


def test_a_send_that_the_policy_refuses(lab: Lab, whydrop: Whydrop) -> None:
    """There is no packet, but its flow is known."""
    losses = Losses(lab.a, whydrop)
    for port in (PORT + 1, PORT):
        lab.a.configure(f"xfrm policy add dst {lab.b.v4} proto udp dport {port} dir out action block")
        assert sent(lab.a, (lab.a.v4, lab.b.v4), port, 2) == ["EPERM"] * 2
    found = losses.deaths(2)
    matched(found, "direct")
    assert {line["packet"]["dport"] for line in found} == {PORT}


def test_a_packet_without_an_sa(lab: Lab, whydrop: Whydrop) -> None:
    wanted, other = asked_for(way(lab, 4, "tunnel")), decoy(lab, 4, "tunnel")
    for each in (other, wanted):
        lab.a.configure(each.policy("out"))
    losses = Losses(lab.a, whydrop)
    for each in (other, wanted):
        each.send(3)
    found = losses.deaths(3)
    matched(found, "direct")
    datagrams_of(found, wanted)


def test_nobody_has_the_outer_address(lab: Lab, whydrop: Whydrop) -> None:
    """The SA's peer does not answer ARP: what is lost in the sender is ESP, which shows no port."""
    silent = f"{lab.b.v4.rpartition('.')[0]}.77"
    wanted = asked_for(way(lab, 4, "tunnel")).but(outer=(lab.a.v4, silent))
    wanted.lead_in(gcm())
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, wanted.inner, PORT, 3) == ["sent"] * 3
    found = losses.deaths(3)
    matched(found, "ipsec", f"dport {PORT}", "dir out")
    protected(found, wanted)
    assert {line["cause"]["id"].partition(".")[0] for line in found} == {"neighbour"}, shown(found)
