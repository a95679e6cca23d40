"""What is said of packets that another function at a netfilter hook refused."""

from collections.abc import Callable

import pytest

from dropwatch.host.bpf.links import NetfilterLink
from dropwatch.model.drop import Drop
from dropwatch.model.netfilter import HookNote
from tests.unit.causes.verdicts import Judged
from tests.unit.told_host import ToldHost


def test_synproxy_at_its_hook(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(hook=HookNote("ipv4_synproxy_hook")), firewall())
    assert (cause, verdict.confidence) == ("netfilter.synproxy", "certain")


def test_a_bpf_program_at_a_hook(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    cause, verdict = judged(refused(hook=HookNote("nf_hook_run_bpf", 42, "drop_dns")), firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "certain")
    assert verdict.culprit.kind == "bpf-program"
    assert verdict.culprit.text == "id 42 name drop_dns at a netfilter hook"
    assert verdict.fix[0].command == "bpftool prog show id 42"


def test_the_hook_of_a_bpf_program(refused: Callable[..., Drop], judged: Judged) -> None:
    drop = refused(hook=HookNote("nf_hook_run_bpf", 42, "drop_dns"))
    link = NetfilterLink("ip", "input", -50)
    _, verdict = judged(drop, ToldHost(netfilter_links=(link,)))
    assert verdict.culprit.attached_to == "netfilter hook ip input, priority -50"
    _, verdict = judged(drop, ToldHost(netfilter_links=(link, link)))
    assert verdict.culprit.attached_to == "a netfilter hook"


def test_a_known_and_an_unknown_function(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
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
def test_a_table_is_no_other_hook(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged, function: str
) -> None:
    assert judged(refused(hook=HookNote(function)), firewall())[0] is None


def test_a_function_that_frees_by_itself(
    refused: Callable[..., Drop], firewall: Callable[..., ToldHost], judged: Judged
) -> None:
    drop = refused(("ip_vs_leave", "ip_vs_in_hook", "nf_hook_slow", "ip_local_deliver"), "NOT_SPECIFIED")
    cause, verdict = judged(drop, firewall())
    assert (cause, verdict.confidence) == ("netfilter.hook-other", "likely")
    deeper = refused(("pfifo_enqueue", "ip_vs_in_hook", "nf_hook_slow"), "NOT_SPECIFIED")
    assert judged(deeper, firewall())[0] != "netfilter.hook-other"
