"""A storm of two causes beside three single drops, and all who hear of it: each packet of each of the five is told."""

import json
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scenarios.firewalls import load_modules, nft, nft_rules, the_rule
from scenarios.floods import flood_command, no_ports
from scenarios.namespaces import Lab
from scenarios.test_watch import last, recorder
from scenarios.traffic import datagrams, open_socket, spoilt_datagram
from scenarios.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from tests.unit.watch.collectors import Collected
    from tests.unit.watch.engines import Sample

REFUSED, CLOSED, ELSEWHERE = 7610, 7611, "203.0.113.9"
STORM = {REFUSED: 100_003, CLOSED: 100_019}
NO_PROTOCOL = 253  # for experiments (RFC 3692)
SINGLE = ("malformed.udp-checksum", "routing.forwarding-off", "socket.protocol-unhandled")
STORMY = "netfilter.nft-rule", "socket.udp-no-listener"
CAUSES = (*STORMY, *SINGLE)  # who asks a collector that is not there loses packets of his own
BY_CAUSE = f'sum by (cause) (whydrop_drops_total{{cause=~"{"|".join(CAUSES)}"}})'
JOURNAL = Path("/run/log/journal")


@contextmanager
def journald() -> Iterator[None]:
    """As at a boot: it makes its own sockets."""
    Path("/run/systemd/journal").mkdir(parents=True, exist_ok=True)
    JOURNAL.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["/lib/systemd/systemd-journald"], stderr=subprocess.DEVNULL) as process:
        try:
            eventually(Path("/run/systemd/journal/socket").exists, "journald listens")
            yield
        finally:
            process.kill()
            process.wait()
            shutil.rmtree("/run/systemd/journal")
            shutil.rmtree(JOURNAL)


def in_the_journal(cause: str) -> int:
    """Packets, of all entries that have this field."""
    words = ["journalctl", "-t", "whydrop", f"CAUSE={cause}", "-o", "json", "--no-pager"]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return sum(int(json.loads(line)["COUNT"]) for line in shown.splitlines())


def collected(collector: "Collected") -> Counter[str]:
    """Packets by cause."""
    found = Counter[str]()
    for record in list(collector.records):
        about = {one.key: one.value for one in record.attributes}
        if about["whydrop.cause.id"].string_value in CAUSES:
            found[about["whydrop.cause.id"].string_value] += about["whydrop.count"].int_value
    return found


def send_single(lab: Lab) -> None:
    """One packet of each of SINGLE."""
    spoilt_datagram(lab.a, (lab.a.v4, lab.b.v4), (41112, CLOSED), cut=False)
    datagrams(lab.a, ELSEWHERE, [CLOSED])
    with open_socket(lab.a, socket.AF_INET, socket.SOCK_RAW, NO_PROTOCOL) as sender:
        sender.sendto(b"datagram", (lab.b.v4, 0))


@pytest.mark.once
def test_a_storm_hides_no_single_drop_from_anybody(lab: Lab, tmp_path: Path) -> None:
    from tests.unit.watch.collectors import Collected
    from tests.unit.watch.engines import engine

    load_modules()
    rule = f"udp dport {REFUSED} counter drop"
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority 0;\n{rule}\n}} }}")
    lab.a.configure(f"route add {ELSEWHERE} via {lab.b.v4}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    collector = Collected()
    told = ["--listen", str(port), "--otlp", f"http://127.0.0.1:{collector.server_port}", "--journal"]
    store, before = tmp_path / "store" / "drops.sqlite", no_ports(lab.b)
    with (
        journald(),
        recorder(store, tmp_path, "--no-light", *told) as process,
        engine("prometheus", tmp_path, {"b": port}, PATIENCE) as prometheus,
        subprocess.Popen(flood_command(lab.a, lab.b.v4, STORM)) as storm,
    ):
        eventually(lambda: len(collected(collector)) == 2, "the collector has heard of both")
        heard, at = list(collector.records), collector.server_port
        collector.go()
        send_single(lab)
        assert storm.poll() is None, "they are sent while it storms"
        assert storm.wait() == 0
        refused = the_rule(nft_rules(lab.b), f"dport {REFUSED}").packets or 0
        counts = dict(zip(STORMY, (refused, no_ports(lab.b) - before), strict=True))
        assert list(counts.values()) == list(STORM.values())
        counts |= dict.fromkeys(SINGLE, 1)
        wanted: list[Sample] = [({"cause": cause}, packets) for cause, packets in counts.items()]
        prometheus.wait_for(BY_CAUSE, wanted)
        prometheus.wait_for("sum(whydrop_matched_total) - sum(whydrop_object_drops_total)", [({}, 0)])
        prometheus.wait_for("sum(whydrop_lost_total)", [({}, 0)])
        collector = Collected(at)
        collector.records += heard
        eventually(lambda: set(SINGLE) <= set(collected(collector)), "what waited for the collector has come")
        process.terminate()
        assert process.wait() == 0
        assert collected(collector) == counts
        assert {cause: in_the_journal(cause) for cause in counts} == counts
    collector.go()
    died = Counter[str]()
    for line in last(store, lab.b.name):
        if line["type"] == "died":
            died[line["finding"]["cause"]["id"]] += line["packets"]
    assert died == counts
