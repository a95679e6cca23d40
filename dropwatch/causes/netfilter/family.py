"""The judge of netfilter: a rule or policy that the probes blame, else one of the engines beside the rules."""

from dropwatch.causes.family import Family, Judgement, first_of
from dropwatch.causes.netfilter import conntrack_signs, hook_signs, left_over_signs, queue_signs
from dropwatch.causes.netfilter.engines import ENGINES
from dropwatch.causes.netfilter.responsible_rule import blame
from dropwatch.causes.netfilter.rule_verdict import rule_verdict
from dropwatch.causes.netfilter.rules import RULES
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_BESIDE_THE_RULES = (
    ("netfilter.conntrack-full", conntrack_signs.conntrack_full),
    ("netfilter.conntrack-invalid", conntrack_signs.conntrack_refused),
    ("netfilter.conntrack-invalid", conntrack_signs.not_translated),
    ("netfilter.conntrack-clash", conntrack_signs.conntrack_clash),
    ("netfilter.nat-icmp", conntrack_signs.icmp_not_translated),
    ("netfilter.queue-unheard", queue_signs.queue_unheard),
    ("netfilter.queue-verdict", queue_signs.queue_verdict),
    ("netfilter.synproxy", hook_signs.synproxy_hook),
    ("netfilter.hook-other", hook_signs.hook_other),
    ("netfilter.hook-other", left_over_signs.left_over),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    found = blame(drop, host)
    if found is not None:
        return found.cause_id, rule_verdict(drop, host, found)
    return first_of(_BESIDE_THE_RULES, drop, host)


NETFILTER = Family("netfilter", (*RULES, *ENGINES), _judge)
