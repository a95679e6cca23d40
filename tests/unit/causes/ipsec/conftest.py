"""Packets that came in or are to leave through IPsec, and a host that is asked about them."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.interfaces import IpsecInterface
from dropwatch.model.change import Change
from dropwatch.model.drop import Drop, Event, Frame, Netns, Packet, Where
from dropwatch.model.ipsec import (
    GoneState,
    XfrmNote,
    XfrmPolicy,
    XfrmState,
)
from tests.unit.causes.ipsec import inbound
from tests.unit.causes.ipsec.outbound import DROPPED_AT, NO_DF, TIME
from tests.unit.causes.verdicts import Judged
from tests.unit.told_host import ToldHost


@pytest.fixture
def leaving(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    """A packet on its way out; `note` are fields of its XfrmNote."""

    def build(
        place: str = "xfrm_output_resume",
        reason: str | None = None,
        note: dict[str, Any] | None = None,
        stack: tuple[str, ...] = (),
        raw: bytes = NO_DF,
        source: str = "kfree_skb",
        **packet: Any,
    ) -> Drop:
        frames = tuple(Frame(name, 1, None, 0) for name in (place, *stack))
        xfrm = XfrmNote(**note) if note is not None else None
        return make_drop(
            make_packet(**packet),
            make_event(xfrm=xfrm, packet=raw, source=source),
            time=TIME,
            where=Where(frames[0], "ipsec", "out"),
            stack=frames,
            reason=reason,
        )

    return build


@pytest.fixture
def judged() -> Judged:
    def judge(
        drop: Drop,
        *policies: XfrmPolicy,
        states: tuple[XfrmState, ...] = (),
        gone: tuple[GoneState, ...] = (),
        interfaces: dict[int, int | IpsecInterface] | None = None,
        mtu: int | None = None,
        changes: dict[Change, int | None] | None = None,
    ) -> Any:
        """`changes` are the times of the last one of each kind, None: nobody knows."""
        found = {
            index: IpsecInterface("xfrm", one) if isinstance(one, int) else one
            for index, one in (interfaces or {}).items()
        }
        host = ToldHost(
            xfrm=XfrmConfig(states, policies, DROPPED_AT + 2_000_000),
            xfrm_interfaces=found,
            mtu=mtu,
            gone_states=tuple(gone),
            last_change=lambda inode, kind, read_at: (changes or {}).get(kind, 0),
        )
        cause, verdict = diagnose(drop, host)
        return (cause.id if cause is not None else None), verdict

    return judge


@pytest.fixture
def esp(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Callable[..., Drop]:
    def build(note: XfrmNote, function: str = "xfrm_input", netns: str | None = "b", **packet: Any) -> Drop:
        fields = {"proto": "esp", "sport": None, "dport": None, "spi": 0x1001, "seq": 7} | packet
        frame = Frame(function, 0x1DF, None, 0)
        return make_drop(
            make_packet(**fields),
            make_event(xfrm=note),
            time=inbound.TIME,
            where=Where(frame, "ipsec", "in"),
            netns=Netns(4026532234, netns),
        )

    return build
