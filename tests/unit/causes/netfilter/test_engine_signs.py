"""Conntrack, queues, SYNPROXY and other hook functions: what is said of each, and when nothing is."""

import errno

import pytest

from dropwatch.host.conntrack import ConntrackTable
from dropwatch.host.listed_rule import ListedRule
from dropwatch.host.nfqueue import Queue
from dropwatch.model.culprits import NftRule
from dropwatch.model.drop import Process
from dropwatch.model.netfilter import ConntrackNote, HookNote, NftChain, NftNote, QueueNote

DROP_NS = 83521935614
FULL = ConntrackNote(refused="nf_conntrack_in", table_full=True)
NFT_QUEUE = NftNote(
    "rule", "inet", "f", 2, NftChain(1, "in"), 1, 0, "accept", NftChain(1, "in"), 4, "nft_queue_eval"
)
QUEUE_RULE = ListedRule(
    NftRule("udp dport 5000 queue to 5", "inet", "f", "in", 4), "nft", "nft -a list chain inet f in"
)
LISTENER = Queue(5, 812, 1024, 7, 0, Process(812, "suricata"), DROP_NS + 3_000_000)
VERDICT = ("nf_reinject", "nfqnl_reinject", "nfqnl_recv_verdict", "nfnetlink_rcv_msg", "netlink_sendmsg")


def said(verdict):
    return "\n".join(f"{one.source}: {one.text}" for one in verdict.evidence)


@pytest.mark.parametrize(
    ("table", "limit", "confidence"),
    [
        (ConntrackTable(8, 8, 8, DROP_NS + 4_000_000), 8, "certain"),
        (ConntrackTable(8, 65536, 8, DROP_NS), 8, "certain"),
        (ConntrackTable(2, 8, None, DROP_NS), 8, "likely"),
    ],
)
def test_a_full_table(refused, firewall, judged, table, limit, confidence) -> None:
    cause, verdict = judged(refused(conntrack=FULL), firewall(conntrack=table))
    assert (cause, verdict.confidence) == ("netfilter.conntrack-full", confidence)
    assert verdict.culprit.kind == "sysctl"
    assert verdict.culprit.text == f"net.netfilter.nf_conntrack_max = {limit}"
    assert verdict.culprit.count == table.count
    assert f"{table.count} of {limit} entries" in said(verdict)


def test_a_full_table_that_cannot_be_read(refused, firewall, judged) -> None:
    cause, verdict = judged(refused(conntrack=FULL), firewall())
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.conntrack-full", "likely", None)


def test_conntrack_itself_refuses(refused, firewall, judged) -> None:
    note = ConntrackNote(refused="nf_conntrack_in", words="invalid SYN in state SYN_SENT")
    cause, verdict = judged(refused(conntrack=note), firewall())
    assert (cause, verdict.confidence) == ("netfilter.conntrack-invalid", "certain")
    assert "in the kernel's words: invalid SYN in state SYN_SENT" in said(verdict)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (ConntrackNote(refused="__nf_conntrack_confirm"), "another holds its addresses"),
        (ConntrackNote(refused="__nf_conntrack_confirm", nat=True), "NAT found no free port, or a clash"),
        (ConntrackNote(refused="nf_nat_inet_fn"), "NAT found no free address and port"),
    ],
)
def test_clashes(refused, firewall, judged, note, words) -> None:
    cause, verdict = judged(refused(conntrack=note), firewall())
    assert (cause, verdict.confidence) == ("netfilter.conntrack-clash", "certain")
    assert words in verdict.title


def test_conntrack_that_let_it_pass_is_not_blamed(refused, firewall, judged) -> None:
    assert judged(refused(conntrack=ConntrackNote(invalid=True)), firewall())[0] is None
    assert judged(refused(("udp_queue_rcv_one_skb",), None, conntrack=FULL), firewall())[0] is None


@pytest.mark.parametrize("sign", [1, -1])
def test_nobody_listens(refused, firewall, judged, sign) -> None:
    drop = refused(("nf_queue", "nf_hook_slow"), None, queue=QueueNote(5, sign * errno.ESRCH))
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert verdict.title == "NFQUEUE: no program listens to queue 5"
    assert verdict.culprit.text == "queue 5"
    assert "after the drop no program is bound to queue 5" in said(verdict)


def test_the_queue_is_full(refused, firewall, judged) -> None:
    drop = refused(("nf_queue",), "NOT_SPECIFIED", queue=QueueNote(5, errno.ENOSPC), nft=NFT_QUEUE)
    cause, verdict = judged(drop, firewall(QUEUE_RULE, queues=[LISTENER]))
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert verdict.title == "NFQUEUE: queue 5 is full"
    assert verdict.culprit.text == "udp dport 5000 queue to 5"
    assert "3 ms after the drop queue 5 belongs to suricata (pid 812): 1024 packets wait" in said(verdict)


