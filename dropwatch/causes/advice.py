"""What to do about one drop: the one place through which all advice goes before it is shown."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dropwatch.causes.fits import came_in
from dropwatch.causes.placeholders import MEANINGS, NOTHING, fill, unfilled
from dropwatch.host.commands import in_namespace, looks_at_a_namespace, of_the_first
from dropwatch.host.host import Host
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Fix, Sketch
from dropwatch.model.pattern import pattern

# What stands in a command for something that no drop tells, and where to find it.
UNKNOWN = {
    "BRIDGE": "the bridge of the port, from `bridge link show`",
    "CHAIN": "the chain of the rule that drops it",
    "CHILD": "the child of the connection, from swanctl --list-conns",
    "CONNECTION": "the connection, from swanctl --list-conns",
    "CONTAINER": "the container's name, from docker ps",
    "DEFINITION": "the SA as it was added, which `ip xfrm state` shows to root, keys included",
    "ENDPOINT": "the address and port of the peer, as 192.0.2.1:51820",
    "FILE": "the file for the capture",
    "GATEWAY": "the next router for the packet",
    "GROUP": "the security group of the instance's port",
    "GUEST": "the virtual machine's name, from virsh list",
    "IFID": "the if_id of the SA, from ip xfrm state list nokeys",
    "INDEX": "the index of the policy, from ip xfrm policy list",
    "KEY": "the key of the packets",
    "MAC": "a MAC address",
    "MACVLAN": "the macvlan interface on top of it",
    "MARKVALUE": "the mark of the SA, from ip xfrm state list nokeys",
    "MTU": "the MTU of the other ports",
    "NETNS": "the namespace of the other end",
    "NETWORK": "the network's name",
    "PEER": "the other end of the pair",
    "PEERKEY": "the peer's public key, from wg show",
    "PORT": "the bridge port that should get the frames",
    "PREFIX": "the prefix of the address",
    "PREFIXLEN": "the prefix length of its network",
    "PREFIXES": "all prefixes of the peer, including the present ones, joined by commas",
    "PROGRAM": "the program that listens",
    "QUEUE": "one of its queues, from /sys/class/net",
    "REMOTE": "the address of the tunnel's other end",
    "REQID": "the reqid of the SA, from ip xfrm state list nokeys",
    "SECRET": "the password",
    "SELF": "this end of the tunnel",
    "TABLE": "the table of the rule that drops it",
    "TUNNEL": "the tunnel's interface",
    "UNIT": "the systemd unit of the program, from systemctl status PID",
    "UPLINK": "the interface that leads there outside the tunnel",
    "VID": "the VLAN id of the frames, from tcpdump -e",
    "VNI": "the VXLAN network identifier, from tcpdump -v",
    "VRF": "the VRF that the packets come in through",
}
_CAPITALS = pattern(r"\b[A-Z]{2,}\b")
_IPTABLES = pattern(r"\biptables(?=[ -])")
_NFT_ADDRESS = pattern(r"\bip (?=saddr|daddr)")
_ROUTE_TO = pattern(r"ip route get DADDR(?: from SADDR)?(?: iif DEV)?")


@dataclass(frozen=True, slots=True)
class Step(Fix):
    """Advice with what decides whether, where and when it is given.

    `fits` says for which drops it is meant, None: for all. `elsewhere`: the command is for another host.
    """

    fits: Callable[[Drop], bool] | None = None
    elsewhere: bool = False


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
    for fix in sorted(fixes, key=lambda one: one.weakens is not None):
        shown = _shown(fix, drop, host)
        found.setdefault(shown.command or shown.text, shown)
    return tuple(found.values())


def _shown(fix: Fix, drop: Drop, host: Host) -> Fix:
    text, command, sketch = with_weakness(fix), fix.command, fix.sketch
    if sketch is not None:
        sketch = replace(sketch, text=with_weakness(replace(fix, text=sketch.text)))
    if command is None or (isinstance(fix, Step) and fix.elsewhere):
        return Fix(text, command, weakens=fix.weakens, sketch=sketch)
    if of_the_first(command):
        text += "; the sysctl is in the initial network namespace"
    elif looks_at_a_namespace(command) and _is_gone(drop, host):
        # Here it would show, or change, another namespace.
        gone = f"in network namespace {drop.event.netns}, which is gone now"
        sketch = Sketch(f"{gone}: {text}", command)
        return Fix(f"{text}{_before_command(text)}`{command}`, {gone}", weakens=fix.weakens, sketch=sketch)
    return Fix(text, in_namespace(drop.netns, command), weakens=fix.weakens)


def _before_command(text: str) -> str:
    return " " if text.endswith("?") else ": "


def _is_gone(drop: Drop, host: Host) -> bool:
    """It has no name, no process is in it, and it is not the one that whydrop runs in."""
    if drop.netns is None or drop.netns.name is not None:
        return False
    own = host.own_netns()
    return own is not None and own != drop.netns.inode


def with_weakness(fix: Fix) -> str:
    """Its text, which says what it gives up."""
    return fix.text if fix.weakens is None else f"{fix.text}; this weakens security: {fix.weakens}"


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
    words, where = _words(filled, drop), explained(missing)
    text = f"{filled.text}{_before_command(filled.text)}`{words}`, {where}"
    sketch = Sketch(f"{filled.text}{' ' if filled.text.endswith('?') else ', '}{where}", words)
    return replace(filled, text=text, command=None, sketch=sketch)


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
        send = drop.event.send
        if send is not None and send.uid:
            words += f" uid {send.uid}"  # a rule may ask for it
    return f"{words} mark {packet.mark:#x}" if packet.mark else words
