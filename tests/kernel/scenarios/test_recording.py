"""`--write` on a real kernel: the recording replays as the run was, elsewhere; the capture has each finding once."""

import json
from collections import Counter
from pathlib import Path

import pytest
from scenarios import esp
from scenarios.firewalls import legacy, load_modules, nft
from scenarios.namespaces import Lab
from scenarios.whydrop_process import Line, Whydrop, keep, replayed

RULES = """
table inet fw {
  chain refused { udp dport 5001 counter drop comment "from 10.9.0.9" }
  chain input { type filter hook input priority 0; policy accept; udp dport { 5001, 5002 } jump refused; }
}
"""


def died(end: str, line: Line) -> bool:
    return line.get("type") == "drop" and (line.get("netns") or {}).get("name") == end


def break_things(lab: Lab, whydrop: Whydrop) -> None:
    """Wrong keys, no SA, a rule of nftables and one of iptables, a port where nobody is."""
    way = esp.connection(lab, 4, "transport", 0x1001)
    way.add_state(lab.a, esp.aead(esp.GOOD_KEY))
    way.add_state(lab.b, esp.aead(esp.OTHER_KEY))
    way.add_policies()
    nft(lab.b, RULES)
    legacy(lab.b, "*filter\n-A INPUT -p udp --dport 5003 -j DROP\n")
    way.send(3)
    lab.b.run(f"ip xfrm state delete {way.identity}")
    way.send(2)
    for port, count in ((5001, 3), (5003, 2), (5004, 2)):
        esp.send(lab.a, lab.b.v4, count, port)
        esp.send(lab.a, lab.b.v6, count, port)
    whydrop.wait_for(lambda line: died(lab.b.name, line), 19)


@pytest.mark.once
def test_a_recording_replays_as_the_run_was(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "mixed.whydrop"
    load_modules()  # what dies right after a module came has no probe yet
    with Whydrop("--netns", lab.b.name, "--write", str(path)) as whydrop:
        break_things(lab, whydrop)
        done = whydrop.finish()
    assert (done.status, done.refused) == (0, []), done.stderr
    keep(path, done)
    assert replayed(path) == [*done.lines, done.end]
    found = Counter((line["cause"]["id"], line["cause"]["confidence"]) for line in done.lines)
    assert found == {
        ("ipsec.auth-failed", "certain"): 3,
        ("ipsec.no-state", "certain"): 2,
        ("netfilter.nft-rule", "certain"): 6,
        ("netfilter.iptables-rule", "certain"): 2,
        ("socket.udp-no-listener", "certain"): 6,
    }
    assert oct(path.stat().st_mode)[-3:] == "600"
    for key in (esp.GOOD_KEY, esp.OTHER_KEY):
        assert bytes.fromhex(key[2:]) not in path.read_bytes()
    through_flow = replayed(path, "--dport", "5000")
    assert [line["match"] for line in through_flow[:-1]] == ["ipsec"] * 5
    other = tmp_path / "other.whydrop"
    replayed(path, "--write", str(other), "--anonymize")
    lines = replayed(other)
    assert lab.b.v4 not in json.dumps(lines)
    assert [line["cause"]["id"] for line in lines[:-1]] == [line["cause"]["id"] for line in done.lines]
