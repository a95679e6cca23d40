"""What an action of traffic control does to a packet, and what its counters say."""

import struct
import sys

from dropwatch.host import netlink
from dropwatch.host.tc.messages import KIND, OPTIONS, number, queue_stats
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

SHOT = 2
"""TC_ACT_SHOT"""
_STATS = 4  # TCA_ACT_STATS
_POLICE_TBF, _POLICE_RATE64 = 1, 8  # TCA_POLICE_*
# struct tc_police: index, action, limit, burst, mtu, rate (struct tc_ratespec: its last member)
_POLICE = struct.Struct("=IiIII8xI")
_GENERAL = struct.Struct("=IIi")  # tc_gen: index, capab, action; the beginning of the settings of all others
_MIRRED = struct.Struct("=IIiiiiI")  # struct tc_mirred: tc_gen, eaction, ifindex
_PARMS = {"mirred": 2, "gact": 2, "bpf": 2}  # TCA_*_PARMS
_REDIRECTS = frozenset({1, 3})  # TCA_EGRESS_REDIR, TCA_INGRESS_REDIR
_BPF_NAME, _BPF_TAG, _BPF_ID = 6, 8, 9  # TCA_ACT_BPF_*
_TICK_NS, _NS = 64, 1_000_000_000
_HARMLESS = frozenset({"skbedit", "sample", "mark", "skbmod"})


@dataclass(frozen=True, slots=True)
class Action:
    """`verdict` is TC_ACT_* that it gives, of police for what is over its rate, which is `rate` bytes a second and
    `burst` bytes at once.

    `to` is the index of the device that mirred sends to. `drops` are those that its counter tells.
    """

    kind: str
    verdict: int | None = None
    drops: int = 0
    overlimits: int = 0
    rate: int | None = None
    burst: int | None = None
    to: int | None = None
    program: int | None = None
    name: str | None = None

    @property
    def may_drop(self) -> bool:
        """No counter and no setting of it says that it has dropped nothing."""
        if self.kind == "gact":
            return self.verdict == SHOT and self.drops > 0
        if self.kind == "police":
            return self.drops + self.overlimits > 0
        if self.kind == "mirred":
            return self.to is not None and self.overlimits > 0
        return self.kind not in _HARMLESS


def actions_of(nest: bytes) -> tuple[Action, ...]:
    """From the list of the actions of a filter, in their order. Raises struct.error for one that cannot be read."""
    return tuple(_action(netlink.attributes(each)) for _, each in netlink.walk(nest))


def _action(about: dict[int, bytes]) -> Action:
    kind = foreign(about.get(KIND, b"").partition(b"\0")[0])
    options = netlink.attributes(about.get(OPTIONS, b""))
    stats = queue_stats(about, _STATS)
    if kind == "police":
        return _police(options, stats.drops, stats.overlimits)
    parms = options.get(_PARMS.get(kind, 0), b"")
    if kind == "mirred":
        *_, effect, ifindex = _MIRRED.unpack_from(parms)
        return Action(kind, None, stats.drops, stats.overlimits, to=ifindex if effect in _REDIRECTS else None)
    verdict = _GENERAL.unpack_from(parms)[2] if parms else None
    if kind != "bpf":
        return Action(kind, verdict, stats.drops, stats.overlimits)
    name = foreign(options[_BPF_NAME].partition(b"\0")[0]) if _BPF_NAME in options else None
    program = number(options, _BPF_ID)
    return Action(kind, verdict, stats.drops, stats.overlimits, program=program, name=name)


def police_of(options: bytes) -> Action:
    """A policer that is no action: its counters are not told."""
    return _police(netlink.attributes(options), 0, 1)


def _police(options: dict[int, bytes], drops: int, overlimits: int) -> Action:
    parms = options.get(_POLICE_TBF, b"")
    _, verdict, _, ticks, _, rate = _POLICE.unpack_from(parms)
    if _POLICE_RATE64 in options:
        rate = int.from_bytes(options[_POLICE_RATE64], sys.byteorder)
    return Action("police", verdict, drops, overlimits, rate, rate * ticks * _TICK_NS // _NS)
