"""Texts of the command line become one frozen value, and what is wrong is told before anything starts."""

import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.cli import parse as parsing
from dropwatch.errors import WrongUsage
from dropwatch.host.netns.netns import own_inode
from dropwatch.model.filter import Filter, Owner
from dropwatch.run.options import Options

NOTHING = {
    "ipv4": False, "ipv6": False, "proto": (), "saddr": (), "daddr": (), "host": (), "sport": (), "dport": (),
    "port": (), "iface": (), "netns": (), "mark": (), "cause": (), "reason": (), "json": False, "stack": False,
    "count": None, "duration": None, "all": False, "ready_file": None, "no_color": False, "debug": False,
}  # fmt: skip


def parse(*after_dashes: str, **given: Any) -> Options:
    return parsing.parse({**NOTHING, **given}, after_dashes)


def test_nothing_asked_for_is_everything() -> None:
    assert parse() == Options(wanted=Filter())


def test_every_kind_of_filter_arrives() -> None:
    wanted = parse(
        ipv4=True,
        proto=("udp", "6"),
        saddr=("10.9.0.1", "10.8.0.0/16"),
        daddr=("10.9.0.2",),
        host=("10.9.0.1",),
        sport=("1-2",),
        dport=("5000", "https"),
        port=("5000",),
        iface=("lo",),
        netns=(str(own_inode()),),
        mark=("0x10/0xff",),
        cause=("ipsec.auth-failed", "!ipsec.no-state"),
        reason=("no_socket", "!SKB_DROP_REASON_TCP_CSUM"),
    ).wanted
    assert wanted == Filter(
        families=frozenset({4}),
        protos=frozenset({6, 17}),
        saddr=(ip_network("10.9.0.1"), ip_network("10.8.0.0/16")),
        daddr=(ip_network("10.9.0.2"),),
        host=(ip_network("10.9.0.1"),),
        sport=((1, 2),),
        dport=((5000, 5000), (443, 443)),
        port=((5000, 5000),),
        ifaces=("lo",),
        netns=(own_inode(),),
        marks=((0x10, 0xFF),),
        causes=frozenset({"ipsec.auth-failed"}),
        not_causes=frozenset({"ipsec.no-state"}),
        reasons=frozenset({"NO_SOCKET"}),
        not_reasons=frozenset({"TCP_CSUM"}),
    )


def test_both_families_are_both() -> None:
    assert parse(ipv4=True, ipv6=True).wanted.families == {4, 6}


