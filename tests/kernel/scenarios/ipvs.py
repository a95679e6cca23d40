"""IPVS, the kernel's load balancer, without its tool: over generic netlink."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.generic import ipvs
from scenarios.namespaces import Namespace
from scenarios.traffic import family_of

# What schedules packets that come in for this host, by its names over the years.
REQUEST_HOOKS = frozenset({"ip_vs_remote_request4", "ip_vs_in_hook"})


@contextmanager
def service_without_servers(end: Namespace, port: int) -> Iterator[None]:
    """Every datagram to this port of the namespace's address is dropped, and answered with port unreachable."""
    with _service(end, end.v4, port):
        yield


@contextmanager
def service_by_nat(
    end: Namespace, address: str, port: int, server: tuple[str, int], *, weight: int = 1, most: int = 0
) -> Iterator[None]:
    """Datagrams to this address and port of the namespace go to that server, and get its address and port. With
    weight 0, or with `most` connections, it gets no new ones."""
    with _service(end, address, port) as service:
        real = [
            ("IPVS_DEST_ATTR_ADDR_FAMILY", family_of(address)),
            ("IPVS_DEST_ATTR_ADDR", server[0]),
            ("IPVS_DEST_ATTR_PORT", server[1]),
            ("IPVS_DEST_ATTR_FWD_METHOD", 0),  # IP_VS_CONN_F_MASQ
            ("IPVS_DEST_ATTR_WEIGHT", weight),
            ("IPVS_DEST_ATTR_U_THRESH", most),
            ("IPVS_DEST_ATTR_L_THRESH", 0),
        ]
        _ask(end, ipvs.IPVS_CMD_NEW_DEST, service, real)
        yield


def connections(end: Namespace) -> int:
    """That the namespace's services have."""
    with end.entered():
        return (
            len(Path("/proc/thread-self/net/ip_vs_conn").read_text().splitlines()) - 1
        )  # without the heading


def load_modules() -> None:
    subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_rr"], check=True)


@contextmanager
def _service(end: Namespace, address: str, port: int) -> Iterator[list[tuple[str, object]]]:
    load_modules()
    family = family_of(address)
    service: list[tuple[str, object]] = [
        ("IPVS_SVC_ATTR_AF", family),
        ("IPVS_SVC_ATTR_PROTOCOL", socket.IPPROTO_UDP),
        ("IPVS_SVC_ATTR_ADDR", address),
        ("IPVS_SVC_ATTR_PORT", port),
    ]
    settings: list[tuple[str, object]] = [
        ("IPVS_SVC_ATTR_SCHED_NAME", "rr"),
        ("IPVS_SVC_ATTR_FLAGS", {"flags": 0, "mask": 0xFFFFFFFF}),
        ("IPVS_SVC_ATTR_TIMEOUT", 0),
        # of IPv6 the length of the prefix, in this machine's byte order
        ("IPVS_SVC_ATTR_NETMASK", "255.255.255.255" if family == socket.AF_INET else "128.0.0.0"),
    ]
    _ask(end, ipvs.IPVS_CMD_NEW_SERVICE, service + settings)
    try:
        yield service
    finally:
        _ask(end, ipvs.IPVS_CMD_DEL_SERVICE, service)


def _ask(
    end: Namespace,
    command: int,
    service: list[tuple[str, object]],
    server: list[tuple[str, object]] | None = None,
) -> None:
    with end.entered(), ipvs.IPVSSocket() as netlink:
        message = ipvs.ipvsmsg()
        message["cmd"] = command
        message["version"] = ipvs.GENL_VERSION
        message["attrs"] = [("IPVS_CMD_ATTR_SERVICE", {"attrs": service})]
        if server is not None:
            message["attrs"].append(("IPVS_CMD_ATTR_DEST", {"attrs": server}))
        netlink.nlm_request(message, msg_type=netlink.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK)
