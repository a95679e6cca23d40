"""Protected packets that die on their way out, and sends that the kernel refuses before there is a packet."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from scenarios import roads, traffic
from scenarios.namespaces import Lab
from scenarios.outgoing import Losses, by_this_process, connected, listener, probes_follow, shown
from scenarios.outgoing import told as sent
from scenarios.tallies import told
from scenarios.tunnels import Way, cbc_sha256, gcm, is_there, key, way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

FAMILIES = (4, 6)
WAYS = [(family, mode) for family in FAMILIES for mode in ("transport", "tunnel")]
BIG = {4: 1472, 6: 1452}  # bytes of a datagram that fills the link's 1500
IP_XFRM_POLICY, OUT, BLOCK, UDP, PRIORITY = 17, 1, 1, 17, 5  # linux/in.h, linux/xfrm.h
SELECTOR = (
    "=16s24xHBBB3xiI"  # struct xfrm_selector: daddr, ..., family, prefix lengths, protocol, interface, user
)
HELD = 101  # packets that the kernel keeps for a policy without an SA (XFRM_MAX_QUEUE_LEN, net/xfrm/xfrm_policy.c)


@pytest.fixture(scope="module", autouse=True)
def probes(whydrop: Whydrop) -> None:
    probes_follow("esp4 esp6")


@pytest.fixture
def good(lab: Lab) -> Iterator[Way]:
    """A tunnel that works once a has its SA; whoever reads in b waits until the end."""
    wanted = way(lab, 4, "tunnel")
    with wanted.read():
        yield wanted


def blocked(lab: Lab, whydrop: Whydrop, selector: str) -> Losses:
    lab.a.configure(f"xfrm policy add {selector} dir out action block priority 7")
    return Losses(lab.a, whydrop)


def refused(found: list[Line], ends: tuple[str, str], port: int | None) -> None:
    """No packet: the flow that was asked for, with the process that asked."""
    by_this_process(found)
    for line in found:
        assert line["source"] == "xfrm_lookup", shown([line])
        packet = line["packet"]
        assert (packet["saddr"], packet["daddr"], packet["dport"]) == (*ends, port), shown([line])
        assert not packet["length"], shown([line])
        assert packet["header_error"] is None, shown([line])
        assert line["where"]["function"].startswith("xfrm_lookup"), shown([line])
        assert (line["where"]["layer"], line["where"]["direction"]) == ("ipsec", "out"), shown([line])


def names_policy(found: list[Line], *words: str) -> None:
    for line in found:
        assert (line["object"] or {}).get("kind") == "xfrm-policy", shown([line])
        missing = [word for word in words if word not in line["object"]["text"]]
        assert not missing, f"{missing} in {shown([line])}"


def names_state(found: list[Line], wanted: Way) -> None:
    for line in found:
        assert (line["object"] or {}).get("kind") == "xfrm-state", shown([line])
        assert line["object"]["spi"] == wanted.spi_text, shown([line])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_datagram_that_the_policy_blocks(lab: Lab, whydrop: Whydrop, family: int) -> None:
    plain = way(lab, family)
    losses = blocked(lab, whydrop, f"dst {plain.inner[1]} proto udp dport {plain.port}")
    assert sent(lab.a, plain.inner, plain.port, 3) == ["EPERM"] * 3
    found = losses.deaths(3)
    told(found, "ipsec.policy-block")
    refused(found, plain.inner, plain.port)
    names_policy(found, "dir out action block", f"dport {plain.port}")
    assert losses.rose() == {"XfrmOutPolBlock": 3}


@pytest.mark.parametrize("family", FAMILIES)
def test_connect_of_a_datagram_socket_loses_nothing(lab: Lab, whydrop: Whydrop, family: int) -> None:
    """It only asks for the route. What is sent before and after it, by the same task, is told."""
    plain = way(lab, family)
    losses = blocked(lab, whydrop, f"dst {plain.inner[1]} proto udp dport {plain.port}")
    assert sent(lab.a, plain.inner, plain.port, 2) == ["EPERM"] * 2
    with traffic.open_socket(lab.a, traffic.family_of(plain.inner[1]), socket.SOCK_DGRAM) as caller:
        assert caller.connect_ex((plain.inner[1], plain.port)) == errno.EPERM
        with pytest.raises(PermissionError):
            caller.sendto(b"not connected", (plain.inner[1], plain.port))
    assert sent(lab.a, plain.inner, plain.port, 2) == ["EPERM"] * 2
    told(losses.deaths(5), "ipsec.policy-block")
    assert losses.rose() == {"XfrmOutPolBlock": 6}


def test_the_policy_of_a_single_socket_blocks(lab: Lab, whydrop: Whydrop) -> None:
    """Its program has set it. It is named where the kernel's own search is seen."""
    plain = way(lab)
    losses = Losses(lab.a, whydrop)
    selector = struct.pack(SELECTOR, socket.inet_aton(plain.inner[1]), socket.AF_INET, 32, 0, UDP, 0, 0)
    lifetimes = struct.pack("=12Q", *([(1 << 64) - 1] * 4), *([0] * 8))
    blocking = selector + lifetimes + struct.pack("=II4B4x", PRIORITY, 0, OUT, BLOCK, 0, 0)
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.setsockopt(socket.IPPROTO_IP, IP_XFRM_POLICY, blocking)
        for _ in range(3):
            with pytest.raises(PermissionError):
                caller.sendto(b"blocked", (plain.inner[1], plain.port))
        found = losses.deaths(3)
    told(found, "ipsec.policy-block", "dir socket out", f"priority {PRIORITY}")
    assert not any("policy delete" in (fix["command"] or "") for line in found for fix in line["fix"]), found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_that_the_policy_blocks(lab: Lab, whydrop: Whydrop, family: int) -> None:
    plain = way(lab, family)
    losses = blocked(lab, whydrop, f"dst {plain.inner[1]} proto tcp dport {plain.port}")
    assert connected(lab.a, plain.inner[1], plain.port) == "EPERM"
    found = losses.deaths(1)
    told(found, "ipsec.policy-block")
    refused(found, plain.inner, plain.port)
    names_policy(found, "dir out action block")
    assert found[0]["packet"]["proto"] == "tcp", found
    assert losses.rose() == {"XfrmOutPolBlock": 1}


