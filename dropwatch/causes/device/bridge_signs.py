"""Signs of bridges, with the name of the bridge in what is advised."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.advice import of_catalogue
from dropwatch.causes.device.bridge import INGRESS_VLAN, VLANS
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict


def vlan_refused(drop: Drop, host: Host) -> Verdict | None:
    """br_allowed_ingress says nothing else than that the port may not have the frame's VLAN."""
    if not kernel_word.gave_no_reason(drop) or kernel_word.place(drop) not in INGRESS_VLAN:
        return None
    said = kernel_word.certain(drop, Evidence("place", "the function that checks the VLANs of a bridge port"))
    return replace(said, fix=_of_its_bridge(VLANS, drop, host))


def _of_its_bridge(page: tuple[Fix, ...], drop: Drop, host: Host) -> tuple[Fix, ...]:
    """Empty where the bridge of the port is not known."""
    port = host.port(drop.event.netns, drop.event.ifindex, drop.event.monotonic_ns)
    if port is None or port.kind != "bridge":
        return ()
    return of_catalogue(page, drop, {"BRIDGE": port.master})
