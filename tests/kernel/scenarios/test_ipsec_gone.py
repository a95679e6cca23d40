"""SAs that an incoming packet does not find, or finds unusable: unknown, deleted, used up, placeholders, marked."""

from collections.abc import Iterator

import pytest
from scenarios import tunnels
from scenarios.namespaces import Lab, joined_pair
from scenarios.tallies import Tally, by_cause, told
from scenarios.tunnels import way
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop


@pytest.fixture(scope="module")
def lab(whydrop: Whydrop) -> Iterator[Lab]:
    """One pair for the whole file."""
    with joined_pair() as pair:
        yield pair


@pytest.fixture
def tally(lab: Lab, whydrop: Whydrop) -> Tally:
    return Tally(lab, whydrop)


@pytest.mark.parametrize(("family", "mode"), [(4, "transport"), (6, "tunnel")])
def test_unknown_spi(whydrop: Whydrop, family: int, mode: str) -> None:
    """All SAs of a fresh namespace: one has another SPI, one another protocol, one another destination."""
    with joined_pair() as pair:
        tally, one = Tally(pair, whydrop), way(pair, family, mode)
        one.lead_in(tunnels.gcm())
        other_spi = one.but(spi=one.spi + 0x2F)
        other_end = one.but(outer=(one.outer[0], "10.9.251.77" if family == 4 else "fd09:fb::77"))
        other_proto = one.but(proto="ah")
        pair.b.configure(
            other_spi.state(tunnels.gcm()),
            other_end.state(tunnels.gcm()),
            other_proto.state(tunnels.sha256()),
        )
        one.send(4)
        found = tally.deaths(4)
        assert tally.rose() == {"XfrmInNoStates": 4}
    told(found, "ipsec.no-state", one.spi_text, other_spi.spi_text, "proto ah", other_end.outer[1])
    assert {line["packet"]["spi"] for line in found} == {one.spi_text}
    assert all(len(line["object"]["differs"]) == 1 for line in found), found[0]


def test_deleted_under_traffic(lab: Lab, tally: Tally) -> None:
    """The SA worked, and then somebody deleted it: that is said."""
    one = way(lab, 6, "transport")
    one.open(tunnels.gcm())
    with one.read() as reader:
        one.send(5)
        reader.take(5)
        lab.b.run(f"ip xfrm state delete {one.identity}")
        one.send(3)
    found = tally.deaths(3)
    told(found, "ipsec.no-state", one.spi_text, "deleted", "by ip")
    assert [line["packet"]["seq"] for line in found] == [6, 7, 8]
    assert tally.rose() == {"XfrmInNoStates": 3}


def test_used_up_then_gone(lab: Lab, tally: Tally) -> None:
    """The first packet over the limit dies of it, the later ones find no SA any more."""
    one = way(lab, 4, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "limit packet-hard 5"))
    with one.read() as reader:
        one.send(5)
        reader.take(5)
        one.send(1)
        (first,) = tally.deaths(1)
        told([first], "ipsec.expired", "5 packets", "limit 5", one.spi_text)
        assert first["object"]["kind"] == "xfrm-state"
        eventually(lambda: not tunnels.is_there(lab.b, one), "the SA is gone")
        one.send(2)
    found = tally.deaths(3)[1:]
    told(found, "ipsec.no-state", one.spi_text, "limit")
    assert tally.rose() == {"XfrmInStateExpired": 1, "XfrmInNoStates": 2}


@pytest.mark.parametrize("family", [4, 6])
def test_bytes_used_up(lab: Lab, tally: Tally, family: int) -> None:
    one = way(lab, family, "tunnel")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "limit byte-hard 777"), one.policy("in"))
    with one.read() as reader:
        one.send(1, size=900)
        reader.take(1)
        one.send(1)
        found = tally.deaths(1)
    told(found, "ipsec.expired", "bytes", "limit 777", one.spi_text)
    assert (found[0]["object"]["kind"], found[0]["object"]["spi"]) == ("xfrm-state", one.spi_text)
    assert tally.rose() == {"XfrmInStateExpired": 1}


def test_out_of_time(lab: Lab, tally: Tally) -> None:
    """The kernel deletes it by itself at its limit of time: there is no packet that dies of that."""
    one = way(lab, 6, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "limit time-hard 2"))
    eventually(lambda: not tunnels.is_there(lab.b, one), "the SA is gone")
    one.send(2)
    found = tally.deaths(2)
    told(found, "ipsec.no-state", one.spi_text, "limit", "2 s")
    assert tally.rose() == {"XfrmInNoStates": 2}


def test_used_up_in_a_burst(lab: Lab, tally: Tally) -> None:
    """Packets that come at once: those between the limit and the deletion of the SA meet one that is expired."""
    one = way(lab, 4, "transport")
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "limit packet-hard 2"))
    with one.read() as reader, tunnels.in_one_burst(lab.a):
        one.send(9)
        reader.take(2)
        eventually(lambda: sum(tally.rose().values()) == 7, "all have come")
    found = tally.deaths(7)
    rose = tally.rose()
    causes = by_cause(found)
    assert rose.get("XfrmInStateExpired") == causes["ipsec.expired"] == 1
    assert rose.get("XfrmInStateInvalid", 0) == causes["ipsec.state-invalid"]
    assert rose.get("XfrmInNoStates", 0) == causes["ipsec.no-state"]
    invalid = [line for line in found if line["cause"]["id"] == "ipsec.state-invalid"]
    told(invalid, "ipsec.state-invalid", "expired", one.spi_text)


def test_rekeyed_on_one_side(lab: Lab, tally: Tally) -> None:
    """Here only the new SA is left, the peer still sends through the old one."""
    old = way(lab, 4, "tunnel")
    algorithms = tunnels.gcm()
    old.open(algorithms)
    new = old.but(spi=old.spi + 0x5A)
    with old.read() as reader:
        old.send(3)
        reader.take(3)
        lab.b.configure(new.state(tunnels.gcm()))
        lab.b.run(f"ip xfrm state delete {old.identity}")
        old.send(4)
        found = tally.deaths(4)
    told(found, "ipsec.no-state", old.spi_text, new.spi_text)
    assert tally.rose() == {"XfrmInNoStates": 4}


@pytest.mark.parametrize("family", [4, 6])
def test_placeholder(lab: Lab, tally: Tally, family: int) -> None:
    """An SPI that somebody reserved for a negotiation which never ended."""
    one = way(lab, family, "transport")
    src, dst = one.outer
    number = f"{one.spi:#x}"
    lab.b.run(
        f"ip xfrm state allocspi src {src} dst {dst} proto esp mode transport reqid {one.reqid}"
        f" min {number} max {number}"
    )
    one.lead_in(tunnels.gcm())
    one.send(2)
    found = tally.deaths(2)
    told(found, "ipsec.state-invalid", "acq", one.spi_text)
    assert {line["object"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmAcquireError": 2}


@pytest.mark.parametrize("family", [4, 6])
def test_mark(lab: Lab, tally: Tally, family: int) -> None:
    """The one SA with this SPI is only for packets with a mark that these have not."""
    one = way(lab, family)
    algorithms = tunnels.gcm()
    one.lead_in(algorithms)
    lab.b.configure(one.state(algorithms, "mark 0x2a mask 0x3f"))
    one.send(3)
    found = tally.deaths(3)
    told(found, "ipsec.mark-mismatch", one.spi_text, "0x2a/0x3f", "0x0", confidence=("certain", "likely"))
    assert {line["object"]["spi"] for line in found} == {one.spi_text}
    assert tally.rose() == {"XfrmInNoStates": 3}
