"""A real IKE daemon at both ends: what it set up works, and each way in which it fails is told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.outgoing import Losses, probes_follow
from scenarios.outgoing import told as sent
from scenarios.strongswan import Daemon, running
from scenarios.tallies import told
from scenarios.traffic import open_socket
from scenarios.tunnels import Reader
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop

GOOD, PROPOSALS, SECRET = 5501, 5502, 5503  # a connection for each of these ports
ESP = {GOOD: ("aes128-sha256", "aes128-sha256"), PROPOSALS: ("aes128-sha256", "aes256-sha512")}
SECRETS = {SECRET: ("wrong at this end", "right")}
CONNECTION = """
connections {{
    c{port} {{
        version = 2
        local_addrs = {own}
        remote_addrs = {other}
        proposals = aes128-sha256-modp1024
        local {{
            auth = psk
            id = {side}{port}
        }}
        remote {{
            auth = psk
            id = {peer}{port}
        }}
        children {{
            c{port} {{
                mode = {mode}
                esp_proposals = {esp}
                local_ts = {local}
                remote_ts = {remote}
                start_action = trap
            }}
        }}
    }}
}}
secrets {{
    ike-{port} {{
        id-a = a{port}
        id-b = b{port}
        secret = "{secret}"
    }}
}}
"""


@dataclass(frozen=True)
class Peers:
    lab: Lab
    a: Daemon
    b: Daemon


@pytest.fixture(scope="module", autouse=True)
def probes(whydrop: Whydrop) -> None:
    probes_follow("esp4")


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """Both daemons with all connections; the good one is in tunnel mode."""
    with joined_pair() as lab:
        homes = [tmp_path_factory.mktemp(side) for side in "ab"]
        with running(lab.a, homes[0]) as a, running(lab.b, homes[1]) as b:
            for daemon, other, side in ((b, lab.a, 1), (a, lab.b, 0)):
                daemon.load(
                    "".join(connection(port, daemon.end, other, side) for port in (GOOD, PROPOSALS, SECRET))
                )
            yield Peers(lab, a, b)


def connection(port: int, end: Namespace, other: Namespace, side: int) -> str:
    served = f"[udp/{port}]"
    return CONNECTION.format(
        port=port,
        own=end.v4,
        other=other.v4,
        side="ab"[side],
        peer="ba"[side],
        mode="tunnel" if port == GOOD else "transport",
        esp=ESP.get(port, ESP[GOOD])[side],
        local=f"{end.v4}/32{served if side else '[udp]'}",
        remote=f"{other.v4}/32{'[udp]' if side else served}",
        secret=SECRETS.get(port, ("right", "right"))[side],
    )


def states(end: Namespace) -> list[tuple[str, str]]:
    """Identities as `ip xfrm state delete` takes them, with the SPI as whydrop shows it."""
    text = end.run("ip xfrm state list").stdout
    found = re.findall(r"src (\S+) dst (\S+)\s+proto esp spi (0x\w+)", text)
    return [(f"src {src} dst {dst} proto esp spi {spi}", spi) for src, dst, spi in found if int(spi, 16)]


def test_a_tunnel_that_works_until_an_sa_is_deleted(whydrop: Whydrop, peers: Peers) -> None:
    lab = peers.lab
    here, there = Losses(lab.a, whydrop), Losses(lab.b, whydrop)
    peers.a.ask(f"--initiate --child c{GOOD}")
    with open_socket(lab.b, 2, 2) as made:
        made.bind((lab.b.v4, GOOD))
        assert sent(lab.a, (lab.a.v4, lab.b.v4), GOOD, 20) == ["sent"] * 20
        Reader(made).take(20)
        assert (here.found(GOOD), there.found()) == ([], [])
        assert (here.rose(), there.rose()) == ({}, {})
        (incoming,) = [state for state in states(lab.b) if f"dst {lab.b.v4}" in state[0]]
        lab.b.run(f"ip xfrm state delete {incoming[0]}")
        sent(lab.a, (lab.a.v4, lab.b.v4), GOOD, 4)
        found = there.deaths(4)
    told(found, "ipsec.no-state", incoming[1], "deleted")
    assert {line["packet"]["spi"] for line in found} == {incoming[1]}
    assert {(line["object"]["connection"], line["object"]["child"]) for line in found} == {(f"c{GOOD}",) * 2}
    assert there.rose() == {"XfrmInNoStates": 4}


@pytest.mark.parametrize(
    ("port", "why"),
    [(PROPOSALS, "NO_PROPOSAL_CHOSEN|NO_PROP"), (SECRET, "AUTHENTICATION_FAILED|AUTH_FAILED")],
)
def test_no_agreement(whydrop: Whydrop, peers: Peers, port: int, why: str) -> None:
    """The daemon keeps failing behind the back of the sender, and takes away what the kernel noted meanwhile."""
    lab = peers.lab
    losses = Losses(lab.a, whydrop)
    assert sent(lab.a, (lab.a.v4, lab.b.v4), port, 3) == ["sent"] * 3
    found = losses.deaths(3, port)
    _without_state(found, port)
    for line in found:
        assert line["object"]["kind"] == "xfrm-policy", line
    eventually(lambda: re.search(why, peers.a.log()), f"the daemon fails\n{peers.a.log()}")
    assert sent(lab.a, (lab.a.v4, lab.b.v4), port, 2) == ["sent"] * 2
    _without_state(losses.deaths(5, port), port)
    assert losses.rose() == {"XfrmOutNoStates": 5}


def _without_state(found: list[Line], port: int) -> None:
    """Likely where the daemon was sooner than whydrop: the SAs have changed since the drop, and it says so."""
    told(found, "ipsec.out-no-state", f"dport {port}", confidence=("certain", "likely"))
    for line in found:
        changed = any(fact["source"] == "probe km_state_notify" for fact in line["evidence"])
        assert changed or line["cause"]["confidence"] == "certain", line
