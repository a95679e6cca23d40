"""The filter follows the translation: `--port 8080` finds what DNAT has sent to another port, and nothing beside it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios import ipvs, traffic
from scenarios.blame import deaths, packets
from scenarios.firewalls import legacy, legacy_rules, load_modules, nft, nft_rules, the_rule
from scenarios.namespaces import Lab, Namespace
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, keep, replayed, told

SERVICE, BACKEND, OTHER = 8080, 5380, 8081
GATE = """
table inet gate {{
    chain translate {{ type nat hook prerouting priority dstnat;
        udp dport {service} dnat ip to {v4}:{backend}
        udp dport {service} dnat ip6 to [{v6}]:{backend}
        udp dport {other} dnat ip to {v4}:{backend}
    }}
    chain judge {{ type filter hook {hook} priority 0;
        udp {end} {backend} counter drop
    }}
}}
"""

FORWARDING = """
*nat
-A PREROUTING -p tcp -m tcp --dport {service} -j DNAT --to-destination {behind}:{backend}
*filter
-A FORWARD -p tcp -m tcp --dport {backend} -j DROP
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whydrop]:
    """`--port 8080`, for all scenarios here; its recording says the same."""
    load_modules()
    ipvs.load_modules()
    recording = tmp_path_factory.mktemp("recording") / "nat.whydrop"
    with Whydrop("--port", str(SERVICE), "--write", str(recording)) as running:
        yield running
        finished = running.finish()
        keep(recording, finished)
    again = [line for line in replayed(recording, "--port", str(SERVICE)) if line.get("type") == "drop"]
    assert packets(again) == packets([line for line in finished.lines if line.get("type") == "drop"])


def gate(end: Namespace, hook: str = "input", side: str = "dport") -> None:
    nft(
        end,
        GATE.format(service=SERVICE, backend=BACKEND, other=OTHER, v4=end.v4, v6=end.v6, hook=hook, end=side),
    )


def counted(end: Namespace, needle: str) -> int:
    return the_rule(nft_rules(end), needle).packets or 0


def by_nat(found: list[Line], *words: str) -> None:
    for line in found:
        assert line["match"] == "nat", told(line)
        assert all(word in line["match_why"] for word in words), told(line)


@pytest.mark.twice
@pytest.mark.parametrize("version", ["v4", "v6"])
def test_what_dnat_has_sent_to_another_port(lab: Lab, service: Whydrop, version: str) -> None:
    address = getattr(lab.b, version)
    gate(lab.b)
    traffic.datagrams(lab.a, address, [OTHER] * 5 if version == "v4" else [], sport=41001)
    traffic.datagrams(lab.a, address, [SERVICE] * 11, sport=41002)
    eventually(lambda: counted(lab.b, f"{BACKEND} drop") >= 11, "the rule has counted them")
    found = deaths(service, lab.b, 11, BACKEND)
    by_nat(found, "before its translation it was udp", f"{address} port {SERVICE}")
    assert {line["packet"]["sport"] for line in found} == {41002}


def test_legacy_dnat_of_what_is_forwarded(lab: Lab, service: Whydrop) -> None:
    """To the other port of an address behind the interface it came from."""
    behind = lab.a.v4[: lab.a.v4.rindex(".")] + ".77"
    lab.b.set("net/ipv4/ip_forward", 1)
    legacy(lab.b, FORWARDING.format(service=SERVICE, behind=behind, backend=BACKEND))
    for sport in range(42000, 42007):
        traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (sport, SERVICE))
    found = deaths(service, lab.b, 7, BACKEND)
    by_nat(found, f"{lab.b.v4} port {SERVICE}")
    assert {line["packet"]["daddr"] for line in found} == {behind}
    assert the_rule(legacy_rules(lab.b), "-A FORWARD").packets == 7


@pytest.mark.parametrize("version", ["v4", "v6"])
def test_what_ipvs_has_sent_to_a_real_server(lab: Lab, service: Whydrop, version: str) -> None:
    """Without conntrack: the packet itself says nothing of the service. Another service beside it is not meant."""
    address = getattr(lab.b, version)
    behind = address[: address.rindex("." if version == "v4" else ":") + 1] + "77"
    lab.b.set("net/ipv4/ip_forward", 1)
    lab.b.set("net/ipv6/conf/all/forwarding", 1)
    nft(
        lab.b,
        f"table inet t {{ chain c {{ type filter hook output priority 0; udp dport {BACKEND} drop }} }}",
    )
    with (
        ipvs.service_by_nat(lab.b, address, SERVICE, (behind, BACKEND)),
        ipvs.service_by_nat(lab.b, address, OTHER, (behind, BACKEND)),
    ):
        traffic.datagrams(lab.a, address, [OTHER] * 5, sport=41003)
        traffic.datagrams(lab.a, address, [SERVICE] * 7, sport=41004)
        found = deaths(service, lab.b, 7, BACKEND)
    by_nat(found, "before IPVS sent it to a real server it was udp", f"{address} port {SERVICE}")
    for line in found:
        assert (line["packet"]["sport"], line["packet"]["daddr"]) == (41004, behind), told(line)
        assert line["cause"]["id"] == "netfilter.nft-rule", told(line)
        (step,) = line["led_by"]
        assert step["text"].endswith("until IPVS sent it to a real server"), told(line)


