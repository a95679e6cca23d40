"""What the policies of IPsec refuse: the packet came, decrypted or in clear text, and may not go on."""

import socket
from collections.abc import Iterator

import pytest
from scenarios import traffic, tunnels
from scenarios.namespaces import Lab, joined_pair
from scenarios.roads import BEYOND4, BEYOND6, turn_around
from scenarios.tallies import Tally, said, told
from scenarios.tunnels import Way, way
from scenarios.whydrop_process import Line, Whydrop

RAW_PROTOCOL = 99  # nobody's


@pytest.fixture(scope="module")
def lab(whydrop: Whydrop) -> Iterator[Lab]:
    """One pair for the whole file, in which b also forwards."""
    with joined_pair() as pair:
        turn_around(pair)
        yield pair


@pytest.fixture
def tally(lab: Lab, whydrop: Whydrop) -> Tally:
    return Tally(lab, whydrop)


def through(lab: Lab, family: int) -> Way:
    """A tunnel from a to b for what b is to forward."""
    one = way(lab, family)
    inner = (lab.a.v4, BEYOND4) if family == 4 else (lab.a.v6, BEYOND6)
    return one.but(mode="tunnel", inner=inner)


def send_twice(one: Way) -> None:
    """Three datagrams that nobody waits for, then three for a reader."""
    one.send(3)
    with one.read():
        one.send(3)


def is_policy(found: list[Line], one: Way, direction: str) -> None:
    """Each blames the policy for this way's port."""
    for line in found:
        thing = line["object"]
        assert thing is not None, line
        assert thing["kind"] == "xfrm-policy", line
        assert f"dport {one.port}" in thing["text"], line
        assert f"dir {direction}" in thing["text"], line


@pytest.mark.parametrize(
    ("family", "mode"), [(4, "transport"), (6, "transport"), (4, "tunnel"), (6, "tunnel")]
)
def test_outside_of_the_selector(lab: Lab, tally: Tally, family: int, mode: str) -> None:
    one = way(lab, family, mode)
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    src, dst = one.inner
    lab.b.configure(
        one.state(algorithms, f"sel src {src} dst {dst} proto udp dport {one.port + 2000}"),
        one.policy("in"),
    )
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.selector-mismatch", one.spi_text, f"dport {one.port + 2000}", src, dst, str(one.port))
    for line in found:
        assert (line["object"]["kind"], line["object"]["spi"]) == ("xfrm-state", one.spi_text)
        assert (line["packet"]["saddr"], line["packet"]["daddr"]) == one.inner
        assert line["packet"]["dport"] == one.port
    assert tally.rose() == {"XfrmInStateMismatch": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_clear_text(lab: Lab, tally: Tally, family: int) -> None:
    """The policy wants ESP, the sender has none. Beside it is one for another port that would have let it pass."""
    one, other = way(lab, family), way(lab, family)
    lab.b.configure(one.policy("in", "priority 71"), other.policy("in", "priority 7"))
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.template-mismatch", f"reqid {one.reqid}", "proto esp", "clear")
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInTmplMismatch": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_clear_text_to_a_connection(lab: Lab, tally: Tally, family: int) -> None:
    """TCP, with a listener and without."""
    one = way(lab, family)
    src, dst = one.inner
    lab.b.configure(one.policy("in", selector=f"src {src} dst {dst} proto tcp dport {one.port}"))
    traffic.segments(lab.a, one.inner, (40404, one.port), count=2)
    with traffic.open_socket(lab.b, traffic.family_of(dst), socket.SOCK_STREAM) as listener:
        listener.bind((dst, one.port))
        listener.listen()
        traffic.segments(lab.a, one.inner, (40405, one.port), count=2)
    found = tally.deaths(4)
    told(found, "ipsec.template-mismatch", f"reqid {one.reqid}", "clear")
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInTmplMismatch": 4}


def test_clear_text_without_ports(lab: Lab, tally: Tally) -> None:
    """A ping, and a raw socket's protocol."""
    ping, bare = way(lab), way(lab)
    src, dst = ping.inner
    lab.b.configure(
        ping.policy("in", selector=f"src {src} dst {dst} proto icmp type 8"),
        bare.policy("in", selector=f"src {src} dst {dst} proto {RAW_PROTOCOL}"),
    )
    traffic.pings(lab.a, dst, 2)
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_RAW, RAW_PROTOCOL):
        tunnels.raw(lab.a, dst, RAW_PROTOCOL, b"not protected", 2)
    found = tally.deaths(4)
    lab.b.run("ip xfrm policy flush")
    told(found[:2], "ipsec.template-mismatch", f"reqid {ping.reqid}", "clear")
    told(found[2:], "ipsec.template-mismatch", f"reqid {bare.reqid}", "clear")
    assert tally.rose() == {"XfrmInTmplMismatch": 4}


@pytest.mark.parametrize("family", [4, 6])
def test_another_reqid(lab: Lab, tally: Tally, family: int) -> None:
    one = way(lab, family)
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    other = one.but(reqid=one.reqid + 1)
    lab.b.configure(other.state(algorithms), one.policy("in"))
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.template-mismatch", f"reqid {one.reqid}", f"reqid {other.reqid}", one.spi_text)
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInTmplMismatch": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_another_mode(lab: Lab, tally: Tally, family: int) -> None:
    """The policy asks for a tunnel, what came was in transport mode."""
    one = way(lab, family)
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms), one.but(mode="tunnel").policy("in"))
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.template-mismatch", "mode tunnel", "mode transport", one.spi_text)
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInTmplMismatch": 6}


