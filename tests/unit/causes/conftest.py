"""Drops that died in netfilter, and a host whose firewall answers as told."""

from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.model.drop import Frame, Netns, Where
from dropwatch.model.netfilter import NetfilterNote
from tests.unit.told_host import ToldHost


@pytest.fixture
def refused(make_drop, make_packet, make_event):
    """A drop with netfilter notes; `stack` are function names from the place of death outwards."""

    def build(stack=("nf_hook_slow",), reason="NETFILTER_DROP", netns="b", iface=None, **fields):
        notes = {
            key: fields.pop(key)
            for key in ("nft", "xt", "ebt", "conntrack", "queue", "hook", "at_hooks")
            if key in fields
        }
        note = NetfilterNote(**notes) if notes else None
        process = fields.pop("process", None)
        frames = tuple(Frame(name, 1, None, 0) for name in stack)
        drop = make_drop(make_packet(**fields), make_event(netfilter=note))
        return replace(
            drop,
            where=Where(frames[0], "netfilter", "in"),
            stack=frames,
            reason=reason,
            netns=Netns(4026532234, netns),
            process=process,
            iface=iface if iface is not None else drop.iface,
        )

    return build


@pytest.fixture
def firewall():
    """A host with one answer for whatever rule is asked for."""

    def build(listed=None, nft=(), legacy=(), conntrack=None, queues=(), route=None):
        return ToldHost(
            nft_rule=listed,
            xt_rules=listed or (),
            ebt_rule=listed,
            firewalls=Firewalls(tuple(nft), tuple(legacy)),
            conntrack=conntrack,
            queues=tuple(queues),
            route_back=route,
        )

    return build


@pytest.fixture
def judged():
    """The cause's id, None when unknown, and the verdict."""

    def judge(drop, host):
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge
