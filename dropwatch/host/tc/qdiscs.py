"""The qdiscs of a device: how they hang together, what each is limited to, what it holds and has dropped."""

import struct
import sys
from collections.abc import Callable
from dataclasses import replace

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.host.tc.messages import STATS2, Message, dump, number, queue_stats
from dropwatch.model.dataclass import dataclass

ROOT = 0xFFFFFFFF
"""TC_H_ROOT: the parent of the qdisc that a device has."""
CLASSFUL = frozenset({"htb", "hfsc", "drr", "qfq", "ets", "cbq"})
"""Kinds in which a packet needs a class."""
_GETQDISC, _NEWQDISC, _GETTCLASS, _NEWTCLASS = 38, 36, 42, 40  # RTM_*
_MAJOR = 0xFFFF0000
_U64, _U32, _U16 = struct.Struct("=Q"), struct.Struct("=I"), struct.Struct("=H")
_FIFO = {"pfifo": "p", "pfifo_head_drop": "p", "bfifo": "b"}
_LIMIT_OF = {"fq_codel": 2, "codel": 2, "pie": 2, "fq": 1, "fq_pie": 1}  # TCA_*_LIMIT, in packets
_NETEM = struct.Struct("=IIIIII")  # struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter
_SFQ = struct.Struct("=IiI")  # struct tc_sfq_qopt: quantum, perturb, limit, ...
_TBF = struct.Struct(
    "=8xI12xIII"
)  # struct tc_tbf_qopt: rate (its last member), peak rate, limit, buffer, mtu
_HTB = struct.Struct("=IIIII")  # struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts
_PARMS, _HTB_INIT, _HTB_DIRECT_QLEN, _TBF_RATE64, _NETEM_LOSS = 1, 2, 5, 4, 5  # TCA_*
_APP_STATS, _HORIZON_AT = 4, 88  # TCA_STATS_APP; horizon_drops of struct tc_fq_qd_stats
_TICK_NS, _NS = 64, 1_000_000_000  # a tick of psched (PSCHED_SHIFT)


@dataclass(frozen=True, slots=True)
class Qdisc:
    """`limit` is in packets or bytes (`unit` p or b); of htb it is that of the queue for what has no class.

    `loss` is a probability, 1.0 where a model decides it (`by_model`). `burst` are the bytes that tbf sends at once,
    more than which no packet may have. `default_class` is the minor number of the class for what no filter tells.
    `horizon` are those of its drops that fq counts as sent for a time too far away, None of other kinds.
    """

    kind: str
    handle: int
    parent: int
    limit: int | None = None
    unit: str = "p"
    qlen: int = 0
    backlog: int = 0
    drops: int = 0
    loss: float | None = None
    rate: int | None = None
    burst: int | None = None
    default_class: int | None = None
    classes: tuple[int, ...] = ()
    horizon: int | None = None
    by_model: bool = False

    @property
    def is_full(self) -> bool:
        """Of packets; of bytes, that what it holds is near the limit: one more packet may be too many."""
        if self.limit is None:
            return False
        return self.qlen >= self.limit if self.unit == "p" else self.backlog >= self.limit // 2


def read_qdiscs(netns_inode: int, ifindex: int) -> tuple[Qdisc, ...]:
    """Those of the device of this index, default ones among them. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        found = dump(_GETQDISC, _NEWQDISC, ifindex, qdisc_of)
        if not any(one.kind in CLASSFUL for one in found):
            return found
        classes = dump(_GETTCLASS, _NEWTCLASS, ifindex, lambda message: message.handle)
    return tuple(replace(one, classes=_classes(one, classes)) for one in found)


def _classes(qdisc: Qdisc, classes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({one for one in classes if one & _MAJOR == qdisc.handle & _MAJOR and one & ~_MAJOR}))


def qdisc_of(message: Message) -> Qdisc:
    """Raises struct.error for one that cannot be read."""
    stats, kind, options = queue_stats(message.attributes), message.kind, message.options
    bare = Qdisc(kind, message.handle, message.parent, None, "p", stats.qlen, stats.backlog, stats.drops)
    if kind == "fq":
        bare = replace(bare, horizon=_horizon_drops(message.attributes))
    if kind in _FIFO:
        return replace(bare, limit=_U32.unpack_from(options)[0], unit=_FIFO[kind])
    if kind in _LIMIT_OF:
        return replace(bare, limit=number(netlink.attributes(options), _LIMIT_OF[kind]))
    read = _SETTINGS.get(kind)
    return read(bare, options) if read is not None else bare


def _horizon_drops(attributes: dict[int, bytes]) -> int | None:
    """Kernels before 5.8 do not count them."""
    stats = netlink.attributes(attributes.get(STATS2, b"")).get(_APP_STATS, b"")
    return int(_U64.unpack_from(stats, _HORIZON_AT)[0]) if len(stats) >= _HORIZON_AT + _U64.size else None


def _netem(bare: Qdisc, options: bytes) -> Qdisc:
    _, limit, loss, *_ = _NETEM.unpack_from(options)
    by_model = _NETEM_LOSS in netlink.attributes(options[_NETEM.size :])
    return replace(bare, limit=limit, loss=1.0 if by_model else loss / 0xFFFFFFFF, by_model=by_model)


def _sfq(bare: Qdisc, options: bytes) -> Qdisc:
    return replace(bare, limit=_SFQ.unpack_from(options)[2])


def _red(bare: Qdisc, options: bytes) -> Qdisc:
    return replace(bare, limit=number(netlink.attributes(options), _PARMS), unit="b")


def _tbf(bare: Qdisc, options: bytes) -> Qdisc:
    found = netlink.attributes(options)
    rate, limit, buffer, _ = _TBF.unpack_from(found[_PARMS])
    if _TBF_RATE64 in found:
        rate = int.from_bytes(found[_TBF_RATE64], sys.byteorder)
    return replace(bare, limit=limit, unit="b", rate=rate, burst=rate * buffer * _TICK_NS // _NS)


def _htb(bare: Qdisc, options: bytes) -> Qdisc:
    found = netlink.attributes(options)
    default = _HTB.unpack_from(found[_HTB_INIT])[2]
    return replace(bare, limit=number(found, _HTB_DIRECT_QLEN), default_class=default)


def _hfsc(bare: Qdisc, options: bytes) -> Qdisc:
    return replace(bare, default_class=_U16.unpack_from(options)[0])


_SETTINGS: dict[str, Callable[[Qdisc, bytes], Qdisc]] = {
    "netem": _netem,
    "sfq": _sfq,
    "red": _red,
    "tbf": _tbf,
    "htb": _htb,
    "hfsc": _hfsc,
}
