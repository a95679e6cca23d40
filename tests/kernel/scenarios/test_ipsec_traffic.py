"""Other ways through IPsec, and crowds: asynchronous crypto, GRO, thousands of good packets around a few bad ones."""

import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from scenarios import taps, traffic, tunnels
from scenarios.namespaces import Lab, joined_pair
from scenarios.tallies import Tally, by_cause, told
from scenarios.tunnels import way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

CHACHA = "rfc7539esp(chacha20,poly1305)"  # nobody else's here: once it is asynchronous it stays so
MODES = [(family, mode) for family in (4, 6) for mode in ("transport", "tunnel", "beet")]


@pytest.fixture(scope="module")
def lab(whydrop: Whydrop) -> Iterator[Lab]:
    with joined_pair() as pair:
        yield pair


@pytest.fixture
def tally(lab: Lab, whydrop: Whydrop) -> Tally:
    return Tally(lab, whydrop)


@pytest.fixture(scope="module")
def asynchronous() -> None:
    """Crypto whose packets wait for a worker: the kernel makes what a program asks for by name (AF_ALG), and prefers
    it from then on, because a wrapper has a higher priority than what it wraps.
    """
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as asking:
        asking.bind(("aead", CHACHA))
    with suppress(OSError), socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as asking:
        asking.bind(("aead", f"pcrypt({drivers(CHACHA)[0]})"))  # it is made even where this fails
    assert any(driver.startswith("pcrypt(") for driver in drivers(CHACHA))


def drivers(algorithm: str) -> list[str]:
    """The kernel's names of what it has for an algorithm."""
    entries = Path("/proc/crypto").read_text().split("\n\n")
    fields = [dict(line.split(":", 1) for line in entry.splitlines() if ":" in line) for entry in entries]
    named = [{name.strip(): value.strip() for name, value in entry.items()} for entry in fields]
    return [entry["driver"] for entry in named if entry.get("name") == algorithm]


def functions(line: Line) -> set[str]:
    return {frame["function"] for frame in line["stack"]}


def chacha() -> str:
    return f"aead {CHACHA} {tunnels.key(36)} 128"


@pytest.mark.parametrize("family", [4, 6])
def test_asynchronous(lab: Lab, tally: Tally, asynchronous: None, family: int) -> None:
    """Good packets, and packets whose keys differ: the kernel goes on with them in a worker."""
    good, bad = way(lab, family, "tunnel"), way(lab, family)
    good.open(chacha())
    bad.lead_in(chacha())
    lab.b.configure(bad.state(chacha()))
    with good.read() as reader:
        for _ in range(8):
            good.send(3)
            bad.send(1)
        reader.take(24)
        eventually(lambda: sum(tally.rose().values()) == 8, "all are judged")
    found = tally.deaths(8)
    told(found, "ipsec.auth-failed", bad.spi_text, CHACHA)
    assert sorted(line["packet"]["seq"] for line in found) == list(range(1, 9))
    assert {line["object"]["spi"] for line in found} == {bad.spi_text}
    assert all("padata_serial_worker" in functions(line) for line in found), found[0]
    assert tally.rose() == {"XfrmInStateProtoError": 8}
    assert tunnels.use(lab.b, bad).failed == 8
    assert tunnels.use(lab.b, good) == tunnels.Use(24, 0, 0, 0)


def test_twice_at_once(lab: Lab, tally: Tally, asynchronous: None) -> None:
    """Both wait for the worker, so neither was seen before when it came: the second check finds the other."""
    one = way(lab)
    algorithms = chacha()
    one.lead_in(algorithms)
    hardware = traffic.hardware_address(lab.b, lab.b.iface)
    with tunnels.captured(lab.a, lab.a.iface, 4) as packets:
        one.send(1)
        told(tally.deaths(1), "ipsec.no-state", one.spi_text)
    (sealed,) = (packet for packet in packets if packet[9] == socket.IPPROTO_ESP)  # others may overtake it
    tally = tally.again()
    lab.b.configure(one.state(algorithms, "replay-window 21"))
    with one.read() as reader, tunnels.in_one_burst(lab.a):
        traffic.frames(lab.a, lab.a.iface, to=hardware, kind=traffic.ETH_P_IP, body=sealed, count=3)
        reader.take(1)
        eventually(lambda: sum(tally.rose().values()) == 2, "all are judged")
    found = tally.deaths(2)
    told(found, "ipsec.replay", one.spi_text, "sequence number 1", "window 21")
    assert tally.rose() == {"XfrmInStateSeqError": 2}


@pytest.fixture(scope="module")
def with_offload() -> Iterator[None]:
    """The modules that take ESP while packets are gathered."""
    modules = ["esp4_offload", "esp6_offload"]
    subprocess.run(["modprobe", "-a", *modules], check=True)
    yield
    subprocess.run(["modprobe", "-raq", *modules], check=False)


@pytest.mark.parametrize("family", [4, 6])
def test_while_gathering(lab: Lab, tally: Tally, with_offload: None, family: int) -> None:
    """ESP that GRO takes out of the stream, before IP has seen it: good, with another key, replayed, unknown."""
    with taps.opened(lab, family) as tap:
        good, bad, unknown = (way(lab, family).but(outer=tap.ends, inner=tap.ends) for _ in range(3))
        with tunnels.captured(lab.a, tap.away, family) as packets:
            for one in (good, bad, unknown):
                algorithms = tunnels.gcm()
                one.lead_in(algorithms)
                one.send(3)
                if one != unknown:
                    lab.b.configure(
                        one.state(algorithms if one == good else tunnels.gcm(), "replay-window 9")
                    )
        assert len(packets) == 9
        with good.read() as reader:
            for packet in (*packets, packets[1]):
                tap.receive(packet)
            reader.take(3)
            found = tally.deaths(7)
    by_spi = {
        one.spi_text: [line for line in found if line["packet"]["spi"] == one.spi_text]
        for one in (good, bad, unknown)
    }
    told(by_spi[bad.spi_text], "ipsec.auth-failed", bad.spi_text)
    told(by_spi[unknown.spi_text], "ipsec.no-state", unknown.spi_text)
    told(by_spi[good.spi_text], "ipsec.replay", "sequence number 2", "window 9")
    assert tally.rose() == {"XfrmInStateProtoError": 3, "XfrmInNoStates": 3, "XfrmInStateSeqError": 1}
    for line in (*by_spi[bad.spi_text], *by_spi[good.spi_text]):
        assert f"esp{family}_gro_receive" in functions(line), line


def test_ten_thousand(lab: Lab, tally: Tally) -> None:
    one = way(lab)
    one.open(tunnels.gcm())
    with one.read() as reader:
        for _ in range(10):
            one.send(1000)
            reader.take(1000)
    assert tally.deaths(0) == []
    assert tally.rose() == {}
    assert tunnels.use(lab.b, one) == tunnels.Use(10_000, 0, 0, 0)


def test_one_broken_among_many(lab: Lab, tally: Tally) -> None:
    """Six good ways with 2000 packets; beside them a wrong key, an SA that is gone, a replay and a used up SA."""
    good = [way(lab, family, mode) for family, mode in MODES]
    spoilt = {cause: way(lab) for cause in ("ipsec.auth-failed", "ipsec.no-state", "ipsec.expired")}
    for one in good:
        one.open(tunnels.gcm())
    for cause, one in spoilt.items():
        algorithms = tunnels.gcm()
        one.lead_in(algorithms)
        if cause == "ipsec.auth-failed":
            lab.b.configure(one.state(tunnels.gcm()))
        elif cause == "ipsec.expired":
            lab.b.configure(one.state(algorithms, "limit packet-hard 1"))
    share, rounds = 2000 // len(good) + 1, 9
    dice = random.Random(52)
    turns = [one for one in good for _ in range(share)] + [
        one for one in spoilt.values() for _ in range(rounds)
    ]
    dice.shuffle(turns)
    with ExitStack() as stack:
        stack.enter_context(spoilt["ipsec.expired"].read())
        readers = [stack.enter_context(one.read()) for one in good]
        for one in turns:
            one.send(1, size=dice.randint(1, 300))
        for reader in readers:
            reader.take(share)
    count = 3 * rounds - 1
    found = tally.deaths(count)
    rose, causes = tally.rose(), by_cause(found)
    told(
        [line for line in found if line["packet"]["spi"] == spoilt["ipsec.auth-failed"].spi_text],
        "ipsec.auth-failed",
    )
    assert causes["ipsec.auth-failed"] == rose["XfrmInStateProtoError"] == rounds
    assert causes["ipsec.expired"] == rose["XfrmInStateExpired"] == 1
    assert causes["ipsec.no-state"] == rose["XfrmInNoStates"]
    assert causes["ipsec.state-invalid"] == rose.get("XfrmInStateInvalid", 0)
    assert sum(rose.values()) == sum(causes.values()) == count
    for one in good:
        assert tunnels.use(lab.b, one) == tunnels.Use(share, 0, 0, 0)
    assert tunnels.use(lab.b, spoilt["ipsec.auth-failed"]).failed == rounds