def test_every_option_arrives(tmp_path: Path) -> None:
    path = str(tmp_path / "ready")
    found = parse(
        "true",
        "-x",
        json=True,
        stack=True,
        count="7",
        duration="1.5",
        all=True,
        ready_file=path,
        no_color=True,
    )
    assert found == Options(
        json=True,
        stack=True,
        all_drops=True,
        no_color=True,
        count=7,
        duration=1.5,
        ready_file=Path(path),
        command=("true", "-x"),
    )


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"dport": ("70000",)}, "--dport 70000: there is no port 70000", "0 to 65535"),
        ({"saddr": ("nonsense",)}, "--saddr nonsense: not an address", "names are not looked up"),
        ({"ipv4": True, "saddr": ("::1",)}, "no packet can match", "one family"),
        ({"proto": ("icmp",), "dport": ("53",)}, "--proto icmp has no ports", "leave out one"),
        ({"proto": ("nonsense",)}, "--proto nonsense: no such protocol", "udp"),
        ({"iface": ("sixteen-letters-",)}, "--iface sixteen-letters-: no interface can have", "ip link"),
        ({"netns": ("no-such-netns",)}, "no-such-netns", ""),
        ({"mark": ("x",)}, "--mark x: not a mark", "0x10/0xff"),
        ({"cause": ("ipsec.auth-fialed",)}, "no such cause", "did you mean ipsec.auth-failed"),
        ({"cause": ("!nonsense",)}, "--cause nonsense: no such cause", "whydrop explain"),
        ({"cause": ("",)}, "--cause '': no such cause", ""),
        ({"reason": ("NO_SOKET",)}, "--reason NO_SOKET: no such drop reason", "NO_SOCKET"),
        ({"count": "0"}, "--count 0", "at least 1"),
        ({"duration": "0"}, "--duration 0", "more than 0"),
        ({"ready_file": "/nonexistent/ready"}, "there is no directory /nonexistent", "--ready-file"),
    ],
)
def test_what_cannot_be_meant_is_told_with_a_way_out(given: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(WrongUsage) as error:
        parse(**given)
    assert message in error.value.message
    assert hint in error.value.hint
    assert error.value.exit_code == 2


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(WrongUsage, match="no-such-program"):
        parse("no-such-program", "-x")


def test_a_family_of_causes_can_be_asked_for_and_the_unknown_too() -> None:
    ipsec = {cause.id for cause in CATALOGUE if cause.id.startswith("ipsec.")}
    assert parse(cause=("ipsec.*",)).wanted.causes == ipsec
    assert parse(cause=("ipsec",)).wanted.causes == ipsec
    assert parse(cause=("IPsec.*", "unknown", "!ipsec.*")).wanted.not_causes == ipsec
    assert parse(cause=("unknown",)).wanted.causes == {"unknown"}


def test_every_cause_of_the_catalogue_can_be_asked_for() -> None:
    for cause in CATALOGUE:
        assert parse(cause=(cause.id,)).wanted.causes == {cause.id}


@pytest.mark.parametrize(
    "text", ["NO_SOCKET", "no_socket", "SKB_DROP_REASON_NO_SOCKET", "skb_drop_reason_no_socket"]
)
def test_reasons_in_every_spelling(text: str) -> None:
    assert parse(reason=(text,)).wanted.reasons == {"NO_SOCKET"}


def test_every_interface_of_this_host_is_one() -> None:
    names = tuple(name for _, name in socket.if_nameindex())
    assert parse(iface=names).wanted.ifaces == names


def test_an_interface_may_come_later() -> None:
    assert parse(iface=("no-such-if",)).wanted.ifaces == ("no-such-if",)
    for name in ("sixteen-letters-", "", "a/b"):
        with pytest.raises(WrongUsage, match="no interface can have this name"):
            parse(iface=(name,))


def test_all_namespaces_but_all_is_nothing() -> None:
    with pytest.raises(WrongUsage, match="leaves no network namespace"):
        parse(netns=("!all",))


def test_lists_and_exclusions() -> None:
    wanted = parse(
        port=("53,80", "!22,2222"), host=("!10.0.0.1",), proto=("udp,arp",), cause=("!unknown,ipsec",)
    ).wanted
    assert wanted.port == ((53, 53), (80, 80))
    assert wanted.protos == {17, 0x0806}
    assert wanted.but == Filter(port=((22, 22), (2222, 2222)), host=(ip_network("10.0.0.1"),))
    assert "unknown" in wanted.not_causes
    assert "ipsec.auth-failed" in wanted.not_causes


def test_any_interface_and_all_namespaces_are_no_filter() -> None:
    assert parse(iface=("any",), netns=("all",)).wanted == Filter()


def test_an_excluded_namespace_is_looked_up() -> None:
    assert parse(netns=(f"!{own_inode()}",)).wanted == Filter(but=Filter(netns=(own_inode(),)))


def test_whose_packets_are_asked_for() -> None:
    wanted = parse(pid=("1,2",), unit=("nginx", "!sshd"), icmp_type=("echo-request",)).wanted
    assert wanted.owner == Owner(pids=frozenset({1, 2}), units=frozenset({"nginx.service"}))
    assert wanted.but == Filter(owner=Owner(units=frozenset({"sshd.service"})))
    assert wanted.icmp_types == {(1, 8), (58, 128)}


def test_the_words_of_an_expression_are_one() -> None:
    assert parse(expression=("udp", "port", "53")).wanted == parse(expression=("udp port 53",)).wanted
    found = parse(expression=("udp port 53",)).wanted.expression
    assert found is not None
    assert found.text == "udp port 53"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"expression": ("ip6",), "ipv4": True}, "the expression and the options exclude each other"),
        (
            {"expression": ("tcp port 80",), "dport": ("81",), "sport": ("82",)},
            "the expression and the options",
        ),
        ({"icmp_type": ("echo-request",), "proto": ("udp",)}, "the options exclude each other"),
        ({"icmp_type": ("packet-too-big",), "saddr": ("10.0.0.1",)}, "--icmp-type is IPv6"),
        ({"proto": ("arp",), "host": ("10.0.0.1",)}, "an expression only"),
        ({"proto": ("arp",), "dport": ("5",)}, "has no ports"),
        ({"expression": ("",)}, "the expression is empty"),
    ],
)
def test_what_no_packet_can_match_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        parse(**given)


def test_a_tag_beside_options_is_no_contradiction() -> None:
    assert parse(expression=("vlan 7",), ipv4=True).wanted.families == {4}


def test_a_trace_follows_packets_of_all() -> None:
    with pytest.raises(WrongUsage, match="a trace follows all"):
        parsing.parse_trace({**NOTHING, "functions": None, "fields": (), "tree": False, "pid": ("1",)})


def test_how_much_is_told() -> None:
    assert parse(verbosity=2).verbosity == 2
    assert parse(quiet=True).quiet