def test_pings_that_the_policy_blocks(lab: Lab, whydrop: Whydrop) -> None:
    losses = blocked(lab, whydrop, f"dst {lab.b.v4} proto icmp")
    traffic.pings(lab.a, lab.b.v4, 3)
    found = losses.deaths(3)
    told(found, "ipsec.policy-block")
    refused(found, (lab.a.v4, lab.b.v4), None)
    names_policy(found, "dir out action block", "proto icmp")
    assert losses.rose() == {"XfrmOutPolBlock": 3}


def test_default_policy_block(lab: Lab, whydrop: Whydrop) -> None:
    if lab.a.run("ip xfrm policy setdefault out block", check=False).returncode != 0:
        return  # this kernel has no default policies
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (lab.a.v4, lab.b.v4), 5399, 2) == ["EPERM"] * 2
    found = losses.deaths(2, 5399)  # the kernel's own multicast is blocked too
    told(found, "ipsec.policy-block", "default")
    refused(found, (lab.a.v4, lab.b.v4), 5399)


@pytest.mark.parametrize("family", FAMILIES)
def test_forwarded_and_blocked(lab: Lab, whydrop: Whydrop, family: int) -> None:
    roads.turn_around(lab)
    beyond = roads.BEYOND4 if family == 4 else roads.BEYOND6
    lab.b.configure(f"xfrm policy add dst {beyond} proto udp dport 5398 dir out action block")
    losses = Losses(lab.b, whydrop)
    traffic.datagrams(lab.a, beyond, [5398] * 3)
    found = losses.deaths(3, 5398)
    told(found, "ipsec.policy-block")
    names_policy(found, "dir out action block")
    assert {line["where"]["function"] for line in found} <= {"ip_forward", "ip6_forward"}, shown(found)
    assert losses.rose() == {"XfrmOutPolBlock": 3}


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_no_sa_for_the_policy(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    """The sender sees nothing of it."""
    wanted = way(lab, family, mode)
    lab.a.configure(wanted.policy("out"))
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, wanted.inner, wanted.port, 3) == ["sent"] * 3
    found = losses.deaths(3)
    told(found, "ipsec.out-no-state")
    names_policy(found, "dir out", f"reqid {wanted.reqid}", f"mode {mode}")
    by_this_process(found)
    assert {line["packet"]["dport"] for line in found} == {wanted.port}
    assert losses.rose() == {"XfrmOutNoStates": 3}


