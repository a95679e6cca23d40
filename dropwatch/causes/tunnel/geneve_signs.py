"""Signs of GENEVE: no interface for the identifier and sender, a critical option, a frame of this host's own."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.tunnel.facts import (
    blamed,
    died_silent_at,
    doubts_of,
    has_lost_header,
    proof,
    tunnels_of,
)
from dropwatch.causes.tunnel.overlay import BRING_UP, GENEVE
from dropwatch.host.host import Host
from dropwatch.host.tunnel.ip import Tunnel
from dropwatch.model.drop import Drop, Verdict
from dropwatch.packet.payload import Encapsulation, geneve

RECEIVING = ("geneve_udp_encap_recv", "geneve_rx")


def unknown(drop: Drop, host: Host) -> Verdict | None:
    """geneve_lookup goes by VNI and sender; an external interface takes all."""
    found = _case(drop, host)
    if found is None:
        return None
    header, heard = found
    taken = [one for one in heard if one.up and _takes(one, header, drop)]
    if taken or header.flags >> 14:  # another version dies here as well
        return None
    fact = f"the packet has VNI {header.vni} and is from {drop.packet.saddr}"
    said = kernel_word.certain(drop, proof(fact))
    doubts = doubts_of(drop, host)
    if doubts:
        said = replace(kernel_word.likely(drop, proof(fact)), evidence=(*said.evidence, *doubts))
    also = {"VNI": str(header.vni)}
    up = [one for one in heard if one.up]
    near = next((one for one in up if one.key == header.vni or one.remote == drop.packet.saddr), None)
    near = near or (up[0] if len(up) == 1 else None)
    if near is None:
        return replace(said, fix=of_catalogue(GENEVE, drop, also))
    wanted = f"{near.name} takes VNI {near.key} from {near.remote}"
    said = replace(said, evidence=(proof(f"{fact}; {wanted}"), *said.evidence[1:]))
    setting = f"remote {near.remote}" if near.key == header.vni else f"id {near.key}"
    return blamed(said, drop, host, near, setting, GENEVE, also)


def down(drop: Drop, host: Host) -> Verdict | None:
    found = _case(drop, host)
    if found is None:
        return None
    header, heard = found
    fitting = [one for one in heard if _takes(one, header, drop)]
    if not fitting or any(one.up for one in fitting):
        return None
    off = fitting[0]
    said = kernel_word.likely(drop, proof(f"after the drop: {off.name} has the VNI {off.key} and is down"))
    return blamed(said, drop, host, off, "down", BRING_UP, {"DEV": off.name})


def _case(drop: Drop, host: Host) -> tuple[Encapsulation, list[Tunnel]] | None:
    """The header, and the interfaces at its port; None where the packet has got to its interface."""
    if not died_silent_at(drop, *RECEIVING) or has_lost_header(drop):
        return None
    found, header = tunnels_of(drop, host), geneve(drop)
    if found is None or header is None:
        return None
    if any(one.ifindex == drop.event.ifindex and one.kind == "geneve" for one in found):
        return None
    return header, [one for one in found if _is_at(one, drop)]


def _is_at(one: Tunnel, drop: Drop) -> bool:
    return one.kind == "geneve" and one.port == drop.packet.dport and not one.elsewhere


def _takes(one: Tunnel, header: Encapsulation, drop: Drop) -> bool:
    return one.external or (one.key == header.vni and one.remote == drop.packet.saddr)
