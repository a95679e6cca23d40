"""What to do about one drop: the one place through which all advice goes before it is shown."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dropwatch.causes.fits import came_in
from dropwatch.causes.placeholders import MEANINGS, NOTHING, fill, unfilled
from dropwatch.host.commands import in_namespace, looks_at_a_namespace, of_the_first
from dropwatch.host.host import Host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Fix

# What stands in a command for something that no drop tells, and where to find it.
UNKNOWN = {
    "BRIDGE": "the bridge that the port belongs to: `bridge link show` names it",
    "CHAIN": "the chain of the rule that drops it",
    "CHILD": "the child of the connection, as swanctl --list-conns calls it",
    "CONNECTION": "the connection, as swanctl --list-conns calls it",
    "CONTAINER": "the container's name, from docker ps",
    "DEFINITION": "the SA as it was added, which `ip xfrm state` shows to root, keys included",
    "FILE": "where to write the capture",
    "GATEWAY": "the router that is to get the packet next",
    "GROUP": "the security group of the instance's port",
    "GUEST": "the virtual machine's name, from virsh list",
    "IFID": "the if_id of the SA, from ip xfrm state list nokeys",
    "INDEX": "the policy's index, as ip xfrm policy list shows it",
    "KEY": "the key that the packets carry",
    "MAC": "a hardware address",
    "MACVLAN": "the macvlan interface that is on the device",
    "MARKVALUE": "the mark of the SA, from ip xfrm state list nokeys",
    "NETNS": "the namespace of the other end",
    "NETWORK": "the network's name",
    "PEER": "the other end of the pair",
    "PEERKEY": "the peer's public key, from wg show",
    "PORT": "the bridge port that should get them",
    "PREFIX": "the prefix that the address belongs to",
    "PREFIXLEN": "the length of its network's prefix",
    "PREFIXES": "all prefixes of the peer, the old ones too, joined by commas",
    "PROGRAM": "the program that listens",
    "QUEUE": "one of its queues, of /sys/class/net",
    "REMOTE": "the address of the tunnel's other end",
    "REQID": "the reqid of the SA, from ip xfrm state list nokeys",
    "SECRET": "the password",
    "SELF": "this end of the tunnel",
    "TABLE": "the table of the rule that drops it",
    "TUNNEL": "the tunnel's interface",
    "UNIT": "the unit whose program it is: systemctl status takes the process id",
    "UPLINK": "the interface that leads there outside of the tunnel",
    "VID": "the VLAN id of the frames, as tcpdump -e shows it",
    "VNI": "the network identifier, as tcpdump -v shows it",
    "VRF": "the VRF that the packets come in through",
}
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")
_IPTABLES = re.compile(r"\biptables(?=[ -])")
_NFT_ADDRESS = re.compile(r"\bip (?=saddr|daddr)")
_ROUTE_TO = re.compile(r"ip route get DADDR(?: from SADDR)?(?: iif DEV)?")


@dataclass(frozen=True, slots=True)
class Step(Fix):
    """Advice with what decides whether, where and when it is given.

    `fits` says for which drops it is meant, None: for all. `elsewhere`: the command is for another host. `weakens`
    are words for what it gives up of a protection: such advice comes last.
    """

    fits: Callable[[Drop], bool] | None = None
    elsewhere: bool = False
    weakens: str | None = None


def twice(sysctl: str) -> str:
    """A command that doubles a setting, whatever it is by then: a number written down might be less than it."""
    return f"sysctl -w {sysctl}=$((2 * $(sysctl -n {sysctl})))"


def last_twice(sysctl: str) -> str:
    """The same for the last of its three numbers, which is the limit."""
    return f"""sysctl -w {sysctl}="$(sysctl -n {sysctl} | awk '{{print $1, $2, 2 * $3}}')\""""


def of_catalogue(fixes: Iterable[Fix], drop: Drop, also: Mapping[str, str] = NOTHING) -> tuple[Fix, ...]:
    """A cause's advice that fits this drop, all of it where none does, with its values.

    `also` has what other words stand for. What is not known is asked for in words.
    """
    given = tuple(fixes)
    return tuple(_filled(fix, drop, also) for fix in [one for one in given if _fits(one, drop)] or given)


