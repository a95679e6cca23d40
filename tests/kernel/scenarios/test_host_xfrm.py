"""What whydrop reads of SAs, policies and namespaces is what the kernel has and `ip` lists."""

import re
import socket
import subprocess
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from scenarios import esp
from scenarios.namespaces import Lab
from scenarios.waiting import eventually

from dropwatch.host.ipsec.read import read_config
from dropwatch.host.ipsec.text import policy_line
from dropwatch.host.netns.netns import netns_name, own_inode, resolve_netns
from dropwatch.model.ipsec import Selector, XfrmState
from dropwatch.names import protocols

pytestmark = pytest.mark.twice
SAS = """
proto esp spi 0x1001 reqid 1 mode transport aead rfc4106(gcm(aes)) {KEY20} 128
proto esp spi 0x1002 reqid 2 mode tunnel replay-window 32 auth-trunc hmac(sha256) {KEY32} 128 enc cbc(aes) {KEY16}
    mark 0x5 mask 0xff if_id 0x7 sel src 192.168.1.0/24 dst 192.168.2.0/24 proto udp dport 5000
proto esp spi 0xdeadbeef reqid 3 mode tunnel flag af-unspec esn replay-window 128 aead rfc4106(gcm(aes)) {KEY20} 64
    limit byte-hard 1000003 limit byte-soft 999983 limit packet-hard 77 limit time-hard 3607 limit time-use-hard 7207
proto esp spi 0x1003 mode tunnel aead rfc4106(gcm(aes)) {KEY20} 96 encap espinudp 4500 4501 0.0.0.0
proto ah spi 0x1004 mode transport auth hmac(sha1) {KEY20}
proto comp spi 0x1005 mode tunnel comp deflate
proto esp spi 0x1006 mode beet aead rfc4106(gcm(aes)) {KEY20} 128 sel src {src} dst {dst} proto {icmp} type 8
""".format(
    KEY16="0x" + "4b" * 16,
    KEY20="0x" + "4b" * 20,
    KEY32="0x" + "4b" * 32,
    src="{src}",
    dst="{dst}",
    icmp="{icmp}",
)

POLICIES = [
    "src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 5000 dir in tmpl proto esp reqid 1 mode transport",
    "src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 7 mark 0x5 mask 0xff "
    "tmpl src fd09::1 dst fd09::2 proto esp spi 0x99 reqid 1 mode tunnel if_id 9",
    "src ::/0 dst fd00::/8 proto icmp type 8 code 0 dir fwd action block",
    "src fd09::1/128 dst fd09::2/128 proto tcp sport 443 dir in tmpl proto ah mode transport",
    "src 10.1.0.0/16 dst 10.3.0.0/16 dir in tmpl src 1.2.3.4 dst 1.2.3.5 proto comp reqid 9 mode tunnel level use "
    "tmpl proto esp reqid 9 mode transport",
]  # fmt: skip


def test_looking_does_not_load_the_interface(lab: Lab) -> None:
    subprocess.run(["modprobe", "--remove", "xfrm_user"], check=True)
    config = read_config(lab.b.inode)
    assert (config.states, config.policies) == ((), ())
    assert not re.search(r"^xfrm_user ", Path("/proc/modules").read_text(), re.MULTILINE)


@pytest.mark.parametrize("family", [4, 6])
def test_sas_are_what_ip_lists(lab: Lab, family: int) -> None:
    src, dst = (lab.a.v4, lab.b.v4) if family == 4 else (lab.a.v6, lab.b.v6)
    icmp = "icmp" if family == 4 else "ipv6-icmp"
    for line in SAS.replace("\n    ", " ").strip().splitlines():
        if family == 6 and ("192.168" in line or "espinudp" in line):
            continue
        lab.b.run(
            f"ip xfrm state add src {src} dst {dst} " + quoted(line.format(src=src, dst=dst, icmp=icmp))
        )
    config = read_config(lab.b.inode)
    listed = {entry["spi"]: entry for entry in map(parsed, blocks(lab.b.run("ip -s xfrm state list").stdout))}
    assert len(listed) >= 6
    assert {state.spi for state in config.states} == listed.keys()
    for state in config.states:
        assert described(state) == listed[state.spi]
    assert "4b4b" not in repr(config)
    assert read_config(lab.a.inode).states == ()


def test_policies_are_what_ip_lists(lab: Lab) -> None:
    for line in POLICIES:
        lab.b.run(f"ip xfrm policy add {line}")
    text = lab.b.run("ip xfrm policy").stdout
    listed = [re.sub(r" ptype main\b", "", " ".join(block.split())) for block in blocks(text)]
    assert len(listed) == len(POLICIES)
    assert [policy_line(policy) for policy in read_config(lab.b.inode).policies] == listed


