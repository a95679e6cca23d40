"""What to do about IPsec: commands of the tools that are there."""

from dataclasses import replace

from dropwatch.causes.advice import Step
from dropwatch.causes.path_mtu import smaller_segments
from dropwatch.host.host import Host
from dropwatch.host.ipsec.text import policy_line, spi_text
from dropwatch.model.drop import Drop, Fix
from dropwatch.model.ipsec import XfrmPolicy, XfrmState

_KEY_LINES = "awk '$1 ~ /^(aead|auth|auth-trunc|enc)$/ {print $1, $2, $3, $4}' | sha256sum"
_IKE = {
    "swanctl": (
        "see whether the IKE daemon has this connection, and whether it is up",
        "swanctl --list-sas",
    ),
    "ipsec": ("see what the IKE daemon says about this connection", "ipsec status"),
}
# As iptables takes them.
_PROTOCOLS = {"comp": "ipcomp"}


def ask_ike(host: Host) -> tuple[Fix, ...]:
    """Only of the daemons that are installed here."""
    return tuple(Fix(*_IKE[tool]) for tool in host.ike_tools() if tool in _IKE)


def compare_ends(state: XfrmState) -> tuple[Fix, ...]:
    """How to find out which of key, algorithm and ICV length differs; the way that shows no key is the first."""
    get = f"xfrm state get {_selected(state)}"
    behind_nat = ", where a NAT may have changed its own address" if state.encap is not None else ""
    return (
        Fix(
            "compare the keys by their hash: both hosts must print the same",
            f"ip {get} | {_KEY_LINES}",
        ),
        Fix("show this SA, with its key (ip xfrm prints keys to root)", f"ip {get}"),
        Step(
            f"show the sender's SA on {state.saddr}{behind_nat}: algorithm, key and ICV length must be equal",
            f"ip {get}",
            elsewhere=True,
        ),
        Fix(
            "if an IKE daemon made these SAs, terminate and initiate the connection again; "
            "if they were made by hand, delete the SA on both hosts and add it again with the same key"
        ),
    )


def set_up_again(drop: Drop) -> tuple[Fix, ...]:
    """The sender has an SA that this host has not: after a restart, a deletion or a rekey of one side only."""
    source, destination = drop.packet.saddr, drop.packet.daddr
    if source is None or destination is None:
        return ()
    between = f"xfrm state list src {source} dst {destination} nokeys"
    return (
        Fix("list the SAs that this host has from the sender", f"ip {between}"),
        Step(
            f"list them on the sender, {source}: the same SPI must be there and here",
            f"ip {between}",
            elsewhere=True,
        ),
        Fix(
            "if an IKE daemon made the SAs, terminate and initiate the connection again on the sender; "
            "if they were made by hand, add the missing SA here"
        ),
    )


def fit_the_mark(state: XfrmState) -> tuple[Fix, ...]:
    """The SA is there, but only for packets with a mark."""
    wanted = f"{state.mark:#x}/{state.mark_mask:#x}"
    tool = "ip6tables" if state.daddr.version == 6 else "iptables"
    protocol = "udp" if state.encap is not None else _PROTOCOLS.get(state.proto, state.proto)
    packets = f"-p {protocol} -s {state.saddr} -d {state.daddr}"
    return (
        Fix(
            f"set mark {wanted} on these packets before IPsec, or have their VTI interface do it (ikey)",
            f"{tool} -t mangle -A PREROUTING {packets} -j MARK --set-xmark {wanted}",
        ),
        Fix("or add the SA without `mark`, if packets with any mark may use it"),
    )


def fit_the_key(state: XfrmState) -> tuple[Fix, ...]:
    """The SA is there, but with another mark than the key of the VTI interface."""
    return (
        Fix(
            f"set the key of the VTI interface to {state.mark:#x}, or the mark of the SA to the key of the interface"
        ),
        Fix("with an IKE daemon: mark_in and mark_out must be the ikey and okey of the interface"),
    )


