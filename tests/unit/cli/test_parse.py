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
from dropwatch.model.filter import Filter
from dropwatch.run.options import Options
from dropwatch.run.wanted import words

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
        ({"proto": ("icmp",), "dport": ("53",)}, "--proto icmp has no ports", "leave one"),
        ({"proto": ("nonsense",)}, "--proto nonsense: no such protocol", "udp"),
        ({"iface": ("no-such-if",)}, "--iface no-such-if: there is no such interface", "ip link"),
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


def test_an_interface_is_looked_for_where_namespaces_may_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer, refused in ((True, False), (None, False), (False, True)):
        monkeypatch.setattr(words, "interface_exists", lambda name, netns, answer=answer: answer)
        if refused:
            with pytest.raises(WrongUsage, match="any network namespace of this host"):
                parse(iface=("vb",))
        else:
            assert parse(iface=("vb",)).wanted.ifaces == ("vb",)