def test_an_sa_with_another_reqid(lab: Lab, whydrop: Whydrop) -> None:
    wanted = way(lab, 4, "tunnel")
    other = wanted.but(reqid=wanted.reqid + 1)
    lab.a.configure(wanted.policy("out"), other.state(gcm()))
    losses = Losses(lab.a, whydrop)
    wanted.send(3)
    found = losses.deaths(3)
    told(found, "ipsec.out-no-state", "reqid", str(wanted.reqid), str(other.reqid), other.spi_text)
    assert losses.rose() == {"XfrmOutNoStates": 3}


def test_a_request_that_nobody_answers(lab: Lab, whydrop: Whydrop) -> None:
    """The kernel has a placeholder for the SA, with SPI 0."""
    wanted = way(lab, 4, "tunnel")
    lab.a.configure(wanted.policy("out"))
    losses = Losses(lab.a, whydrop)
    with listener(lab.a):
        wanted.send(3)
        found = losses.deaths(3)
    told(found, "ipsec.out-no-state", "SPI 0", "answered")
    assert losses.rose() == {"XfrmOutNoStates": 3}


def test_a_connection_without_an_sa(lab: Lab, whydrop: Whydrop) -> None:
    wanted = way(lab, 4, "tunnel")
    source, target = wanted.inner
    lab.a.configure(wanted.policy("out", selector=f"src {source} dst {target} proto tcp dport {wanted.port}"))
    losses = Losses(lab.a, whydrop)
    with traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        caller.connect_ex((target, wanted.port))
        eventually(losses.found, "the first segment dies")
    for line in losses.found():
        told([line], "ipsec.out-no-state")
        assert (line["packet"]["proto"], line["packet"]["dport"]) == ("tcp", wanted.port), shown([line])
    names_policy(losses.found(), "dir out", "proto tcp")


def test_packets_that_wait_for_an_sa(lab: Lab, whydrop: Whydrop) -> None:
    """The kernel keeps some of them; the others die at once, and those that it kept with the policy.

    Its timer for them may find the policy gone already, and sends them in clear (xfrm_policy_queue_process).
    """
    lab.a.run("sysctl -qw net.core.xfrm_larval_drop=0")
    for _ in range(3):
        wanted = way(lab, 4, "tunnel")
        lab.a.configure(wanted.policy("out"))
        losses, in_clear = Losses(lab.a, whydrop), Losses(lab.b, whydrop)
        assert sent(lab.a, wanted.inner, wanted.port, HELD + 4) == ["sent"] * HELD + ["EAGAIN"] * 4
        found = losses.deaths(4)
        told(found, "ipsec.out-no-state")
        names_policy(found, "dir out", f"reqid {wanted.reqid}")
        source, target = wanted.inner
        lab.a.configure(f"xfrm policy delete src {source} dst {target} proto udp dport {wanted.port} dir out")
        eventually(lambda: len(losses.found()) > 4 or in_clear.found(wanted.port), "what was kept goes")  # noqa: B023
        if not in_clear.found(wanted.port):
            break
    found = losses.deaths(HELD + 4)
    told(found, "ipsec.out-no-state")
    assert losses.rose() == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_forwarded_without_an_sa(lab: Lab, whydrop: Whydrop, family: int) -> None:
    roads.turn_around(lab)
    wanted = way(lab, family)
    beyond = roads.BEYOND4 if family == 4 else roads.BEYOND6
    back = wanted.but(mode="tunnel", outer=wanted.outer[::-1])
    lab.b.configure(back.policy("out", selector=f"dst {beyond} proto udp dport {back.port}"))
    losses = Losses(lab.b, whydrop)
    traffic.datagrams(lab.a, beyond, [back.port] * 3)
    found = losses.deaths(3, back.port)
    told(found, "ipsec.out-no-state")
    names_policy(found, "dir out", f"reqid {back.reqid}")
    assert losses.rose() == {"XfrmOutNoStates": 3}