def test_policies_of_sockets_are_told_apart(lab: Lab) -> None:
    """As IKE daemons have them: they let the daemon's own packets through."""
    ip_xfrm_policy, allow_in = 17, 0  # linux/in.h; struct xfrm_userpolicy_info with dir in
    with lab.b.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ike:
        lab.b.run("ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir in")
        raw = bytearray(168)
        raw[40:42] = socket.AF_INET.to_bytes(2, "little")
        raw[160] = allow_in
        raw[56:88] = b"\xff" * 32
        ike.setsockopt(socket.IPPROTO_IP, ip_xfrm_policy, bytes(raw))
        found = sorted(policy.dir for policy in read_config(lab.b.inode).policies)
    assert found == ["in", "socket in"]


def test_many_sas_come_in_many_pieces(lab: Lab) -> None:
    count = 1009
    ends = f"src {lab.a.v4} dst {lab.b.v4} proto esp"
    lines = [
        f"xfrm state add {ends} spi {spi} mode transport enc ecb(cipher_null) '' auth digest_null ''"
        for spi in range(1, count + 1)
    ]
    lab.b.configure(*lines)
    assert sorted(state.spi for state in read_config(lab.b.inode).states) == list(range(1, count + 1))


def test_what_an_sa_counts(lab: Lab) -> None:
    """The judges say of an SA whether it ever worked: a packet counts only after it passed the check."""
    way = esp.connection(lab, 4, "transport", 0x1001)
    way.add_state(lab.a, esp.aead(esp.GOOD_KEY))
    way.add_state(lab.b, esp.aead(esp.GOOD_KEY), "replay-window 32")
    way.add_policies()

    def counted() -> tuple[int, int, int]:
        (state,) = read_config(lab.b.inode).states
        return (state.lifetime.packets, state.stat_integrity_failed, state.seq)

    way.send(5)
    eventually(lambda: counted() == (5, 0, 5), "five packets pass")
    lab.a.run(f"ip xfrm state delete {way.identity}")
    way.add_state(lab.a, esp.aead(esp.OTHER_KEY), "replay-oseq 5")
    way.send(7)
    eventually(lambda: counted() == (5, 7, 5), "seven fail the check, and only that is counted")


def test_an_sa_keeps_its_key(lab: Lab) -> None:
    """The judges say so of an SA that worked before: an update does not give it another key."""
    way = esp.connection(lab, 4, "transport", 0x1001)
    for end in (lab.a, lab.b):
        way.add_state(end, esp.aead(esp.GOOD_KEY))
    way.add_policies()
    state = f"ip xfrm state update {way.identity} reqid 1 mode transport {esp.aead(esp.OTHER_KEY)}"
    lab.b.run(state)
    way.send(3)
    eventually(lambda: read_config(lab.b.inode).states[0].lifetime.packets == 3, "the old key still works")


def test_reading_leaves_everything_as_it_was(lab: Lab) -> None:
    lab.b.run("ip xfrm policy add src ::/0 dst ::/0 dir in action block")
    home, files = own_inode(), descriptors()
    assert len(read_config(lab.b.inode).policies) == 1
    assert len(read_config(home).policies) == 0
    assert (own_inode(), descriptors()) == (home, files)


def test_a_namespace_that_is_gone() -> None:
    subprocess.run(["ip", "netns", "add", "brief"], check=True)
    inode = resolve_netns("brief")
    read_config(inode)
    subprocess.run(["ip", "netns", "delete", "brief"], check=True)
    subprocess.run(["modprobe", "xfrm_user"], check=True)
    with pytest.raises(FileNotFoundError):
        read_config(inode)
    assert netns_name(inode) is None


def test_namespaces_have_their_names(lab: Lab) -> None:
    sleeper = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    try:
        home = own_inode()
        eventually(lambda: resolve_netns(str(sleeper.pid)) != home, "it is in a namespace of its own")
        inode = resolve_netns(str(sleeper.pid))
        eventually(lambda: netns_name(inode) == f"pid {sleeper.pid} (sleep)", "it is known by its process")
        assert resolve_netns(str(inode)) == inode
        assert resolve_netns(f"/proc/{sleeper.pid}/ns/net") == inode
    finally:
        sleeper.kill()
        sleeper.wait()
    assert netns_name(lab.b.inode) == lab.b.name
    assert resolve_netns(lab.b.name) == resolve_netns(f"/run/netns/{lab.b.name}") == lab.b.inode
    assert netns_name(home) is None


def blocks(text: str) -> list[str]:
    """What `ip` prints of one SA or policy begins where a line is not indented."""
    return [block for block in re.split(r"\n(?=\S)", text.strip()) if block]


def quoted(line: str) -> str:
    return re.sub(r"(\S+\(\S+\))", r"'\1'", line)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def parsed(block: str) -> dict[str, object]:
    """One SA of `ip -s xfrm state list`."""
    text = " ".join(block.split())

    def find(pattern: str, read: Callable[[str], object] = str, default: object = None) -> object:
        found = re.search(pattern, text)
        return read(found[1]) if found else default

    def number(text: str) -> int:
        return int(text, 0)

    def limit(text: str) -> int | None:
        return None if text == "(INF)" else int(text)

    algorithms = re.findall(r"(aead|auth-trunc|enc) (\S+) 0x\S+ \((\d+) bits\)(?: (\d+))?", text)
    compression = [("comp", name, 0, 0) for name in re.findall(r" comp (\S+) anti", text)]
    window = find(r"replay_window (\d+)", int)
    return {
        "src": find(r"^src (\S+)"),
        "dst": find(r"dst (\S+)"),
        "proto": find(r"proto (\S+)"),
        "spi": find(r"spi (\w+)", number),
        "reqid": find(r"reqid (\d+)", int),
        "mode": find(r"mode (\w+)"),
        "window": window if window is not None else find(r"replay-window (\d+)", int),
        "esn": find(r"flag ([\w -]*)\(", lambda flags: "esn" in flags.split()),
        "mark": (find(r" mark (\w+)/", number, 0), find(r" mark \w+/(\w+)", number, 0)),
        "if_id": find(r"if_id (\w+)", number, 0),
        "algorithms": sorted(
            [(word, name, int(key), int(icv or 0)) for word, name, key, icv in algorithms] + compression
        ),
        "encap": find(r"encap type (\S+ sport \d+ dport \d+)"),
        "sel": find(r" sel (.*?) uid"),
        "hard": (find(r"\(bytes\), hard (\S+)\(bytes\)", limit), find(r"\(packets\), hard (\S+)\(packets\)", limit)),
        "soft": (find(r"soft (\S+)\(bytes\)", limit), find(r"soft (\S+)\(packets\)", limit)),
        "expire": (
            find(r"expire add: .*?hard (\d+)\(", int) or None,
            find(r"expire use: .*?hard (\d+)\(", int) or None,
        ),
        "used": (find(r"current: (\d+)\(bytes\)", int), find(r"current: \S+ (\d+)\(packets\)", int)),
        "failed": find(r"failed (\d+)", int),
    }  # fmt: skip


def described(state: XfrmState) -> dict[str, object]:
    """The same of an SA that was read by whydrop."""
    words = {"auth": "auth-trunc"}
    life, encap = state.lifetime, state.encap
    return {
        "src": str(state.saddr),
        "dst": str(state.daddr),
        "proto": state.proto,
        "spi": state.spi,
        "reqid": state.reqid,
        "mode": state.mode,
        "window": state.replay_window,
        "esn": state.esn,
        "mark": (state.mark, state.mark_mask),
        "if_id": state.if_id,
        "algorithms": sorted((words.get(word, word), *rest) for word, *rest in state.algorithms),
        "encap": f"{encap.type} sport {encap.sport} dport {encap.dport}" if encap else None,
        "sel": selector_words(state.selector) if state.selector and state.selector.family else None,
        "hard": (life.hard_bytes, life.hard_packets),
        "soft": (life.soft_bytes, life.soft_packets),
        "expire": (life.hard_add_seconds, life.hard_use_seconds),
        "used": (life.bytes, life.packets),
        "failed": state.stat_integrity_failed,
    }


def selector_words(selector: Selector) -> str:
    """Written here once more, so that two spellings have to agree with `ip`."""
    anything = ip_network("0.0.0.0/0" if selector.family == 4 else "::/0")
    sides = [
        f"{name} {f'{address}/{length}' if address else anything}"
        for name, address, length in (
            ("src", selector.saddr, selector.prefixlen_s),
            ("dst", selector.daddr, selector.prefixlen_d),
        )
    ]
    if selector.proto:
        sides.append(f"proto {'ipv6-icmp' if selector.proto == 58 else protocols.name(selector.proto)}")
    names = ("type", "code") if selector.proto in (1, 58) else ("sport", "dport")
    ports = ((selector.sport, selector.sport_mask), (selector.dport, selector.dport_mask))
    sides += [f"{name} {port}" for name, (port, mask) in zip(names, ports, strict=True) if mask]
    return " ".join(sides)
