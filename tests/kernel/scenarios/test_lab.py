"""The laboratory itself: what every other scenario takes for granted."""

import socket
from pathlib import Path

import pytest
from scenarios.namespaces import Lab

AEAD = "aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128"


def test_the_root_file_system_is_the_hosts_but_not_writable() -> None:
    """The tree is visible and a file written into it stays in the guest's memory."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    assert [kind for _, place, kind, *_ in mounts if place == "/"] == ["overlay"]
    Path(__file__).with_name("written-by-a-guest").touch()


@pytest.mark.parametrize("family", [4, 6])
def test_the_namespaces_reach_each_other(lab: Lab, family: int) -> None:
    address = lab.b.v4 if family == 4 else lab.b.v6
    lab.a.run(f"ping -{family} -c 3 -i 0.2 -W 30 {address}")


def test_a_socket_made_inside_stays_inside(lab: Lab) -> None:
    with lab.b.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((lab.b.v4, 5000))
    receiver.settimeout(30)
    with lab.a.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        sender.sendto(b"hello", (lab.b.v4, 5000))
        assert receiver.recvfrom(100)[0] == b"hello"
    assert lab.a.inode != lab.b.inode
    assert Path("/proc/thread-self/ns/net").stat().st_ino not in (lab.a.inode, lab.b.inode)


def test_esp_carries_traffic(lab: Lab) -> None:
    """SAs with AEAD keys and policies can be added, and a ping through them is encrypted."""
    for end in (lab.a, lab.b):
        for src, dst, spi in ((lab.a, lab.b, "0x1001"), (lab.b, lab.a, "0x1002")):
            end.run(f"ip xfrm state add src {src.v4} dst {dst.v4} proto esp spi {spi} mode transport {AEAD}")
            way = "out" if src is end else "in"
            end.run(f"ip xfrm policy add src {src.v4} dst {dst.v4} dir {way} tmpl proto esp mode transport")
    lab.a.run(f"ping -c 3 -i 0.2 -W 30 {lab.b.v4}")
    used = lab.b.run("ip -s xfrm state list spi 0x1001").stdout
    assert "3(packets)" in used.replace(" ", ""), used


def test_what_tracing_needs_is_there() -> None:
    assert Path("/sys/kernel/btf/vmlinux").read_bytes()[:2] in (b"\x9f\xeb", b"\xeb\x9f")
    assert Path("/sys/kernel/tracing/events/skb/kfree_skb/format").exists()
    assert Path("/sys/kernel/debug/kprobes").is_dir()
    mounted = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    assert mounted["/sys/fs/bpf"] == "bpf"


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"])
def test_iptables_takes_a_rule(lab: Lab, tool: str) -> None:
    lab.b.run(f"{tool} -A INPUT -p udp --dport 5000 -j DROP")
    assert "--dport 5000" in lab.b.run(f"{tool} -S INPUT").stdout


def test_nft_takes_a_rule(lab: Lab) -> None:
    lab.b.run("nft add table inet t")
    lab.b.run("nft 'add chain inet t c { type filter hook input priority 0; }'")
    lab.b.run("nft add rule inet t c udp dport 5000 counter drop")
    assert "udp dport 5000" in lab.b.run("nft list ruleset").stdout
