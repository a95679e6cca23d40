"""NFQUEUE: what is said of packets that a queue did not take, or whose program said drop."""

import errno
from collections.abc import Callable

import pytest

from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.nfqueue import Queue
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Drop, Process
from dropwatch.model.netfilter import ConntrackNote, HookNote, NftChain, NftNote, QueueNote
from tests.unit.causes.verdicts import Judged, commands, said
from tests.unit.told_host import ToldHost

DROP_NS = 83521935614
NFT_QUEUE = NftNote(
    "rule", "inet", "f", 2, NftChain(1, "in"), 1, 0, "accept", NftChain(1, "in"), 4, "nft_queue_eval"
)
QUEUE_RULE = ListedRule(
    NftRule("udp dport 5000 queue to 5", "inet", "f", "in", 4), "nft", "nft -a list chain inet f in"
)
LISTENER = Queue(5, 812, 1024, 7, 0, Process(812, "suricata"), DROP_NS + 3_000_000)
VERDICT = ("nf_reinject", "nfqnl_reinject", "nfqnl_recv_verdict", "nfnetlink_rcv_msg", "netlink_sendmsg")


@pytest.mark.parametrize("sign", [1, -1])
def test_nobody_listens(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged, sign: int
) -> None:
    drop = refused(("nf_queue", "nf_hook_slow"), None, queue=QueueNote(5, sign * errno.ESRCH))
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert verdict.title == "NFQUEUE: no program is bound to queue 5"
    assert verdict.culprit.text == "queue 5"
    assert "after the drop: no program is bound to queue 5" in said(verdict)


def test_the_queue_is_full(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(("nf_queue",), "NOT_SPECIFIED", queue=QueueNote(5, errno.ENOSPC), nft=NFT_QUEUE)
    cause, verdict = judged(drop, firewall(QUEUE_RULE, queues=[LISTENER]))
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert verdict.title == "NFQUEUE: queue 5 is full"
    assert verdict.culprit.text == "udp dport 5000 queue to 5"
    assert "3.0 ms after the drop: queue 5 belongs to suricata (pid 812): 1024 packets wait" in said(verdict)


def test_a_queue_that_nobody_saw_is_likely(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(("nf_queue",), None), firewall())
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.queue-unheard", "likely", None)


def test_a_bypassed_queue_is_not_blamed(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(("nf_hook_slow",), None, queue=QueueNote(5, errno.ESRCH))
    assert judged(drop, firewall())[0] is None


def test_the_verdict_of_a_program(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(VERDICT, None, process=Process(812, "suricata"))
    cause, verdict = judged(drop, firewall(queues=[LISTENER]))
    assert (cause, verdict.confidence) == ("netfilter.queue-verdict", "certain")
    assert verdict.culprit is None, "which queue it had at the drop nobody saw"
    assert "suricata (pid 812) sent the verdict for its queue" in said(verdict)
    assert "after the drop: it is bound to queue 5" in said(verdict)
    drop = refused(VERDICT, None, process=Process(812, "suricata"), queue=QueueNote(5, None))
    _, verdict = judged(drop, firewall(queues=[LISTENER]))
    assert verdict.culprit.text == "queue 5"
    assert "suricata (pid 812) sent the verdict for queue 5" in said(verdict)


def test_the_program_that_listens_is_asked_whoever_it_is(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    snort = Process(99, "snort")
    _, verdict = judged(
        refused(VERDICT, None, queue=QueueNote(5, None), process=snort), firewall(queues=[LISTENER])
    )
    assert commands(verdict)[0] == "journalctl _PID=99 -e"
    _, verdict = judged(refused(VERDICT, None, queue=QueueNote(5, None)), firewall(queues=[LISTENER]))
    assert commands(verdict)[0] == "journalctl _PID=812 -e"
    _, verdict = judged(refused(VERDICT, None), firewall())
    assert commands(verdict)[0] == "ip netns exec b cat /proc/net/netfilter/nfnetlink_queue"


def test_the_verdict_for_a_queue_that_a_rule_is_known_for(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(VERDICT, "NETFILTER_DROP", queue=QueueNote(5, None), nft=NFT_QUEUE)
    cause, verdict = judged(drop, firewall(QUEUE_RULE, queues=[LISTENER]))
    assert cause == "netfilter.queue-verdict"
    assert verdict.culprit.text == "udp dport 5000 queue to 5"
    assert "queue 5 belongs to suricata (pid 812)" in said(verdict)


def test_what_the_program_let_pass_may_die_at_the_next_hook(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    accepted = refused(
        VERDICT, None, queue=QueueNote(5, None), conntrack=ConntrackNote("__nf_conntrack_confirm")
    )
    assert judged(accepted, firewall())[0] == "netfilter.conntrack-clash"
    accepted = refused(VERDICT, None, queue=QueueNote(5, None), hook=HookNote("selinux_ip_postroute"))
    assert judged(accepted, firewall())[0] == "netfilter.hook-other"


def test_a_listener_that_went_away(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    stack = ("nf_reinject", "nfqnl_flush", "instance_destroy_rcu", "rcu_do_batch")
    cause, verdict = judged(refused(stack, None, queue=QueueNote(5, None)), firewall())
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert "unbound its queue" in verdict.title


@pytest.mark.parametrize("function", ["nfqnl_dev_drop", "nfqnl_nf_hook_drop"])
def test_packets_that_leave_the_queue_for_other_reasons(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged, function: str
) -> None:
    assert judged(refused(("nf_reinject", "nfqnl_flush", function), None), firewall())[0] is None
