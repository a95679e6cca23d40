"""Whose packet it was: a process that throws away what another one sent is not told to have sent it."""

import os
import sys

from scenarios import traffic
from scenarios.blame import deaths
from scenarios.firewalls import nft
from scenarios.namespaces import Lab
from scenarios.outgoing import shown
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop

THEIRS, OURS = 5940, 5941
SENDS = """import socket, sys, time
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"theirs", (sys.argv[1], int(sys.argv[2])))
time.sleep(600)"""


def test_the_oldest_in_a_neighbours_queue_is_not_the_newest_ones_senders(lab: Lab, whydrop: Whydrop) -> None:
    """Nobody has the address: what is sent waits, until what comes later pushes it out."""
    nobody = f"{lab.b.v4.rpartition('.')[0]}.77"
    lab.a.run(f"sysctl -qw net.ipv4.neigh.{lab.a.iface}.unres_qlen_bytes=8192")
    lab.a.run(f"sysctl -qw net.ipv4.neigh.{lab.a.iface}.mcast_solicit=600")
    lab.a.start(f"{sys.executable} -c '{SENDS}' {nobody} {THEIRS}")
    eventually(lambda: nobody in lab.a.run("ip neigh show nud all").stdout, "the other one has sent")
    traffic.datagrams(lab.a, nobody, [OURS] * 41)
    (theirs,) = deaths(whydrop, lab.a, 1, THEIRS)
    assert theirs["where"]["function"].startswith("__neigh_event_send"), shown([theirs])
    assert theirs["process"] is None, shown([theirs])
    ours = whydrop.wait_for(lambda line: line["packet"]["dport"] == OURS, 5)
    for line in ours:
        assert line["where"]["function"].startswith("__neigh_event_send"), shown([line])
        assert (line["process"] or {}).get("pid") == os.getpid(), shown([line])


def test_what_a_process_sends_is_its_own(lab: Lab, whydrop: Whydrop) -> None:
    nft(
        lab.a,
        f"table inet t {{ chain c {{ type filter hook output priority 0; udp dport {OURS + 1} drop }} }}",
    )
    traffic.datagrams(lab.a, lab.b.v4, [OURS + 1] * 3)
    for line in deaths(whydrop, lab.a, 3, OURS + 1):
        assert (line["process"] or {}).get("pid") == os.getpid(), shown([line])