def fit_the_policy_mark(drop: Drop, policy: XfrmPolicy) -> tuple[Fix, ...]:
    """The policy is there, but only for packets with a mark."""
    wanted = f"{policy.mark:#x}/{policy.mark_mask:#x}"
    saddr, daddr, note = drop.packet.saddr, drop.packet.daddr, drop.event.xfrm
    came_out = note is not None and note.check is not None
    if came_out and saddr is not None and daddr is not None:
        tool = "ip6tables" if daddr.version == 6 else "iptables"
        packets = f"-m policy --dir in --pol ipsec -s {saddr} -d {daddr}"
        return (
            Fix(
                f"set mark {wanted}, which the policy requires, on what comes out of the SA, or have a VTI "
                "interface do it (ikey)",
                f"{tool} -t mangle -A PREROUTING {packets} -j MARK --set-xmark {wanted}",
            ),
            Fix("or add the policy without `mark`"),
        )
    return (
        Fix(
            f"set mark {wanted}, which the policy requires, on what comes out of the SA by a rule in an "
            "earlier chain, or have a VTI interface do it (ikey)"
        ),
        Fix("or add the policy without `mark`"),
    )


def _selected(state: XfrmState) -> str:
    mark = f" mark {state.mark:#x} mask {state.mark_mask:#x}" if state.mark_mask else ""
    return f"src {state.saddr} dst {state.daddr} proto {state.proto} spi {spi_text(state.spi)}{mark}"


def show_states(state: XfrmState) -> tuple[Fix, ...]:
    """The SA here and at the sender."""
    listed = f"xfrm state list src {state.saddr} dst {state.daddr} nokeys"
    return (
        Fix("show this SA", f"ip {listed}"),
        Step(f"compare it with the SA on the sender, {state.saddr}", f"ip {listed}", elsewhere=True),
    )


_OF_SOCKETS = "socket "  # how the direction of a policy begins that a program has set for its socket


def show_policies(direction: str) -> tuple[Fix, ...]:
    what = "list the policies of this direction, with their templates"
    if direction.startswith(_OF_SOCKETS):
        own = Fix("have the program that owns the socket change the policy that it has set (IP_XFRM_POLICY)")
        return (own, Fix("list the policies, also those of sockets", "ip xfrm policy list"))
    return (Fix(what, f"ip xfrm policy list dir {direction}"),)


def who_sends_clear(drop: Drop, state: XfrmState | None, policy: XfrmPolicy | None) -> tuple[Fix, ...]:
    """What came had no protection, or another one than the policy asks for."""
    sender = drop.packet.saddr or "the sender"
    if state is not None:
        return (
            Fix(
                "reqid, mode and endpoints of the policy's tmpl must be those of the SA: correct one of the two"
            ),
        )
    return (
        Step(
            f"on {sender} or its gateway: is there a policy for this flow?",
            "ip xfrm policy list dir out",
            elsewhere=True,
        ),
        Step(
            "if this flow may come in clear text, add a policy without tmpl and with a lower priority value",
            _allow_before(drop, policy),
            weakens="anybody on the way can then read and forge these packets",
        ),
    )


def _allow_before(drop: Drop, policy: XfrmPolicy | None) -> str | None:
    """Lets this flow pass before that policy, or instead of it if it is for nothing but this flow.

    None where nothing comes before it, or where it is bound to a mark or an interface.
    """
    packet = drop.packet
    if policy is None or policy.mark_mask or policy.if_id or not policy.priority:
        return None
    if packet.saddr is None or packet.daddr is None:
        return None
    with_port = packet.dport is not None and packet.proto in ("tcp", "udp")
    flow = f" proto {packet.proto} dport {packet.dport}" if with_port else ""
    selector = f"src {packet.saddr} dst {packet.daddr}{flow}"
    return f"ip xfrm policy update {selector} dir {policy.dir} priority {policy.priority - 1}"


