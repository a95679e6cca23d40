"""What a host sends itself and has no route for."""

import socket

import pytest
from scenarios import traffic
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop

PORT = 5000  # that of the fixture `filtered`


@pytest.mark.parametrize("family", [4, 6])
def test_the_route_of_a_connection_is_gone(
    lab: Lab, whydrop: Whydrop, filtered: Whydrop, family: int
) -> None:
    """Its segments have no IP header yet: what the filter and the finding know of them is their socket's."""
    source, target = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    kind = traffic.family_of(target)
    with (
        traffic.open_socket(lab.b, kind, socket.SOCK_STREAM) as server,
        traffic.open_socket(lab.a, kind, socket.SOCK_STREAM) as client,
    ):
        server.bind((target, PORT))
        server.listen()
        client.connect((target, PORT))
        taken, peer = server.accept()
        with taken:
            before = no_routes(lab)
            lab.a.run(f"ip -{family} route flush dev {lab.a.iface}")
            client.send(b"data")
            for running in (whydrop, filtered):
                for line in some(running, lab):
                    assert (line["cause"]["id"], line["cause"]["confidence"]) == (
                        "routing.no-route-out",
                        "likely",
                    )
                    packet = line["packet"]
                    ends = packet["saddr"], packet["sport"], packet["daddr"], packet["dport"]
                    assert (*ends, packet["proto"]) == (source, peer[1], target, PORT, "tcp"), line
                    assert line["where"]["function"] == (
                        "__ip_queue_xmit" if family == 4 else "inet6_csk_xmit"
                    )
            if family == 4:
                assert no_routes(lab) > before
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no more is sent


def no_routes(lab: Lab) -> int:
    shown = lab.a.run("nstat -az IpOutNoRoutes").stdout
    return int(shown.splitlines()[-1].split()[1])


def some(whydrop: Whydrop, lab: Lab) -> list[Line]:
    """The segment, and as often as it has been sent again."""
    return whydrop.wait_for(
        lambda line: (line.get("netns") or {}).get("name") == lab.a.name and line["type"] == "drop"
    )
