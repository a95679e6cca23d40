"""Signs of a frame that no handler took: there is none for its ethertype, or its port of a bond or team is inactive."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned
from dropwatch.causes.advice import of_catalogue
from dropwatch.host.host import Host
from dropwatch.host.ports import Port
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.forwarding import BondPort
from dropwatch.names.foreign import quoted

# Ethertypes that the kernel always has a handler for (linux/if_ether.h): IPv4 and ARP.
_ALWAYS_HANDLED = frozenset({0x0800, 0x0806})
RECEIVING = frozenset(
    {"__netif_receive_skb_core", "__netif_receive_skb_list_core", "__netif_receive_skb_one_core"}
)


def bond_inactive(drop: Drop, host: Host) -> Verdict | None:
    """What comes in on a backup port is only for who listens on that port itself (bond_handle_frame)."""
    port = _port(drop, host)
    if port is None or port.kind != "bond":
        return None
    name, active = _interface(drop), f", {port.active} is active" if port.active is not None else ""
    mode = f" ({port.mode}{active})" if port.mode is not None else ""
    if port.backup:
        fact = f"after the drop: {name} is a backup port of {port.master}{mode}"
        said = kernel_word.certain(drop, _handled(drop), Evidence("netlink route", fact, "proof"))
        return _blamed(replace(said, fix=_make_active(drop, port)), drop, host, port)
    fact = f"after the drop: {name} is an active port of {port.master}{mode}, and cannot have been one at the drop"
    return _blamed(
        kernel_word.likely(drop, _handled(drop), Evidence("netlink route", fact, "proof")), drop, host, port
    )


def _make_active(drop: Drop, port: Port) -> tuple[Fix, ...]:
    """Beside what the page says; empty where the mode has no port to choose."""
    if port.mode != "active-backup" or drop.iface is None or drop.iface.name is None:
        return ()
    device, master = quoted(drop.iface.name), quoted(port.master)
    see = Fix("see the state of the port, and which port is active", "ip -d link show DEV")
    return (
        *of_catalogue((see,), drop),
        Fix(
            "broadcasts that both ports get are no loss; frames for this host: have the switch send them to "
            "the active port, or make this port active",
            f"ip link set dev {master} type bond active_slave {device}",
        ),
        Fix("if the ports are one link aggregate on the switch, use LACP on the bond as well"),
    )


def team_inactive(drop: Drop, host: Host) -> Verdict | None:
    """The same of a team (team_handle_frame), which does not tell the state of its ports here."""
    port = _port(drop, host)
    if port is None or port.kind != "team":
        return None
    fact = (
        f"{_interface(drop)} is a port of the team {port.master}, which accepts only what comes in on "
        "enabled ports"
    )
    return _blamed(
        kernel_word.likely(drop, _handled(drop), Evidence("netlink route", fact, "proof")), drop, host, port
    )


def unhandled_protocol(drop: Drop, host: Host) -> Verdict | None:
    if not _is_unhandled(drop):
        return None
    handled = _has_handler(drop, host)
    if handled:
        fact = f"{_handled(drop).text}: usually the frame came in on a port that is not active"
        return kernel_word.likely(drop, Evidence("packet", fact))
    ethertype = f"ethertype 0x{drop.event.protocol:04x}"
    if handled is None:
        fact = f"{ethertype}; whether active ports have a handler for it was not read"
        return kernel_word.likely(drop, Evidence("packet", fact))
    return kernel_word.certain(drop, Evidence("packet", f"{ethertype} has no handler here"))


def _is_unhandled(drop: Drop) -> bool:
    return drop.reason == "UNHANDLED_PROTO" and kernel_word.place(drop) in RECEIVING


def _has_handler(drop: Drop, host: Host) -> bool | None:
    """IPv6 is a module that may be missing or switched off. None: not read."""
    event = drop.event
    if event.protocol in _ALWAYS_HANDLED:
        return True
    found = host.ethertypes(event.netns, event.monotonic_ns)
    return event.protocol in found if found is not None else None


def _handled(drop: Drop) -> Evidence:
    return Evidence(
        "packet", f"ethertype 0x{drop.event.protocol:04x} has a handler, but the frame did not reach it"
    )


def _port(drop: Drop, host: Host) -> Port | None:
    if not _is_unhandled(drop) or not _has_handler(drop, host):
        return None
    return host.port(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)


def _blamed(verdict: Verdict, drop: Drop, host: Host, port: Port) -> Verdict:
    name = _interface(drop)
    text = " ".join(word for word in (name, "of", port.master, port.mode) if word)
    blamed = replace(verdict, culprit=BondPort(text, name, port.master, port.mode, port.active))
    return pinned.doubted(blamed, pinned.doubts(drop, host, pinned.Source("links", None)))


def _interface(drop: Drop) -> str:
    known = drop.iface.name if drop.iface is not None else None
    return known or f"the interface with index {drop.event.ifindex}"