def add_policy(drop: Drop, direction: str, state: XfrmState) -> tuple[Fix, ...]:
    saddr, daddr = drop.packet.saddr, drop.packet.daddr
    if saddr is None or daddr is None:
        return ()
    words = [f"xfrm policy add src {saddr} dst {daddr} dir {direction}"]
    if state.mark_mask:
        words.append(f"mark {state.mark:#x} mask {state.mark_mask:#x}")
    if state.if_id:
        words.append(f"if_id {state.if_id:#x}")
    ends = f"src {state.saddr} dst {state.daddr} " if state.mode != "transport" else ""
    words.append(f"tmpl {ends}proto {state.proto} reqid {state.reqid} mode {state.mode}")
    text = "if this flow may come through this SA, add a policy for it, or for its subnets"
    return (Fix(text, f"ip {' '.join(words)}"),)


def delete_policy(policy: XfrmPolicy | None) -> tuple[Fix, ...]:
    if policy is None or policy.dir.startswith(_OF_SOCKETS):
        return ()
    bound = f" mark {policy.mark:#x} mask {policy.mark_mask:#x}" if policy.mark_mask else ""
    bound += f" if_id {policy.if_id:#x}" if policy.if_id else ""
    command = f"xfrm policy delete dir {policy.dir} index {policy.index}{bound}"
    return (
        Step(
            "delete this policy if it is not wanted; an IKE daemon may bring it back",
            f"ip {command}",
            weakens="whatever it blocks can pass",
        ),
    )


def change_default(direction: str) -> tuple[Fix, ...]:
    return (
        Fix("add a policy for this flow"),
        Fix("see the default policies", "ip xfrm policy getdefault"),
        Step(
            "or allow what no policy matches",
            f"ip xfrm policy setdefault {direction} accept",
            weakens="whatever no policy matches can pass in clear text",
        ),
    )


def make_state() -> tuple[Fix, ...]:
    """An outbound policy waits for an SA."""
    return (
        Fix("list the outbound policies, with their templates", "ip xfrm policy list dir out"),
        Fix("list the SAs", "ip xfrm state list nokeys"),
        Fix("watch what the kernel asks the IKE daemon for", "ip xfrm monitor acquire"),
        Fix(
            "with an IKE daemon: have it initiate the connection; by hand: add an SA with the proto, mode, "
            "reqid and addresses of the policy's tmpl"
        ),
    )


def ask_for_the_reqid(policy: XfrmPolicy, state: XfrmState) -> tuple[Fix, ...]:
    """An SA would do but for its reqid. Only for a policy that can be written down as `ip` takes it."""
    selector, templates = policy.selector, policy.templates
    bound = policy.mark_mask or policy.if_id or selector.ifindex
    if bound or len(templates) != 1 or not selector.family:
        return ()
    wanted = replace(policy, templates=(replace(templates[0], reqid=state.reqid),))
    what = f"SAs made by hand: change the policy to reqid {state.reqid}, that of the existing SA"
    return (Fix(what, f"ip xfrm policy update {policy_line(wanted)}"),)


def renew(state: XfrmState) -> tuple[Fix, ...]:
    """An SA is used up."""
    listed = f"ip -s xfrm state list src {state.saddr} dst {state.daddr} nokeys"
    return (
        Fix("see its limits, and how much of them is used", listed),
        Fix(
            "with an IKE daemon: have it rekey, and see why it did not; by hand: delete the SA on both hosts "
            "and add a "
            "new one, with a new key"
        ),
    )


def fit_the_size(drop: Drop, mtu: int | None) -> tuple[Fix, ...]:
    fits = f"{mtu}" if mtu is not None else "what fits"
    return (
        *smaller_segments(drop),
        Fix(f"lower the MTU of the route through the tunnel, or of the sender's interface, to {fits}"),
        Fix("have every firewall on the path accept ICMP fragmentation needed and ICMPv6 packet too big"),
    )


def match_if_id() -> tuple[Fix, ...]:
    return (
        Fix("list the if_id of each xfrm interface", "ip -d link show type xfrm"),
        Fix("list the if_id of each SA", "ip xfrm state list nokeys"),
        Fix("list the if_id of each policy: all three must be equal", "ip xfrm policy list"),
        Fix("correct if_id_in and if_id_out in the IKE daemon's configuration, or add the interface again"),
    )
