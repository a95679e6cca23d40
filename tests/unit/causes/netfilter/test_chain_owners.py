"""Whose a chain is, by its name; a name that could be anybody's is nobody's."""

from collections.abc import Callable

import pytest

from dropwatch.causes.netfilter.chain_owners import _OWNERS, Owner, evidence, fixes, owner_of
from dropwatch.causes.netfilter.owner_advice import tell
from dropwatch.model.drop import Drop


@pytest.mark.parametrize(
    ("table", "chain", "owner"),
    [
        ("filter", "DOCKER-USER", "Docker"),
        ("filter", "DOCKER", "Docker"),
        ("filter", "DOCKER-ISOLATION-STAGE-2", "Docker"),
        ("filter", "KUBE-FIREWALL", "Kubernetes"),
        ("nat", "KUBE-SVC-NPX46M4PTMTKRN6Y", "Kubernetes"),
        ("filter", "KUBE-POD-FW-ABCDEF", "kube-router"),
        ("filter", "cali-tw-cali123", "Calico"),
        ("filter", "CILIUM_FORWARD", "Cilium"),
        ("filter", "OLD_CILIUM_INPUT", "Cilium"),
        ("filter", "ufw-user-input", "ufw"),
        ("filter", "ufw6-before-input", "ufw"),
        ("firewalld", "filter_IN_public", "firewalld"),
        ("firewalld", "raw_PRE_work", "firewalld"),
        ("filter", "IN_public_deny", "firewalld"),
        ("filter", "FORWARD_direct", "firewalld"),
        ("filter", "f2b-sshd", "fail2ban"),
        ("f2b-table", "f2b-chain", "fail2ban"),
        ("filter", "sshguard", "sshguard"),
        ("filter", "LIBVIRT_FWI", "libvirt"),
        ("incus", "fwd.br0", "Incus or LXD"),
        ("filter", "CNI-FORWARD", "CNI"),
        ("filter", "NETAVARK_FORWARD", "Netavark (Podman)"),
        ("netavark", "FORWARD", "Netavark (Podman)"),
        ("nat", "ISTIO_INBOUND", "Istio"),
        ("filter", "ts-input", "Tailscale"),
        ("filter", "WEAVE-NPC", "Weave Net"),
        ("filter", "FLANNEL-FWD", "Flannel"),
        ("nat", "OVN-KUBE-SNAT", "OVN-Kubernetes"),
        ("filter", "PVEFW-INPUT", "Proxmox VE"),
        ("filter", "tap100i0-IN", "Proxmox VE"),
        ("filter", "DENYIN", "ConfigServer Firewall (csf)"),
        ("filter", "neutron-openvswi-sg-chain", "OpenStack Neutron"),
    ],
)
def test_names_that_tell(table: str, chain: str, owner: str) -> None:
    found = owner_of(table, chain)
    assert found is not None
    assert found.name == owner


@pytest.mark.parametrize(
    "chain",
    ["INPUT", "input", "forward", "docker", "web", "IN_web", "LOG_DROP", "my-ufw-rules", "ts", "rules"],
)
def test_names_that_could_be_anybodys(chain: str) -> None:
    assert owner_of("filter", chain) is None


@pytest.mark.parametrize("owner", _OWNERS, ids=lambda owner: f"{owner.name}-{owner.chain or owner.table}")
def test_each_has_a_sentence_and_a_command(owner: Owner, make_drop: Callable[..., Drop]) -> None:
    assert evidence(owner, "X").text.startswith("X: ")
    (made,) = fixes(owner, make_drop())
    assert owner.name in made.text
    assert made.command or " is the " in made.text
    assert not made.text.endswith(".")


@pytest.mark.parametrize("name", sorted({owner.name for owner in _OWNERS if owner.rewrites}))
def test_each_program_that_rewrites_chains_can_be_told_something(
    name: str, make_drop: Callable[..., Drop]
) -> None:
    assert tell(name, make_drop())
