"""Drops that died in netfilter, and a host whose firewall answers as told."""

from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.host import Host
from dropwatch.model.drop import Frame, Netns, Where
from dropwatch.model.netfilter import NetfilterNote


class Listings:
    """All three kinds of listings; `None` is a namespace that is gone."""

    def __init__(self, listed=None, nft=(), legacy=()) -> None:
        self.listed, self.nft, self.legacy = listed, tuple(nft), tuple(legacy)

    def rule(self, inode, note, not_before_ns, generation=0):
        if self.listed is None:
            raise FileNotFoundError(2, "gone")
        return self.listed

    def nft_tables(self, inode):
        return self.nft

    def legacy_tables(self, inode):
        return self.legacy


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
        answers = Listings(listed, nft, legacy)
        return Host(
            nft=answers,
            xt=answers,
            ebt=answers,
            read_conntrack=lambda inode: conntrack,
            read_queues=lambda inode: tuple(queues),
            read_route=lambda inode, address, mark: route,
        )

    return build


@pytest.fixture
def judged():
    """The cause's id, None when unknown, and the verdict."""

    def judge(drop, host):
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge
