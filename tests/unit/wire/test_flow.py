"""Flows as the programs count them: the bytes of struct flow."""

import re
import struct
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from dropwatch.resources import resource_dir
from dropwatch.wire.flow import flow_count


def flow(saddr: str, daddr: str, family: int, proto: int, dport: int, has_ports: int = 1) -> bytes:
    raw = [ip_address(f"::ffff:{text}" if family == 4 else text).packed for text in (saddr, daddr)]
    return b"".join(raw) + struct.pack("=IHHBBBB", 0, 0, dport, family, proto, has_ports, 0)


def test_ipv4_and_ipv6() -> None:
    found = flow_count(flow("10.9.0.1", "10.9.0.2", 4, 17, 5000), 7)
    assert (str(found.saddr), str(found.daddr), found.proto, found.dport) == (
        "10.9.0.1",
        "10.9.0.2",
        "udp",
        5000,
    )
    assert (found.family, found.packets) == (4, 7)
    found = flow_count(flow("fd09::1", "fd09::2", 6, 58, 0, 0), 1)
    assert (str(found.daddr), found.proto, found.dport) == ("fd09::2", "icmp6", None)


def test_what_is_no_flow() -> None:
    with pytest.raises(struct.error):
        flow_count(b"short", 1)


def test_the_c_compiler_sees_the_same_struct(tmp_path: Path) -> None:
    text = (resource_dir("bpf") / "flow.c").read_text()
    body = re.search(r"^struct flow {.*?^};", text, re.S | re.M)
    assert body
    members = {"saddr": 0, "daddr": 16, "what": 32, "sport": 36, "dport": 38, "family": 40, "proto": 41}
    members |= {"has_ports": 42}
    asked = ", ".join(f"offsetof(struct flow, {name})" for name in members)
    source = f"""#include <stddef.h>
typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
{body[0]}
unsigned long found[] = {{{asked}, sizeof(struct flow)}};
int main(void) {{ {"".join(f"if (found[{n}] != {at}) return {n + 1};" for n, at in enumerate(members.values()))}
return found[{len(members)}] != 44; }}
"""
    (tmp_path / "flow.c").write_text(source)
    subprocess.run(["cc", "-o", tmp_path / "flow", tmp_path / "flow.c"], check=True)
    subprocess.run([tmp_path / "flow"], check=True)
