"""What dies at both ends of VXLAN and GENEVE: remotes, identifiers, headers, frames that come back."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from scenarios import encapsulated, traffic
from scenarios.blame import deaths
from scenarios.encapsulated import STATION, in_udp
from scenarios.namespaces import Lab, Namespace
from scenarios.whydrop_process import Whydrop, told

SENT = 3
PORT = 5881
VXLAN, GENEVE = 4789, 6081
FAR = "10.55.0.2"
STATION_FAR = "02:00:00:00:00:07"


class Loss(NamedTuple):
    """`a` and `b` are commands there, in which {a} and {b} are the addresses. It dies `at` one of them, seen with the
    port `seen`. `send` is carried out in a. `object` are keys of the finding's, {mac} is that of the interface in b.
    """

    cause: str
    object: dict[str, str]
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()
    send: Callable[[Lab], None] | None = None
    at: str = "b"
    seen: int = PORT
    words: tuple[str, ...] = ()
    needs: str | None = None


def overlay(device: str) -> tuple[str, ...]:
    """In a: an interface that the datagrams go into."""
    return (
        f"ip link add vx0 {device}",
        "ip link set vx0 up",
        "ip address add 10.55.0.1/24 dev vx0",
        f"ip neigh replace {FAR} lladdr {STATION_FAR} dev vx0 nud permanent",
    )


def terminal(device: str, name: str = "vx0") -> tuple[str, ...]:
    """In b: an interface that is up, and says nothing by itself."""
    return (f"ip link add {name} {device}", f"ip link set {name} up")


def made(
    vni: int = 7, *, source: bytes = STATION, flags: int = 0x08000000, tos: int = 0
) -> Callable[[Lab], None]:
    def send(lab: Lab) -> None:
        body = encapsulated.vxlan(vni, source, PORT, flags=flags)
        in_udp(lab.a, lab.b.v4, VXLAN, body, SENT, tos=tos)

    return send


def made_geneve(vni: int = 7, *, tos: int = 0, first: int = 0) -> Callable[[Lab], None]:
    def send(lab: Lab) -> None:
        body = encapsulated.geneve(vni, STATION, PORT, first=first)
        in_udp(lab.a, lab.b.v4, GENEVE, body, SENT, tos=tos)

    return send


def own_address(lab: Lab) -> None:
    own = traffic.hardware_address(lab.b, "vx0")
    in_udp(lab.a, lab.b.v4, VXLAN, encapsulated.vxlan(7, own, PORT), SENT)


V7 = f"type vxlan id 7 dstport {VXLAN}"
G7 = f"type geneve id 7 dstport {GENEVE}"
LOSSES = {
    "no remote": Loss(
        "tunnel.no-remote",
        {"interface": "vx0", "type": "vxlan", "setting": "no remote"},
        a=overlay(V7),
        at="a",
        words=(STATION_FAR, "no default entry"),
    ),
    "no route to the remote": Loss(
        "tunnel.no-route",
        {"interface": "vx0", "setting": "remote 10.99.0.9"},
        a=overlay(f"{V7} remote 10.99.0.9"),
        at="a",
        words=("the network is unreachable",),
    ),
    "no route to the remote of an entry": Loss(
        "tunnel.no-route",
        {"interface": "vx0", "setting": "remote 10.99.0.8"},
        a=(*overlay(f"{V7} remote {{b}}"), f"bridge fdb add {STATION_FAR} dev vx0 dst 10.99.0.8"),
        at="a",
    ),
    "the remote is behind itself": Loss(
        "tunnel.loop",
        {"interface": "vx0", "setting": "remote 10.55.0.9"},
        a=overlay(f"{V7} remote 10.55.0.9"),
        at="a",
        words=("leads into vx0",),
    ),
    "no metadata": Loss("tunnel.no-metadata", {}, a=overlay(f"type vxlan external dstport {VXLAN}"), at="a"),
    "another VNI": Loss(
        "tunnel.vxlan-unknown-vni",
        {"interface": "vx0", "setting": "id 8"},
        a=overlay(f"{V7} remote {{b}}"),
        b=terminal(f"type vxlan id 8 dstport {VXLAN}"),
        seen=VXLAN,
        words=("the packet has VNI 7",),
    ),
    "the VNI at another port": Loss(
        "tunnel.vxlan-unknown-vni",
        {"interface": "vx7", "setting": "dstport 4790"},
        a=overlay(f"{V7} remote {{b}}"),
        b=(
            *terminal(f"type vxlan id 8 dstport {VXLAN}"),
            *terminal("type vxlan id 7 dstport 4790", "vx7"),
        ),
        seen=VXLAN,
    ),
    "a filter of VNIs": Loss(
        "tunnel.vxlan-unknown-vni",
        {"interface": "vx0", "setting": "vni 10-20"},
        a=overlay(f"{V7} remote {{b}}"),
        b=(
            *terminal(f"type vxlan dstport {VXLAN} external vnifilter"),
            "bridge vni add dev vx0 vni 10-20",
        ),
        seen=VXLAN,
        needs="vxlan-vnifilter",
    ),
    "no VNI": Loss(
        "tunnel.vxlan-header", {}, b=terminal(V7), send=made(flags=0), seen=VXLAN, words=("0x00000000",)
    ),
    "group policy": Loss(
        "tunnel.vxlan-header",
        {"interface": "vx0", "setting": "no gbp, no gpe"},
        b=terminal(V7),
        send=made(flags=0x88000000),
        seen=VXLAN,
        words=("group policy",),
    ),
    "a frame that comes back": Loss(
        "tunnel.own-mac",
        {"interface": "vx0", "setting": "address {mac}"},
        b=terminal(V7),
        send=own_address,
        seen=VXLAN,
    ),
    "a station that has moved": Loss(
        "tunnel.vxlan-static-entry",
        {"interface": "vx0", "setting": "02:00:00:00:00:05 dst 10.99.0.7"},
        b=(*terminal(V7), "bridge fdb add 02:00:00:00:00:05 dev vx0 dst 10.99.0.7"),
        send=made(),
        seen=VXLAN,
    ),
    "congestion that the packet inside cannot tell": Loss(
        "tunnel.ecn", {}, b=terminal(V7), send=made(tos=encapsulated.CONGESTED)
    ),
    "GENEVE: another VNI": Loss(
        "tunnel.geneve-unknown-vni",
        {"interface": "vx0", "type": "geneve", "setting": "id 7"},
        b=terminal(f"{G7} remote {{a}}"),
        send=made_geneve(8),
        seen=GENEVE,
    ),
    "GENEVE: another sender": Loss(
        "tunnel.geneve-unknown-vni",
        {"interface": "vx0", "setting": "remote 10.99.0.9"},
        b=terminal(f"{G7} remote 10.99.0.9"),
        send=made_geneve(),
        seen=GENEVE,
    ),
    "GENEVE: congestion": Loss(
        "tunnel.ecn",
        {"interface": "vx0", "type": "geneve"},
        b=terminal(f"{G7} remote {{a}}"),
        send=made_geneve(tos=encapsulated.CONGESTED),
    ),
}
LIKELY = {"tunnel.vxlan-static-entry", "tunnel.no-metadata"}  # on kernels that do not say so


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_frame_that_a_tunnel_loses(lab: Lab, whydrop: Whydrop, loss: Loss) -> None:
    addresses = {"a": lab.a.v4, "b": lab.b.v4}
    for end, commands in ((lab.a, loss.a), (lab.b, loss.b)):
        end.set("net/ipv6/conf/default/disable_ipv6", 1)
        for command in commands:
            done = end.run(command.format(**addresses), check=False)
            if loss.needs is not None and done.returncode:
                pytest.skip(f"feature {loss.needs}: {done.stderr}")
            assert not done.returncode, f"{command}: {done.stderr}"
    if loss.send is not None:
        loss.send(lab)
    else:
        traffic.datagrams(lab.a, FAR, [PORT] * SENT)
    end = lab.a if loss.at == "a" else lab.b
    for line in deaths(whydrop, end, SENT, loss.seen):
        confidence = line["cause"]["confidence"]
        assert line["cause"]["id"] == loss.cause, told(line)
        assert confidence == "certain" or (confidence, loss.cause in LIKELY) == ("likely", True), told(line)
        if loss.object and (line["object"] or loss.cause != "tunnel.ecn"):
            wanted = {key: value.replace("{mac}", _mac(lab.b)) for key, value in loss.object.items()}
            assert line["object"] is not None, told(line)
            assert {key: line["object"].get(key) for key in wanted} == wanted, told(line)
            assert line["object"]["kind"] == "interface"
        said = json.dumps(line["evidence"])
        assert all(word in said for word in loss.words), told(line)


def _mac(end: Namespace) -> str:
    shown = json.loads(end.run("ip -j link show").stdout)
    return next((str(link["address"]) for link in shown if link["ifname"] == "vx0"), "")