def test_a_queue_that_nobody_saw_is_likely(refused, firewall, judged) -> None:
    cause, verdict = judged(refused(("nf_queue",), None), firewall())
    assert (cause, verdict.confidence, verdict.culprit) == ("netfilter.queue-unheard", "likely", None)


def test_a_bypassed_queue_is_not_blamed(refused, firewall, judged) -> None:
    drop = refused(("nf_hook_slow",), None, queue=QueueNote(5, errno.ESRCH))
    assert judged(drop, firewall())[0] is None


def test_the_verdict_of_a_program(refused, firewall, judged) -> None:
    drop = refused(VERDICT, None, process=Process(812, "suricata"))
    cause, verdict = judged(drop, firewall(queues=[LISTENER]))
    assert (cause, verdict.confidence) == ("netfilter.queue-verdict", "certain")
    assert verdict.culprit.text == "queue 5"
    assert "suricata (pid 812) sent the verdict for queue 5" in said(verdict)


def test_the_verdict_for_a_queue_that_a_rule_is_known_for(refused, firewall, judged) -> None:
    drop = refused(VERDICT, "NETFILTER_DROP", queue=QueueNote(5, None), nft=NFT_QUEUE)
    cause, verdict = judged(drop, firewall(QUEUE_RULE, queues=[LISTENER]))
    assert cause == "netfilter.queue-verdict"
    assert verdict.culprit.text == "udp dport 5000 queue to 5"
    assert "queue 5 belongs to suricata (pid 812)" in said(verdict)


def test_what_the_program_let_pass_may_die_at_the_next_hook(refused, firewall, judged) -> None:
    accepted = refused(
        VERDICT, None, queue=QueueNote(5, None), conntrack=ConntrackNote("__nf_conntrack_confirm")
    )
    assert judged(accepted, firewall())[0] == "netfilter.conntrack-clash"
    accepted = refused(VERDICT, None, queue=QueueNote(5, None), hook=HookNote("selinux_ip_postroute"))
    assert judged(accepted, firewall())[0] == "netfilter.hook-other"


def test_a_listener_that_went_away(refused, firewall, judged) -> None:
    stack = ("nf_reinject", "nfqnl_flush", "instance_destroy_rcu", "rcu_do_batch")
    cause, verdict = judged(refused(stack, None, queue=QueueNote(5, None)), firewall())
    assert (cause, verdict.confidence) == ("netfilter.queue-unheard", "certain")
    assert "went away" in verdict.title


@pytest.mark.parametrize("function", ["nfqnl_dev_drop", "nfqnl_nf_hook_drop"])
def test_packets_that_leave_the_queue_for_other_reasons(refused, firewall, judged, function) -> None:
    assert judged(refused(("nf_reinject", "nfqnl_flush", function), None), firewall())[0] is None


def test_synproxy_at_its_hook(refused, firewall, judged) -> None:
    cause, verdict = judged(refused(hook=HookNote("ipv4_synproxy_hook")), firewall())
    assert (cause, verdict.confidence) == ("netfilter.synproxy", "certain")


def test_a_bpf_program_at_a_hook(refused, firewall, judged) -> None:
    cause, verdict = judged(refused(hook=HookNote("nf_hook_run_bpf", 42, "drop_dns")), firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "certain")
    assert verdict.culprit.kind == "bpf-program"
    assert verdict.culprit.text == "id 42 name drop_dns"
    assert verdict.fix[0].command == "bpftool prog show id 42"


def test_a_known_and_an_unknown_function(refused, firewall, judged) -> None:
    cause, verdict = judged(refused(hook=HookNote("ip_vs_in_hook")), firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "certain")
    assert verdict.title == "IPVS drops it at a netfilter hook"
    assert verdict.fix[0].command == "ip netns exec b ipvsadm -Ln --stats"
    cause, verdict = judged(refused(hook=HookNote("my_hook")), firewall())
    assert cause == "netfilter.hook-other"
    assert verdict.title == "my_hook drops it at a netfilter hook"


@pytest.mark.parametrize(
    "function", ["ipt_do_table", "nft_do_chain_ipv4", "iptable_filter_hook", "nf_confirm"]
)
def test_a_table_is_no_other_hook(refused, firewall, judged, function) -> None:
    assert judged(refused(hook=HookNote(function)), firewall())[0] is None


def test_a_function_that_frees_by_itself(refused, firewall, judged) -> None:
    drop = refused(("ip_vs_leave", "ip_vs_in_hook", "nf_hook_slow", "ip_local_deliver"), "NOT_SPECIFIED")
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "likely")
    deeper = refused(("pfifo_enqueue", "ip_vs_in_hook", "nf_hook_slow"), "NOT_SPECIFIED")
    assert judged(deeper, firewall())[0] != "netfilter.hook-other"
