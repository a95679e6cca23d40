"""The namespace in the commands that are shown."""

import subprocess

import pytest

from dropwatch.host.commands import in_namespace, nft_listing, nft_takes, of_the_first
from dropwatch.model.drop import Netns
from tests.unit.causes.throwaway import namespace

B = Netns(7, "b")


@pytest.mark.parametrize(
    ("netns", "command"),
    [
        (None, "ip xfrm state"),
        (Netns(7, None), "ip xfrm state"),
        (B, "ip netns exec b ip xfrm state"),
        (Netns(7, "a b;reboot"), "ip netns exec 'a b;reboot' ip xfrm state"),
        (Netns(7, "a\\x0ab"), "ip netns exec $'a\\x0ab' ip xfrm state"),
        (Netns(7, "pid 812 (nginx)"), "nsenter -t 812 -n ip xfrm state"),
        (Netns(7, "pid 812 ($(reboot))"), "nsenter -t 812 -n ip xfrm state"),
    ],
)
def test_a_command_names_the_namespace(netns: Netns | None, command: str) -> None:
    assert in_namespace(netns, "ip xfrm state") == command


@pytest.mark.parametrize(
    ("table", "chain", "command"),
    [
        ("filter", "input", "nft -a list chain inet filter input"),
        ("filter", None, "nft -a list table inet filter"),
        ("io.systemd.nat", "a/b-c", "nft -a list chain inet io.systemd.nat a/b-c"),
        ("filter", "a\\b", "nft -a list table inet filter"),
        ("filter", "drop", "nft -a list table inet filter"),
        ("handle", "input", "nft -a list ruleset inet"),
        ("filter", "c; flush ruleset", "nft -a list table inet filter"),
        ("filter", "-f", "nft -a list table inet filter"),
        ("filter", "half\\xc3", "nft -a list table inet filter"),
        ("a\\x0ab", "input", "nft -a list ruleset inet"),
    ],
)
def test_nft_is_given_nothing_that_it_would_take_for_more_than_a_name(
    table: str, chain: str | None, command: str
) -> None:
    assert nft_listing("inet", table, chain) == command


@pytest.mark.parametrize(
    ("command", "placed"),
    [
        ("nft list hooks; bpftool link show", "ip netns exec b nft list hooks; bpftool link show"),
        (
            "ip rule; ip route show table all | grep 'encap bpf'",
            "ip netns exec b ip rule; ip netns exec b ip route show table all | grep 'encap bpf'",
        ),
        (
            r"ip link show $'a\'; ip link del b\x0a'",
            r"ip netns exec b ip link show $'a\'; ip link del b\x0a'",
        ),
        ("ss -lnup 'sport = :53; reboot'", "ip netns exec b ss -lnup 'sport = :53; reboot'"),
        (
            "ip link show $'a\\'b; ip c'; ss",
            "ip netns exec b ip link show $'a\\'b; ip c'; ip netns exec b ss",
        ),
        (
            "sysctl -w net.x.$'\\n'=$(sysctl -n net.y)",
            "ip netns exec b bash -c 'sysctl -w net.x.$'\"'\"'\\n'\"'\"'=$(sysctl -n net.y)'",
        ),
        ('nft add set ip t s "{ a | b; }"', 'ip netns exec b nft add set ip t s "{ a | b; }"'),
        (
            "cat /proc/net/netfilter/nfnetlink_queue",
            "ip netns exec b cat /proc/net/netfilter/nfnetlink_queue",
        ),
        ("watch -d iptables -vnL", "ip netns exec b watch -d iptables -vnL"),
        ("bpftool net show dev vb", "ip netns exec b bpftool net show dev vb"),
        ("sysctl -w net.ipv4.ip_forward=1", "ip netns exec b sysctl -w net.ipv4.ip_forward=1"),
        (
            "sysctl -w net.ipv4.ipfrag_high_thresh=$((2 * $(sysctl -n net.ipv4.ipfrag_high_thresh)))",
            "ip netns exec b sh -c "
            "'sysctl -w net.ipv4.ipfrag_high_thresh=$((2 * $(sysctl -n net.ipv4.ipfrag_high_thresh)))'",
        ),
    ],
)
def test_each_command_of_a_line_that_looks_at_a_namespace_is_put_there(command: str, placed: str) -> None:
    assert in_namespace(B, command) == placed


@pytest.mark.parametrize(
    "command",
    [
        "ip -all netns exec ss -lnup",
        "bpftool prog show",
        "cat /proc/812/stack",
        "docker network ls",
        "journalctl _PID=812 -e",
        "modprobe esp4",
        "systemctl set-property --runtime $(ps -o unit= -p 812) IPAddressAllow=10.9.0.2",
        "whydrop explain NO_SOCKET",
    ],
)
def test_what_is_the_same_everywhere_stays(command: str) -> None:
    assert in_namespace(B, command) == command


@pytest.mark.parametrize(
    "name",
    [
        "net.core.netdev_max_backlog",
        "net.core.rmem_default",
        "net.core.rmem_max",
        "net.ipv4.neigh.default.gc_thresh3",
        "net.ipv4.tcp_mem",
        "net.ipv4.udp_mem",
        "net.ipv6.neigh.default.gc_thresh3",
        "net.netfilter.nf_conntrack_max",
    ],
)
def test_what_only_the_first_namespace_has_is_set_there(name: str) -> None:
    assert of_the_first(f"sysctl -w {name}=5")
    assert in_namespace(B, f"sysctl -w {name}=5") == f"nsenter -t 1 -n sysctl -w {name}=5"
    assert in_namespace(Netns(7, None), f"sysctl -w {name}=5") == f"sysctl -w {name}=5"


@pytest.mark.parametrize(
    "name", ["net.ipv4.tcp_rmem", "net.core.somaxconn", "net.ipv4.neigh.vb.gc_stale_time"]
)
def test_what_each_namespace_has_is_not(name: str) -> None:
    assert not of_the_first(f"sysctl -w {name}=5")


def test_nft_itself_does_not_take_its_own_words_for_names() -> None:
    """A later nft may have fewer; one that has more is not seen here."""
    with namespace("nft add table ip t\n") as enter:
        taken = []
        for word in ("accept", "comp", "drop", "handle", "iif", "mark", "position", "queue", "rule", "vmap"):
            assert not nft_takes(word)
            asked = subprocess.run(
                [*enter, "nft", "-c", "add", "chain", "ip", "t", word], capture_output=True
            )
            taken += [word] if asked.returncode == 0 else []
        assert taken == []
