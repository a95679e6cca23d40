"""What to tell the program that writes a chain, so that a flow passes: a rule put there by hand would not last."""

from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.causes.fits import to_a_service
from dropwatch.model.drop import Drop, Fix

_POLICY = Step("allow the flow in a network policy of the pod that it is for, in its namespace")
_UNBAN = "remove the ban, if the address is not an attacker"

_TOLD: dict[str, tuple[Step, ...]] = {
    "Docker": (
        Step("publish the port of the container: `docker run -p`, or `ports:` in its compose file"),
        Step(
            "or put containers that should reach each other into one network",
            "docker network connect NETWORK CONTAINER",
        ),
    ),
    "Calico": (_POLICY,),
    "Cilium": (_POLICY,),
    "Antrea": (_POLICY,),
    "kube-router": (_POLICY,),
    "Weave Net": (_POLICY,),
    "OVN-Kubernetes": (_POLICY,),
    "Kubernetes": (
        Step("give the service a ready endpoint: a running pod that its selector finds"),
        Step("or allow the client in its loadBalancerSourceRanges"),
    ),
    "ufw": (
        Step(
            "have ufw allow the flow",
            "ufw allow proto PROTO from SADDR to DADDR port DPORT",
            fits=to_a_service,
        ),
    ),
    "firewalld": (
        Step(
            "have firewalld allow the port, in the zone of the interface; with --permanent it outlives a reload",
            "firewall-cmd --zone=$(firewall-cmd --get-zone-of-interface=DEV) --add-port=DPORT/PROTO",
            fits=to_a_service,
        ),
    ),
    "fail2ban": (Step(_UNBAN, "fail2ban-client unban SADDR"),),
    "CrowdSec": (Step(_UNBAN, "cscli decisions delete --ip SADDR"),),
    "sshguard": (
        Step("put the address into sshguard's whitelist, if it is not an attacker, and restart sshguard"),
    ),
    "libvirt": (
        Step(
            "change the network's <forward mode=...> or the interface's <filterref>: a NAT network lets in only "
            "answers; for others it is `open` or `route`, or a bridge"
        ),
    ),
    "Incus or LXD": (
        Step("allow the flow in the ACL of the network: incus network acl rule add, ingress or egress"),
    ),
    "Netavark (Podman)": (
        Step("publish the port of the container: `podman run -p`"),
        Step(
            "or put containers that should reach each other into one network",
            "podman network connect NETWORK CONTAINER",
        ),
    ),
    "CNI": (Step("publish the port with `hostPort`, or change the plugin's configuration"),),
    "Istio": (
        Step("exclude the port from the sidecar: annotation traffic.sidecar.istio.io/excludeInboundPorts"),
    ),
    "Tailscale": (Step("allow the flow in the ACLs of the tailnet, or accept the route on this host"),),
    "Flannel": (Step("give the pod an address of Flannel's network, or correct that network"),),
    "Proxmox VE": (Step("add an accept rule to the firewall of the guest, node or datacenter"),),
    "OpenStack Neutron": (
        Step("add a rule to the security group of the port: openstack security group rule create"),
    ),
    "ConfigServer Firewall (csf)": (Step("allow the address, if it is not an attacker", "csf -a SADDR"),),
}


def tell(owner: str, drop: Drop) -> tuple[Fix, ...]:
    """For a program by the name that chain_owners gives it."""
    return of_catalogue(_TOLD[owner], drop)
