"""The filters of traffic control at one place of a device, and what their actions may do to a packet."""

import socket
from collections.abc import Iterator

from dropwatch.host import netlink
from dropwatch.host.netns.enter import entered
from dropwatch.host.tc.actions import Action, actions_of, police_of
from dropwatch.host.tc.messages import Message, dump, number
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
"""TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) and its egress."""
_GETTFILTER, _NEWTFILTER = 46, 44  # RTM_*
# Of each kind: the attribute with the actions, the one with a policer of its own, that of the class.
_ACTIONS = {
    "u32": 7,
    "flower": 3,
    "matchall": 2,
    "bpf": 1,
    "basic": 3,
    "fw": 4,
    "cgroup": 1,
    "flow": 9,
    "route": 6,
}
_POLICE = {"u32": 6, "bpf": 2, "basic": 4, "fw": 2, "cgroup": 2, "flow": 10, "route": 5}
_CLASS = {"u32": 1, "flower": 1, "matchall": 1, "bpf": 3, "basic": 1, "fw": 1, "route": 1}
_BPF_NAME, _BPF_FLAGS, _BPF_TAG, _BPF_ID, _DIRECT_ACTION = (
    7,
    8,
    10,
    11,
    1,
)  # TCA_BPF_*, TCA_BPF_FLAG_ACT_DIRECT
_PROTOCOLS = {3: "all", 0x0800: "ip", 0x86DD: "ipv6", 0x0806: "arp", 0x8100: "802.1Q"}


@dataclass(frozen=True, slots=True)
class Filter:
    """`program` is the number of a BPF program, `direct` says that it decides by itself. `class_id`: where it leads."""

    kind: str
    priority: int
    ethertype: int
    handle: int
    actions: tuple[Action, ...] = ()
    class_id: int | None = None
    program: int | None = None
    name: str | None = None
    tag: str | None = None
    direct: bool = False

    @property
    def protocol(self) -> str:
        """Of the packets that it looks at, as tc names it."""
        return _PROTOCOLS.get(self.ethertype, f"{self.ethertype:#06x}")


def read_filters(netns_inode: int, ifindex: int, parent: int) -> tuple[Filter, ...]:
    """Those below INGRESS, EGRESS or the handle of a qdisc. Raises OSError when the namespace is gone."""
    with entered(netns_inode):
        return dump(_GETTFILTER, _NEWTFILTER, ifindex, filter_of, parent)


def filter_of(message: Message) -> Filter | None:
    """None for what only heads a list of filters. Raises struct.error for one that cannot be read."""
    if not message.handle or not message.options:
        return None
    kind, options = message.kind, netlink.attributes(message.options)
    bpf = kind == "bpf"
    tag = options.get(_BPF_TAG) if bpf else None
    actions = tuple(_actions(kind, options))
    if kind == "u32" and not actions and _CLASS[kind] not in options:
        return None  # a table of hashes
    return Filter(
        kind,
        message.info >> 16,
        socket.ntohs(message.info & 0xFFFF),
        message.handle,
        actions,
        number(options, _CLASS[kind]) if kind in _CLASS else None,
        number(options, _BPF_ID) if bpf else None,
        foreign(options[_BPF_NAME].partition(b"\0")[0]) if bpf and _BPF_NAME in options else None,
        tag.hex() if tag is not None else None,
        bpf and bool((number(options, _BPF_FLAGS) or 0) & _DIRECT_ACTION),
    )


def _actions(kind: str, options: dict[int, bytes]) -> Iterator[Action]:
    """A policer of its own was all that filters had before there were actions; it comes first."""
    own = options.get(_POLICE.get(kind, 0), b"")
    if own:
        yield police_of(own)
    yield from actions_of(options.get(_ACTIONS.get(kind, 0), b""))
