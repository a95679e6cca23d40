"""A fix gets the drop's own values, quoted for a shell, and keeps what is not known."""

from collections.abc import Callable
from dataclasses import replace

from dropwatch.causes.placeholders import fill, unfilled
from dropwatch.model.drop import Drop, Fix, Interface, Packet


def test_addresses_ports_and_interface_are_put_in(make_drop: Callable[..., Drop]) -> None:
    fix = Fix("DADDR, port DPORT", "ip route get DADDR from SADDR iif DEV")
    filled = fill(fix, make_drop())
    assert filled == Fix("10.9.0.2, port 5000", "ip route get 10.9.0.2 from 10.9.0.1 iif vb")


def test_what_the_drop_does_not_tell_stays(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = make_drop(packet=make_packet(dport=None), iface=None)
    fix = Fix("anything", "ss -lnup 'sport = :DPORT'; ip link show DEV; ip route add DADDR via GATEWAY")
    assert fill(fix, drop).command == (
        "ss -lnup 'sport = :DPORT'; ip link show DEV; ip route add 10.9.0.2 via GATEWAY"
    )


def test_a_fix_without_a_command_has_none_afterwards(make_drop: Callable[..., Drop]) -> None:
    assert fill(Fix("think"), make_drop()) == Fix("think")


def test_an_interface_name_cannot_run_anything(make_drop: Callable[..., Drop]) -> None:
    drop = replace(make_drop(), iface=Interface(2, "a;reboot"))
    assert fill(Fix("show it", "ip link show DEV"), drop).command == "ip link show 'a;reboot'"


def test_a_backslash_in_an_interface_name_stays(make_drop: Callable[..., Drop]) -> None:
    drop = replace(make_drop(), iface=Interface(2, "\\1\\g<0>"))
    command = fill(Fix("set it", "sysctl -w net.ipv4.conf.DEV.rp_filter=2"), drop).command
    assert command == "sysctl -w net.ipv4.conf.'\\1\\g<0>'.rp_filter=2"


def test_an_interface_name_is_no_option(make_drop: Callable[..., Drop]) -> None:
    drop = replace(make_drop(), iface=Interface(2, "-K"))
    fix = Fix("on DEV", "ethtool -S DEV; sysctl net.ipv4.conf.DEV.rp_filter")
    assert fill(fix, drop) == replace(fix, text="on -K")


def test_dots_in_an_interface_name_become_slashes_for_sysctl(make_drop: Callable[..., Drop]) -> None:
    drop = replace(make_drop(), iface=Interface(2, "eth0.7"))
    command = fill(Fix("set it", "sysctl -w net.ipv4.conf.DEV.rp_filter=2"), drop).command
    assert command == "sysctl -w net.ipv4.conf.eth0/7.rp_filter=2"
    assert fill(Fix("show it", "ip link show DEV"), drop).command == "ip link show eth0.7"


def test_sysctl_is_not_given_a_name_that_ends_its_own(make_drop: Callable[..., Drop]) -> None:
    """It takes the first `=` for the end of the setting's name, whatever is quoted."""
    drop = replace(make_drop(), iface=Interface(2, "a=b"))
    assert fill(Fix("set it", "sysctl -w net.ipv4.conf.DEV.rp_filter=2"), drop).command == (
        "sysctl -w net.ipv4.conf.DEV.rp_filter=2"
    )
    assert unfilled("sysctl -n net.ipv4.conf.DEV.rp_filter; ip link show DEV", drop) == ("DEV",)
    assert fill(Fix("show it", "ip link show DEV"), drop).command == "ip link show a=b"


def test_a_name_that_looks_like_a_placeholder_stays(make_drop: Callable[..., Drop]) -> None:
    drop = replace(make_drop(), iface=Interface(2, "DADDR"))
    commands = "sysctl -n net.ipv4.conf.DEV.rp_filter; ip link show DEV; ip link show BRIDGE"
    assert fill(Fix("show it", commands), drop, {"BRIDGE": "br-DEV"}).command == (
        "sysctl -n net.ipv4.conf.DADDR.rp_filter; ip link show DADDR; ip link show br-DEV"
    )


def test_words_that_merely_contain_a_placeholder_stay(make_drop: Callable[..., Drop]) -> None:
    fix = Fix("set it", "iptables -A PREROUTING -j MARK --set-mark MARKVALUE -m MACADDR")
    assert fill(fix, make_drop()).command == "iptables -A PREROUTING -j MARK --set-mark MARKVALUE -m MACADDR"


def test_ss_wants_brackets_around_an_ipv6_address(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet]
) -> None:
    drop = make_drop(packet=make_packet(family=6, saddr="fd00::1", daddr="fd00::2"))
    filled = fill(Fix("look", "ss -tan 'dport = :SPORT and dst SADDR'; ip -6 neigh show DADDR"), drop)
    assert filled.command == "ss -tan 'dport = :40000 and dst [fd00::1]'; ip -6 neigh show fd00::2"
