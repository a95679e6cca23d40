"""What dies at both ends of GRE, IP in IP and 6in4: keys, options, peers, routes."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from scenarios import encapsulated, traffic
from scenarios.blame import deaths
from scenarios.encapsulated import in_ip
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

SENT = 3
PORT = 5882
GRE, IPIP, IPV6 = 47, 4, 41
FAR4, FAR6 = "10.56.0.2", "fd56::2"


class Loss(NamedTuple):
    """`a` and `b` are arguments of `ip` there, in which {a}, {b}, {a6} and {b6} are the addresses. What is lost is
    what goes through t0 of a, or what `send` makes. It dies `at` one of the ends, seen as a packet of `seen`.
    """

    cause: str
    object: dict[str, str]
    a: tuple[str, ...] = ()
    b: tuple[str, ...] = ()
    send: Callable[[Lab], None] | None = None
    at: str = "b"
    seen: str = "gre"
    dying: int = SENT
    length: int | None = None  # reports of multicast groups have another
    words: tuple[str, ...] = ()
    fix: str | None = None  # in the command that ends it


def entrance(device: str) -> tuple[str, ...]:
    """In a: the interface that the datagrams go into."""
    return (
        f"link add t0 {device}",
        "link set t0 up",
        "address add 10.56.0.1/24 dev t0",
    )


def entrance6(device: str) -> tuple[str, ...]:
    """The same for IPv6."""
    return (f"link add t0 {device}", "link set t0 up", "address add fd56::1/64 dev t0 nodad")


def exit_of(device: str, *, up: bool = True) -> tuple[str, ...]:
    """In b: the interface that should take them."""
    return (f"link add t0 {device}", *(("link set t0 up",) if up else ()))


def _send_through(lab: Lab) -> None:
    traffic.datagrams(lab.a, FAR4, [PORT] * SENT)


def to_six(lab: Lab) -> None:
    traffic.datagrams(lab.a, FAR6, [PORT] * SENT)


def made(*sequences: int | None, key: int | None = None, tos: int = 0) -> Callable[[Lab], None]:
    def send(lab: Lab) -> None:
        bodies = [encapsulated.gre(PORT, key=key, sequence=number) for number in sequences]
        in_ip(lab.a, lab.b.v4, GRE, bodies, tos=tos)

    return send


def congested(lab: Lab) -> None:
    body = traffic.udp_packet(*encapsulated.INNER, PORT)
    in_ip(lab.a, lab.b.v4, IPIP, [body] * SENT, tos=encapsulated.CONGESTED)


AB, BA = "local {a} remote {b}", "local {b} remote {a}"
LOSSES = {
    "another key": Loss(
        "tunnel.gre-key-mismatch",
        {"interface": "t0", "type": "gre", "setting": "ikey 5"},
        a=entrance(f"type gre {AB} key 7"),
        b=exit_of(f"type gre {BA} key 5"),
        words=("the packet has key 7; t0 takes key 5",),
        fix="type gre key 7",
    ),
    "a key where none is expected": Loss(
        "tunnel.gre-key-mismatch",
        {"interface": "t0", "setting": "no key"},
        a=entrance(f"type gre {AB} key 7"),
        b=exit_of(f"type gre {BA}"),
        fix="type gre key 7",
    ),
    "no key": Loss(
        "tunnel.gre-key-mismatch",
        {"interface": "t0", "setting": "ikey 5"},
        a=entrance(f"type gre {AB}"),
        b=exit_of(f"type gre {BA} key 5"),
        words=("the packet has no key",),
        fix="type gre nokey",
    ),
    "GRE: another peer": Loss(
        "tunnel.unknown-peer",
        {"interface": "t0", "setting": "remote 10.99.0.9"},
        a=entrance(f"type gre {AB}"),
        b=exit_of("type gre local {b} remote 10.99.0.9"),
        fix="local ",
    ),
    "GRE: down": Loss(
        "device.down",
        {"interface": "t0", "setting": "down"},
        a=entrance(f"type gre {AB}"),
        b=(*exit_of(f"type gre {BA}", up=False), "link add t1 type gre local {b} remote 10.99.0.9"),
        fix="t0 up",
    ),
    "GRE: no sequence number": Loss(
        "tunnel.gre-options",
        {"interface": "t0", "setting": "iseq"},
        a=entrance(f"type gre {AB}"),
        b=exit_of(f"type gre {BA} iseq"),
        words=("no sequence number",),
        fix="noiseq",
    ),
    "GRE: no checksum": Loss(
        "tunnel.gre-options",
        {"interface": "t0", "setting": "icsum"},
        a=entrance(f"type gre {AB}"),
        b=exit_of(f"type gre {BA} icsum"),
        fix="noicsum",
    ),
    "GRE: out of order": Loss(
        "tunnel.gre-options",
        {"interface": "t0", "setting": "iseq"},
        b=exit_of(f"type gre {BA} iseq"),
        send=made(9, 7, 8, 5),
        words=("takes none before the last one",),
    ),
    "GRE: congestion": Loss(
        "tunnel.ecn", {}, b=exit_of(f"type gre {BA}"), send=made(None, None, None, tos=3), seen="udp"
    ),
    "GRE: no route": Loss(
        "tunnel.no-route",
        {"interface": "t0", "setting": "remote 10.99.0.9"},
        a=entrance("type gre local {a} remote 10.99.0.9"),
        at="a",
        seen="udp",
    ),
    "GRE: an address of nobody": Loss(
        "tunnel.no-route",
        {"interface": "t0", "setting": "local 10.99.0.7"},
        a=entrance("type gre local 10.99.0.7 remote {b}"),
        at="a",
        seen="udp",
        words=("no address of this namespace",),
    ),
    "GRE: through itself": Loss(
        "tunnel.loop",
        {"interface": "t0", "setting": "remote 10.56.0.9"},
        a=entrance("type gre local {a} remote 10.56.0.9"),
        at="a",
        seen="udp",
    ),
    "IPIP: another peer": Loss(
        "tunnel.unknown-peer",
        {"interface": "t0", "type": "ipip", "setting": "remote 10.99.0.9"},
        a=entrance(f"type ipip {AB}"),
        b=exit_of("type ipip local {b} remote 10.99.0.9"),
        seen="ipip",
        fix="local ",
    ),
    "IPIP: down": Loss(
        "device.down",
        {"interface": "t0", "setting": "down"},
        a=entrance(f"type ipip {AB}"),
        b=exit_of(f"type ipip {BA}", up=False),
        seen="ipip",
        fix="t0 up",
    ),
    "IPIP: congestion": Loss("tunnel.ecn", {}, b=exit_of(f"type ipip {BA}"), send=congested, seen="udp"),
    "6in4: another peer": Loss(
        "tunnel.unknown-peer",
        {"interface": "t0", "type": "sit", "setting": "remote 10.99.0.9"},
        a=entrance6(f"type sit {AB}"),
        b=exit_of("type sit local {b} remote 10.99.0.9"),
        send=to_six,
        seen="ipv6",
        length=20 + 40 + 16,
        fix="local ",
    ),
    "6in4: no route": Loss(
        "tunnel.no-route",
        {"interface": "t0", "type": "sit", "setting": "remote 10.99.0.9"},
        a=entrance6("type sit local {a} remote 10.99.0.9"),
        send=to_six,
        at="a",
        seen="udp",
    ),
    "in IPv6: another peer": Loss(
        "tunnel.unknown-peer",
        {"interface": "t0", "type": "ip6tnl", "setting": "remote fd99::9"},
        a=entrance6("type ip6tnl local {a6} remote {b6} mode any encaplimit none"),
        b=exit_of("type ip6tnl local {b6} remote fd99::9 mode any"),
        send=to_six,
        seen="ipv6",
        length=40 + 40 + 16,
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_packet_that_a_tunnel_loses(lab: Lab, whydrop: Whydrop, loss: Loss) -> None:
    addresses = {"a": lab.a.v4, "b": lab.b.v4, "a6": lab.a.v6, "b6": lab.b.v6}
    for end, commands in ((lab.a, loss.a), (lab.b, loss.b)):
        end.set("net/ipv6/conf/default/router_solicitations", 0)
        end.set("net/ipv6/conf/default/disable_ipv6", 0 if loss.send is to_six else 1)
        end.configure(*(command.format(**addresses) for command in commands))
    if loss.send is not None:
        loss.send(lab)
    else:
        _send_through(lab)
    end = lab.a if loss.at == "a" else lab.b

    def is_it(line: Line) -> bool:
        packet = line["packet"]
        is_mine = packet["dport"] == PORT or loss.length in (None, packet["length"])
        return bool(packet["proto"] == loss.seen and is_mine)

    for line in deaths(whydrop, end, loss.dying, wanted=is_it):
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (loss.cause, "certain"), told(line)
        if loss.object:
            assert line["object"] is not None, told(line)
            assert {key: line["object"].get(key) for key in loss.object} == loss.object, told(line)
        said = json.dumps(line["evidence"])
        assert all(word in said for word in loss.words), told(line)
        advised = [fix["command"] for fix in line["fix"] if fix["command"]]
    if loss.fix is not None:
        _ends(lab, loss, next(command for command in advised if loss.fix in command))


def _ends(lab: Lab, loss: Loss, command: str) -> None:
    """What comes after the command arrives."""
    lab.b.run(command.removeprefix(f"ip netns exec {lab.b.name} "))
    before = _received(lab)
    (loss.send or _send_through)(lab)
    eventually(lambda: _received(lab) >= before + SENT, f"{command} ends it")


def _received(lab: Lab) -> int:
    (link,) = json.loads(lab.b.run("ip -s -j link show dev t0").stdout)
    return int(link["stats64"]["rx"]["packets"])
