"""Drops that died in netfilter or with given bytes, and a host whose firewall answers as told."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.conntrack import ConntrackTable
from dropwatch.host.host import Host
from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.host.nfqueue import Queue
from dropwatch.host.route import Route
from dropwatch.model.drop import Drop, Event, Frame, Interface, Netns, Packet, Where
from dropwatch.model.netfilter import NetfilterNote
from dropwatch.packet.parse import parse_event
from tests.unit.causes.verdicts import Judged
from tests.unit.told_host import ToldHost


@pytest.fixture
def refused(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    """A drop with netfilter notes; `stack` are function names from the place of death outwards."""

    def build(
        stack: tuple[str, ...] = ("nf_hook_slow",),
        reason: str | None = "NETFILTER_DROP",
        netns: str | None = "b",
        iface: Interface | None = None,
        **fields: Any,
    ) -> Drop:
        notes = {
            key: fields.pop(key)
            for key in ("nft", "xt", "ebt", "conntrack", "queue", "hook", "at_hooks")
            if key in fields
        }
        note = NetfilterNote(**notes) if notes else None
        process = fields.pop("process", None)
        task = fields.pop("task", process)
        frames = tuple(Frame(name, 1, None, 0) for name in stack)
        drop = make_drop(make_packet(**fields), make_event(netfilter=note))
        return replace(
            drop,
            where=Where(frames[0], "netfilter", "in"),
            stack=frames,
            reason=reason,
            netns=Netns(4026532234, netns),
            process=process,
            task=task,
            iface=iface if iface is not None else drop.iface,
        )

    return build


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., Event]) -> Callable[..., Drop]:
    """A drop with these bytes at `place`, the first of `way`, outwards; parsed as a run does it."""

    def build(
        place: str,
        packet: bytes,
        *way: str,
        reason: str | None = "NOT_SPECIFIED",
        ifindex: int = 2,
        link: bytes = b"",
        protocol: int = 0x0800,
    ) -> Drop:
        event = make_event(packet=packet, length=len(packet), ifindex=ifindex, link=link, protocol=protocol)
        frames = tuple(Frame(name, 1, None, 0) for name in (place, *way))
        drop = make_drop(event=event, reason=reason, iface=Interface(ifindex, "eth0"))
        return replace(
            drop, packet=parse_event(drop.event), where=Where(frames[0], "tunnel", "in"), stack=frames
        )

    return build


@pytest.fixture
def firewall() -> Callable[..., Host]:
    """A host with one answer for whatever rule is asked for."""

    def build(
        listed: Any = None,
        nft: Iterable[str] = (),
        legacy: Iterable[str] = (),
        conntrack: ConntrackTable | None = None,
        queues: Iterable[Queue] = (),
        route: Route | None = None,
        last_change: int | None = 0,
    ) -> ToldHost:
        return ToldHost(
            nft_rule=listed,
            xt_rules=listed or (),
            ebt_rule=listed,
            firewalls=Firewalls(tuple(nft), tuple(legacy)),
            conntrack=conntrack,
            queues=tuple(queues),
            route_back=route,
            last_change=last_change,
        )

    return build


@pytest.fixture
def judged() -> Judged:
    """The cause's id, None when unknown, and the verdict."""

    def judge(drop: Drop, host: Host) -> Any:
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge
