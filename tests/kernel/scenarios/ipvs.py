"""IPVS, the kernel's load balancer, without its tool: over generic netlink."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.generic import ipvs
from scenarios.namespaces import Namespace

# What schedules packets that come in for this host, by its names over the years.
REQUEST_HOOKS = frozenset({"ip_vs_remote_request4", "ip_vs_in_hook"})


@contextmanager
def service_without_servers(end: Namespace, port: int) -> Iterator[None]:
    """Every datagram to this port of the namespace's address is dropped, and answered with port unreachable."""
    subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_rr"], check=True)
    service = [
        ("IPVS_SVC_ATTR_AF", socket.AF_INET),
        ("IPVS_SVC_ATTR_PROTOCOL", socket.IPPROTO_UDP),
        ("IPVS_SVC_ATTR_ADDR", end.v4),
        ("IPVS_SVC_ATTR_PORT", port),
    ]
    settings = [
        ("IPVS_SVC_ATTR_SCHED_NAME", "rr"),
        ("IPVS_SVC_ATTR_FLAGS", {"flags": 0, "mask": 0xFFFFFFFF}),
        ("IPVS_SVC_ATTR_TIMEOUT", 0),
        ("IPVS_SVC_ATTR_NETMASK", "255.255.255.255"),
    ]
    _ask(end, ipvs.IPVS_CMD_NEW_SERVICE, service + settings)
    try:
        yield
    finally:
        _ask(end, ipvs.IPVS_CMD_DEL_SERVICE, service)


def _ask(end: Namespace, command: int, service: list[tuple[str, object]]) -> None:
    with end.entered(), ipvs.IPVSSocket() as netlink:
        message = ipvs.ipvsmsg()
        message["cmd"] = command
        message["version"] = ipvs.GENL_VERSION
        message["attrs"] = [("IPVS_CMD_ATTR_SERVICE", {"attrs": service})]
        netlink.nlm_request(message, msg_type=netlink.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK)