def test_the_answer_of_a_translated_server(lab: Lab, service: Whydrop) -> None:
    """It dies before it is translated back, with the server's own port."""
    gate(lab.b, "output", "sport")
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((lab.b.v4, BACKEND))
        server.settimeout(60)
        for sport in range(43000, 43005):
            traffic.datagrams(lab.a, lab.b.v4, [SERVICE], sport=sport)
            _, client = server.recvfrom(99)
            with pytest.raises(PermissionError):
                server.sendto(b"answer", client)
    found: list[Line] = []
    for sport in range(43000, 43005):
        found += deaths(service, lab.b, 1, sport)
    by_nat(found, "translated back, this answer is udp", f"{lab.b.v4} port {SERVICE}")
    assert counted(lab.b, f"{BACKEND} drop") == 5


def test_a_source_port_that_masquerading_has_changed(lab: Lab, service: Whydrop) -> None:
    nft(
        lab.a,
        """
        table ip out { chain post { type nat hook postrouting priority srcnat;
            udp dport 5381 masquerade to :7000-7099 } }
        """,
    )
    lab.a.run(f"tc qdisc add dev {lab.a.iface} clsact")
    lab.a.run(f"tc filter add dev {lab.a.iface} egress protocol ip matchall action drop")
    traffic.datagrams(lab.a, lab.b.v4, [5381] * 3, sport=SERVICE)
    by_nat(deaths(service, lab.a, 3, 5381), f"before its translation it was udp {lab.a.v4} port {SERVICE}")


def test_an_error_about_a_translated_datagram(lab: Lab, service: Whydrop) -> None:
    """A router that drops the errors of its backends: what they quote has the backend's port."""
    gate(lab.b, "prerouting", "dport 1 udp sport")
    nft(
        lab.b,
        "table inet mute { chain out { type filter hook output priority 0;\n"
        "meta l4proto icmp counter drop\n } }",
    )
    traffic.datagrams(lab.a, lab.b.v4, [SERVICE], sport=44001)
    found = deaths(service, lab.b, 1, wanted=lambda line: line["packet"]["proto"] == "icmp")
    assert found[0]["match"] == "icmp-quote", told(found[0])
    assert f"port {SERVICE}" in found[0]["match_why"], told(found[0])


@pytest.mark.once
def test_summary_stack_and_trace_follow_as_well(lab: Lab, tmp_path: Path) -> None:
    gate(lab.b)
    with Whydrop("summary", "--daddr", lab.b.v4, "--dport", str(SERVICE)) as summary:
        traffic.datagrams(lab.a, lab.b.v4, [SERVICE] * 13 + [OTHER] * 2, sport=45001)
        eventually(lambda: counted(lab.b, f"{BACKEND} drop") == 15, "both have come")
        done = summary.finish()
    rows = done.lines[-1]["rows"]
    assert sum(row["packets"] for row in rows) == 13, done
    for command in ("stack", "trace"):
        with Whydrop(command, "--daddr", lab.b.v4, "--dport", str(SERVICE)) as running:
            traffic.datagrams(lab.a, lab.b.v4, [SERVICE], sport=45002)
            running.wait_for(lambda line: "netfilter.nft-rule" in str(line))


@pytest.mark.twice
def test_a_connection_that_a_translated_listener_refuses(lab: Lab, service: Whydrop) -> None:
    """TCP has taken the entry off the SYN by then: it is the one that conntrack gave it."""
    nft(
        lab.b,
        f"""
        table ip gate {{ chain translate {{ type nat hook prerouting priority dstnat;
            tcp dport {SERVICE} redirect to :{BACKEND} }} }}
        """,
    )
    with traffic.open_socket(lab.b, socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((lab.b.v4, BACKEND))
        server.listen(1)
        callers = [traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_STREAM) for _ in range(2)]
        with callers[0] as one, callers[1] as two:
            one.connect((lab.b.v4, SERVICE))
            two.connect((lab.b.v4, SERVICE))
            for sport in range(46000, 46005):
                traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (sport, SERVICE))
            for sport in range(46005, 46008):
                traffic.segments(lab.a, (lab.a.v4, lab.b.v4), (sport, BACKEND))
            found = deaths(service, lab.b, 5, BACKEND)
    by_nat(found, "before its translation it was tcp", f"{lab.b.v4} port {SERVICE}")
    for line in found:
        assert (line["source"], line["cause"]["id"]) == ("tcp_conn_request", "socket.accept-queue-full"), (
            told(line)
        )
        assert line["led_by"], told(line)
