"""What whydrop may do while it watches, and what it says where it may not do all that it needs."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
from scenarios import traffic
from scenarios.firewalls import nft
from scenarios.namespaces import Lab
from scenarios.waiting import eventually
from scenarios.whydrop_process import WHYDROP, Line, Whydrop

from dropwatch.privilege.capabilities import KEPT

PORT = 5077
FIVE = "+bpf,+perfmon,+net_admin,+sys_admin,+syslog"
AS_A_USER = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"]


def capabilities(pid: int) -> dict[str, int]:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs")}


@pytest.mark.twice
def test_what_is_not_needed_is_given_up_and_nothing_is_lost(lab: Lab) -> None:
    """In another namespace, by a rule that a tool lists: as with all capabilities."""
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0; udp dport {PORT} drop }} }}")
    kept = sum(1 << capability for capability in KEPT)
    with Whydrop("--dport", str(PORT)) as whydrop:
        eventually(lambda: capabilities(whydrop.pid)["CapEff"] == kept, "it gives up what it does not need")
        assert capabilities(whydrop.pid) == {"CapPrm": kept, "CapEff": kept, "CapBnd": kept, "NoNewPrivs": 1}
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * 7)
        found = whydrop.wait_for(lambda line: line["type"] == "drop", 7)
        done = whydrop.finish()
    assert {line["object"]["kind"] for line in found} == {"nft-rule"}
    assert (done.status, done.refused) == (0, []), done.stderr
    assert done.end is not None
    assert not [spot for spot in done.end["blind_spots"] if "CAP_" in spot or "permitted" in spot]


@pytest.mark.once
def test_the_command_may_what_the_caller_may() -> None:
    done = subprocess.run(
        [
            str(WHYDROP),
            "--json",
            "--dport",
            str(PORT),
            "--",
            "grep",
            "-E",
            "CapEff|CapBnd|NoNew",
            "/proc/self/status",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = [line.split("\t") for line in done.stderr.splitlines() if line.startswith(("Cap", "NoNew"))]
    mine = Path("/proc/self/status").read_text()
    assert len(shown) == 3, done.stderr
    assert all("\t".join(words) in mine for words in shown)


def others_may_start(program: Path) -> bool:
    """It, and what it is a link to, stand where everybody may go."""
    return all(
        parent.stat().st_mode & stat.S_IXOTH
        for path in (program, program.resolve())
        for parent in path.parents
    )


BY_A_USER = (
    [*AS_A_USER, f"--inh-caps={FIVE}", f"--ambient-caps={FIVE}"],
    ("CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
)
WITHOUT = [
    ([*("setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}")], (f"CAP_{name.upper()}",))
    for name in ("syslog", "sys_ptrace", "net_admin", "dac_read_search")
]


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "missing"),
    [*WITHOUT, *([BY_A_USER] if others_may_start(WHYDROP.parent / "python3") else [])],
)
def test_what_a_missing_capability_takes_away_is_said(words: list[str], missing: tuple[str, ...]) -> None:
    """And the end is one: a closing line, and nothing left behind (the fixtures of the scenarios look)."""
    done = subprocess.run(
        [*words, str(WHYDROP), "--json", "--dport", str(PORT), "--duration", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    end: Line = json.loads(done.stdout.splitlines()[-1])
    assert end["type"] == "end", done.stdout
    told = [spot for spot in end["blind_spots"] if "CAP_" in spot]
    assert len(told) == len(missing), end["blind_spots"]
    assert all(any(name in spot for spot in told) for name in missing), told
