"""Which program made a chain, where its name or its table's name tells, and how that program shows its setting."""

import re
from functools import lru_cache

from dropwatch.causes.advice import of_catalogue
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Drop, Evidence, Fix

_REMEMBERED = 1024  # chains; names come in few kinds, and each is compared with all the patterns


@dataclass(frozen=True, slots=True)
class Owner:
    """A program that writes firewall rules. `chain` and `table` are patterns for whole names, None for any.

    `shows` are words for what `command` prints. What it `rewrites` is not changed by hand: it comes back.
    """

    name: str
    what: str
    shows: str
    command: str
    chain: str | None = None
    table: str | None = None
    rewrites: bool = True

    def owns(self, table: str, chain: str) -> bool:
        return (self.chain is not None or self.table is not None) and all(
            pattern is None or re.fullmatch(pattern, name) is not None
            for pattern, name in ((self.table, table), (self.chain, chain))
        )


# The first that fits. Narrow names stand before wide ones.
_OWNERS = (
    Owner(
        "Docker",
        "this chain is for the user's own rules about containers: Docker makes it, and never fills it",
        "the rules in it are yours, or another tool's",
        "iptables -vnL DOCKER-USER --line-numbers",
        chain="DOCKER-USER",
        rewrites=False,
    ),
    Owner(
        "Docker",
        "Docker keeps its networks apart with it: traffic from one bridge to another is dropped",
        "the networks; containers that should reach each other must share one",
        "docker network ls; docker network inspect NETWORK",
        chain=r"DOCKER-ISOLATION(-STAGE-[12])?|DOCKER-INTERNAL",
    ),
    Owner(
        "Docker",
        "Docker makes it for its networks and published ports",
        "the networks, and the ports that containers publish",
        "docker network inspect NETWORK; docker ps",
        chain=r"DOCKER(-[A-Z0-9-]+)?",
    ),
    Owner(
        "Docker",
        "Docker makes this table for its networks and published ports",
        "the networks, and the ports that containers publish",
        "docker network inspect NETWORK; docker ps",
        table=r"docker-bridges",
    ),
    Owner(
        "Calico",
        "Calico makes it out of network policies",
        "the policies",
        "kubectl get networkpolicy -A; calicoctl get globalnetworkpolicy",
        chain=r"(cali|felix)-.*",
    ),
    Owner(
        "Calico",
        "Calico makes this table out of network policies",
        "the policies",
        "kubectl get networkpolicy -A; calicoctl get globalnetworkpolicy",
        table=r"calico",
    ),
    Owner(
        "Cilium",
        "Cilium makes it",
        "the policies, and what Cilium itself drops",
        "kubectl get ciliumnetworkpolicy -A; cilium-dbg monitor --type drop",
        chain=r"(OLD_)?CILIUM_.*",
    ),
    Owner(
        "Antrea",
        "Antrea makes it",
        "the policies",
        "kubectl get networkpolicy -A; kubectl get acnp,annp -A",
        chain=r"ANTREA-.*",
    ),
    Owner(
        "kube-router",
        "kube-router makes it out of network policies",
        "the policies",
        "kubectl get networkpolicy -A",
        chain=r"KUBE-(POD-FW|NWPLCY|ROUTER|SVC-PROXY)-.*",
    ),
    Owner(
        "Kubernetes",
        "kubelet and kube-proxy make it: it drops packets that are marked for dropping and those that "
        "came to 127.0.0.0/8 from outside",
        "the services and their endpoints",
        "kubectl get services,endpointslices -A",
        chain=r"KUBE-FIREWALL|KUBE-MARK-DROP",
    ),
    Owner(
        "Kubernetes",
        "kube-proxy makes it out of services: those without endpoints are rejected, those with source ranges are "
        "closed to others",
        "the services and their endpoints",
        "kubectl get services,endpointslices -A",
        chain=r"KUBE-.*",
    ),
    Owner(
        "Kubernetes",
        "kube-proxy makes this table out of services",
        "the services and their endpoints",
        "kubectl get services,endpointslices -A",
        table=r"kube-proxy",
    ),
    Owner("ufw", "ufw makes it", "ufw's rules", "ufw status numbered", chain=r"ufw6?-.*"),
    Owner(
        "firewalld",
        "firewalld makes this table out of its zones and policies",
        "all zones and what they allow",
        "firewall-cmd --list-all-zones; firewall-cmd --list-all-policies",
        table=r"firewalld(_policy_drop)?",
    ),
    Owner(
        "firewalld",
        "firewalld makes it out of its zones",
        "all zones and what they allow",
        "firewall-cmd --list-all-zones; firewall-cmd --direct --get-all-rules",
        chain=r"(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)_(direct|ZONES(_SOURCE)?|POLICIES_(pre|post)"
        r"|(IN|OUT)_ZONES(_SOURCE)?)"
        r"|(IN|FWD[IO]?|PRE|POST)_((public|block|dmz|drop|external|home|internal|trusted|work)"
        r"|[\w-]+_(pre|log|deny|allow|post))",
    ),
    Owner(
        "fail2ban",
        "fail2ban bans addresses with it after failed logins or the like",
        "the jails, and which addresses are banned",
        "fail2ban-client banned",
        chain=r"(f2b|fail2ban)-.*",
    ),
    Owner(
        "fail2ban",
        "fail2ban bans addresses with this table after failed logins or the like",
        "the jails, and which addresses are banned",
        "fail2ban-client banned",
        table=r"f2b-.*",
    ),
    Owner(
        "CrowdSec",
        "CrowdSec's bouncer bans addresses with it",
        "which addresses are banned, and why",
        "cscli decisions list",
        chain=r"(?i)crowdsec.*",
    ),
    Owner(
        "CrowdSec",
        "CrowdSec's bouncer bans addresses with this table",
        "which addresses are banned, and why",
        "cscli decisions list",
        table=r"crowdsec6?",
    ),
    Owner(
        "sshguard",
        "sshguard blocks attackers with it",
        "what it blocked",
        "journalctl -u sshguard",
        chain=r"sshguard.*",
    ),
    Owner(
        "sshguard",
        "sshguard blocks attackers with this table",
        "what it blocked",
        "journalctl -u sshguard",
        table=r"sshguard",
    ),
    Owner(
        "libvirt",
        "libvirt makes it for its virtual networks: nothing is forwarded into a NAT network that was not asked for",
        "the network's mode and range",
        "virsh net-list --all; virsh net-dumpxml NETWORK",
        chain=r"LIBVIRT_.*",
    ),
    Owner(
        "libvirt",
        "libvirt makes this table for its virtual networks",
        "the network's mode and range",
        "virsh net-list --all; virsh net-dumpxml NETWORK",
        table=r"libvirt_network",
    ),
    Owner(
        "libvirt",
        "libvirt makes it out of the network filter (nwfilter) of a guest's interface",
        "the filters, and which interface has which",
        "virsh nwfilter-list; virsh nwfilter-binding-list",
        chain=r"libvirt-.*|[IO]-(vnet|tap)[\w-]*|[FH][IOJ][-_]?(vnet|tap)[\w-]*",
    ),
    Owner(
        "Incus or LXD",
        "Incus or LXD makes this table for its bridges and network ACLs",
        "the networks and their ACLs",
        "incus network list; incus network acl list",
        table=r"incus|lxd|lxc",
    ),
    Owner(
        "Netavark (Podman)",
        "Podman's Netavark makes it for its networks and published ports",
        "the networks",
        "podman network ls; podman network inspect NETWORK",
        chain=r"NETAVARK[-_].*",
    ),
    Owner(
        "Netavark (Podman)",
        "Podman's Netavark makes this table for its networks and published ports",
        "the networks",
        "podman network ls; podman network inspect NETWORK",
        table=r"netavark",
    ),
    Owner(
        "CNI",
        "a CNI plugin makes it for the networks of containers",
        "the plugins' configuration",
        "ls /etc/cni/net.d",
        chain=r"CNI-.*",
    ),
    Owner(
        "Istio",
        "Istio makes it in the network namespace of a pod, to lead traffic to its proxy",
        "what it leads where",
        "istioctl proxy-status",
        chain=r"ISTIO_.*",
    ),
    Owner(
        "Tailscale",
        "Tailscale makes it, also to drop packets with Tailscale addresses that did not come through the tunnel",
        "its state and preferences",
        "tailscale status; tailscale debug prefs",
        chain=r"ts-.*",
    ),
    Owner(
        "Weave Net",
        "Weave Net makes it out of network policies",
        "the policies",
        "kubectl get networkpolicy -A",
        chain=r"WEAVE(-.*)?",
    ),
    Owner(
        "Flannel",
        "Flannel makes it for the pod network",
        "its network range",
        "cat /run/flannel/subnet.env",
        chain=r"FLANNEL-.*|FLANNEL",
    ),
    Owner(
        "Proxmox VE",
        "the Proxmox VE firewall makes it",
        "its rules, as it compiled them",
        "pve-firewall compile; pve-firewall status",
        chain=r"PVEFW-.*|tap\d+i\d+-(IN|OUT)|veth\d+i\d+-(IN|OUT)|GROUP-.*-(IN|OUT)",
    ),
    Owner(
        "OVN-Kubernetes",
        "OVN-Kubernetes makes it",
        "the policies and egress settings",
        "kubectl get networkpolicy,egressip,egressfirewall -A",
        chain=r"OVN-KUBE-.*",
    ),
    Owner(
        "OpenStack Neutron",
        "OpenStack Neutron makes it out of security groups",
        "the rules of the security group",
        "openstack security group rule list GROUP",
        chain=r"neutron-.*",
    ),
    Owner(
        "ConfigServer Firewall (csf)",
        "csf makes it",
        "why an address is blocked",
        "csf -g SADDR",
        chain=r"LOCALINPUT|LOCALOUTPUT|LOGDROPIN|LOGDROPOUT|DENYIN|DENYOUT|ALLOWIN|ALLOWOUT|CC_DENY\w*|PORTFLOOD|SYNFLOOD",
    ),
)


@lru_cache(maxsize=_REMEMBERED)
def owner_of(table: str, chain: str) -> Owner | None:
    """The program that makes chains and tables of these names."""
    return next((owner for owner in _OWNERS if owner.owns(table, chain)), None)


def evidence(owner: Owner, name: str) -> Evidence:
    """Says whose it is. `name` is the chain, or the table where that tells."""
    source = "name of the chain" if owner.chain is not None else "name of the table"
    return Evidence(source, f"{name}: {owner.what}", "owner")


def fixes(owner: Owner, drop: Drop) -> tuple[Fix, ...]:
    """Where its setting is seen, which is changed there and not in the rule."""
    return of_catalogue((Fix(f"{owner.name}: see {owner.shows}", owner.command),), drop)