def advise(fixes: Iterable[Fix], drop: Drop, host: Host) -> tuple[Fix, ...]:
    """As it is shown: commands run where the drop was, none comes twice, what weakens comes last and says so."""
    found: dict[str, Fix] = {}
    for fix in sorted(fixes, key=lambda one: weakness(one) is not None):
        shown = _shown(fix, drop, host)
        found.setdefault(shown.command or shown.text, shown)
    return tuple(found.values())


def _shown(fix: Fix, drop: Drop, host: Host) -> Fix:
    text, command = with_weakness(fix), fix.command
    if command is None or (isinstance(fix, Step) and fix.elsewhere):
        return Fix(text, command)
    if of_the_first(command):
        text += "; only the first network namespace has this setting"
    elif looks_at_a_namespace(command) and _is_gone(drop, host):
        # Here it would show, or change, another namespace.
        return Fix(f"{text}: `{command}`, in network namespace {drop.event.netns}, which is gone by now")
    return Fix(text, in_namespace(drop.netns, command))


def _is_gone(drop: Drop, host: Host) -> bool:
    """It has no name, no process is in it, and it is not the one that whydrop runs in."""
    if drop.netns is None or drop.netns.name is not None:
        return False
    own = host.own_netns()
    return own is not None and own != drop.netns.inode


def weakness(fix: Fix) -> str | None:
    """What it gives up of a protection."""
    return fix.weakens if isinstance(fix, Step) else None


def with_weakness(fix: Fix) -> str:
    """Its text, which says what it gives up."""
    gives_up = weakness(fix)
    return fix.text if gives_up is None else f"{fix.text}; this weakens security: {gives_up}"


def meanings(command: str) -> dict[str, str]:
    """The words in a command that stand for something that no drop tells, and where to find it."""
    return {word: UNKNOWN[word] for word in _CAPITALS.findall(command) if word in UNKNOWN}


def explained(words: Mapping[str, str]) -> str:
    """`where VID is ..., and DEV is ...`."""
    return f"where {', and '.join(f'{word} is {meaning}' for word, meaning in words.items())}"


def _fits(fix: Fix, drop: Drop) -> bool:
    return not isinstance(fix, Step) or fix.fits is None or fix.fits(drop)


def _filled(fix: Fix, drop: Drop, also: Mapping[str, str]) -> Fix:
    if fix.command is None:
        return fill(fix, drop, also)
    suited = replace(fix, command=_for_this_packet(fix.command, drop))
    known = MEANINGS | UNKNOWN
    missing = {word: known[word] for word in unfilled(fix.command, drop, also) if word in known}
    filled = fill(suited, drop, also)
    if not missing:
        return filled
    says = "" if filled.text.endswith("?") else ":"
    text = f"{filled.text}{says} `{_words(filled, drop)}`, {explained(missing)}"
    return replace(filled, text=text, command=None)


def _words(fix: Fix, drop: Drop) -> str:
    command = fix.command or ""
    return command if isinstance(fix, Step) and fix.elsewhere else in_namespace(drop.netns, command)


def _for_this_packet(command: str, drop: Drop) -> str:
    """The tool of its family, and the question that the kernel asked of the routes."""
    if drop.packet.family == 6:
        command = _NFT_ADDRESS.sub("ip6 ", _IPTABLES.sub("ip6tables", command))
    return _ROUTE_TO.sub(f"ip route get DADDR{_asked(drop)}", command)


def _asked(drop: Drop) -> str:
    """What beside the destination decides about the route of this packet, as far as it is known."""
    packet, iface = drop.packet, drop.iface
    source = packet.saddr is not None and not packet.saddr.is_unspecified
    words = ""
    if came_in(drop):
        if source and iface is not None and drop.event.skb_iif in (0, iface.index):
            words = " from SADDR iif DEV"
    else:
        words = " from SADDR" if source else ""
        daddr = packet.daddr
        if iface is not None and daddr is not None and (daddr.is_link_local or daddr.is_multicast):
            words += " oif DEV"  # such addresses are on every link
    return f"{words} mark {packet.mark:#x}" if packet.mark else words