def arrives(good: Way, count: int, size: int, losses: Losses) -> None:
    """So many get through, and nothing is said of them."""
    assert sent(good.lab.a, good.inner, good.port, count, size=size) == ["sent"] * count
    assert losses.found() == []


@pytest.mark.parametrize(
    ("limit", "size", "through"), [("packet-hard 3", 30, 3), ("byte-hard 2500", 1000, 3)]
)
def test_the_sa_ran_out(lab: Lab, whydrop: Whydrop, good: Way, limit: str, size: int, through: int) -> None:
    algorithms = gcm()
    good.lead_in(algorithms, f"limit {limit}")
    lab.b.configure(good.state(algorithms), good.policy("in"))
    losses = Losses(lab.a, whydrop)
    arrives(good, through, size, losses)
    assert sent(lab.a, good.inner, good.port, 1, size=size) == ["EINVAL"]
    found = losses.deaths(1)
    told(found, "ipsec.out-expired", limit.split("-")[0], limit.split()[1])
    names_state(found, good)
    by_this_process(found)
    assert losses.rose() == {"XfrmOutStateExpired": 1}
    eventually(lambda: not is_there(lab.a, good), "the SA goes")
    assert sent(lab.a, good.inner, good.port, 2) == ["sent"] * 2
    found = losses.deaths(3)[1:]
    told(found, "ipsec.out-no-state", good.spi_text, "limit")
    assert losses.rose() == {"XfrmOutStateExpired": 1, "XfrmOutNoStates": 2}


def test_the_time_of_the_sa_ran_out(lab: Lab, whydrop: Whydrop, good: Way) -> None:
    good.lead_in(gcm(), "limit time-hard 2")
    losses = Losses(lab.a, whydrop)
    eventually(lambda: not is_there(lab.a, good), "the SA goes")
    good.send(2)
    told(losses.deaths(2), "ipsec.out-no-state", good.spi_text)
    assert losses.rose() == {"XfrmOutNoStates": 2}


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_no_sequence_number_is_left(lab: Lab, whydrop: Whydrop, mode: str) -> None:
    wanted = way(lab, 4, mode)
    algorithms = cbc_sha256(key(16))
    with wanted.read():
        wanted.lead_in(algorithms, "replay-oseq 0xfffffffd")
        lab.b.configure(wanted.state(algorithms), wanted.policy("in"))
        losses = Losses(lab.a, whydrop)
        arrives(wanted, 2, 30, losses)
        assert sent(lab.a, wanted.inner, wanted.port, 3) == ["EOVERFLOW"] * 3
        found = losses.deaths(3)
    told(found, "ipsec.out-seq-overflow")
    names_state(found, wanted)
    by_this_process(found)
    assert losses.rose() == {"XfrmOutStateSeqError": 3}


@pytest.mark.parametrize(("family", "mode"), WAYS)
def test_too_big_once_protected(lab: Lab, whydrop: Whydrop, family: int, mode: str) -> None:
    wanted = way(lab, family, mode)
    wanted.lead_in(gcm())
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, wanted.inner, wanted.port, 3, size=BIG[family], probe=True) == ["EMSGSIZE"] * 3
    found = losses.deaths(3)
    told(found, "ipsec.out-mtu", "1500" if mode == "transport" else "mtu")
    names_state(found, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_forwarded_and_too_big_once_protected(lab: Lab, whydrop: Whydrop, family: int) -> None:
    roads.turn_around(lab)
    wanted = way(lab, family)
    beyond = roads.BEYOND4 if family == 4 else roads.BEYOND6
    back = wanted.but(mode="tunnel", outer=wanted.outer[::-1])
    policy = back.policy("out", selector=f"dst {beyond} proto udp dport {back.port}")
    lab.b.configure(back.state(gcm()), policy)
    losses = Losses(lab.b, whydrop)
    sent(lab.a, (wanted.inner[0], beyond), back.port, 3, size=BIG[family], probe=True)
    found = losses.deaths(3, back.port)
    told(found, "ipsec.out-mtu")
    names_state(found, back)