def test_a_tunnel_that_the_policy_does_not_want(lab: Lab, tally: Tally) -> None:
    """The policy that fits allows the packet, without any template, and so without any tunnel."""
    one = way(lab, 4, "tunnel")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    src, dst = one.inner
    allow = f"xfrm policy add src {src} dst {dst} proto udp dport {one.port} dir in priority 9"
    lab.b.configure(one.state(algorithms), allow)
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.template-mismatch", one.spi_text)
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInTmplMismatch": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_no_policy(lab: Lab, tally: Tally, family: int) -> None:
    """It came through a tunnel. There are policies, for other ports and another direction."""
    one = way(lab, family, "tunnel")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms), one.but(port=one.port + 1).policy("in"), one.policy("fwd"))
    send_twice(one)
    found = tally.deaths(6)
    told(found, "ipsec.no-policy", one.spi_text, "dir in")
    assert {(line["packet"]["saddr"], line["packet"]["daddr"]) for line in found} == {one.inner}
    assert tally.rose() == {"XfrmInNoPols": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_no_policy_to_forward(lab: Lab, tally: Tally, family: int) -> None:
    """The policy for the direction fwd is forgotten, the one for in is there."""
    one = through(lab, family)
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms), one.policy("in"))
    one.send(3)
    found = tally.deaths(3)
    told(found, "ipsec.no-policy", one.spi_text, "fwd")
    assert {(line["packet"]["saddr"], line["packet"]["daddr"]) for line in found} == {one.inner}
    assert tally.rose() == {"XfrmInNoPols": 3}


@pytest.mark.parametrize("family", [4, 6])
def test_block(lab: Lab, tally: Tally, family: int) -> None:
    """Of two policies the one with the smaller number says block."""
    one = way(lab, family)
    src, dst = one.inner
    selector = f"src {src} dst {dst} proto udp dport {one.port}"
    lab.b.configure(
        f"xfrm policy add {selector} dir in action block priority 313",
        f"xfrm policy add src {src} dst {dst} proto udp dir in action allow priority 717",
    )
    send_twice(one)
    found = tally.deaths(6)
    lab.b.configure(f"xfrm policy delete src {src} dst {dst} proto udp dir in")
    told(found, "ipsec.policy-block", "action block", "priority 313")
    is_policy(found, one, "in")
    assert tally.rose() == {"XfrmInPolBlock": 6}


@pytest.mark.parametrize("family", [4, 6])
def test_block_what_is_forwarded(lab: Lab, tally: Tally, family: int) -> None:
    """And clear text to be forwarded, where a tunnel is demanded."""
    blocked, clear = through(lab, family), through(lab, family)
    src, dst = blocked.inner
    selector = f"src {src} dst {dst} proto udp dport {blocked.port}"
    lab.b.configure(f"xfrm policy add {selector} dir fwd action block priority 414", clear.policy("fwd"))
    blocked.send(3)
    found = tally.deaths(3)
    told(found, "ipsec.policy-block", "action block", "priority 414")
    is_policy(found, blocked, "fwd")
    assert tally.rose() == {"XfrmInPolBlock": 3}
    clear.send(3)
    found = tally.deaths(6)[3:]
    told(found, "ipsec.template-mismatch", f"reqid {clear.reqid}", "clear")
    is_policy(found, clear, "fwd")
    assert tally.rose() == {"XfrmInPolBlock": 3, "XfrmInTmplMismatch": 3}


@pytest.mark.parametrize("family", [4, 6])
def test_policy_for_a_mark(lab: Lab, tally: Tally, family: int) -> None:
    """The one policy that would admit it is for packets with a mark."""
    one = way(lab, family, "tunnel")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms), one.policy("in", "mark 0x15 mask 0x3f"))
    send_twice(one)
    found = tally.deaths(6)
    for line in found:
        assert line["cause"]["id"] in ("ipsec.mark-mismatch", "ipsec.no-policy"), line
        assert "0x15" in said(line), line
    assert tally.rose() == {"XfrmInNoPols": 6}


def test_default_block(whydrop: Whydrop) -> None:
    """Without any policy, and beside one for something else. Kernels before 5.15 have no such default."""
    with joined_pair() as pair:
        if pair.b.run("ip xfrm policy setdefault in block", check=False).returncode != 0:
            return
        tally, one, other = Tally(pair, whydrop), way(pair), way(pair)
        one.send(2)
        pair.b.configure(other.policy("in"))
        one.send(2)
        pair.b.configure("xfrm policy setdefault in accept")
        found = tally.deaths(4)
    for line in found:
        assert line["cause"]["id"] in ("ipsec.no-policy", "ipsec.policy-block"), line
        assert "default" in said(line), line
        assert "block" in said(line), line
    assert {line["packet"]["dport"] for line in found} == {one.port}


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_admitted_is_no_finding(lab: Lab, tally: Tally, family: int) -> None:
    """Each sort of SA with the policy that fits it, and clear text that no policy is for."""
    ways = [way(lab, family, mode) for mode in ("transport", "tunnel", "beet")]
    for one in ways:
        one.open(tunnels.gcm())
    for one in (*ways, way(lab, family)):
        with one.read() as reader:
            one.send(25)
            reader.take(25)
    assert tally.deaths(0) == []
    assert tally.rose() == {}
    for one in ways:
        assert tunnels.use(lab.b, one) == tunnels.Use(25, 0, 0, 0)
