"""IPVS: a virtual service that has no server for a new connection."""

from collections.abc import Sequence

from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family, Judgement
from dropwatch.causes.netfilter.hook_signs import refusal
from dropwatch.host.host import Host
from dropwatch.host.ipvs import Server, Service
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.model.tunnel import IpvsService

_SOURCE = "IPVS, after the drop"
_SHOWN = 3
_OPTIONS: dict[str | None, str] = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_SEE = Fix("see the service, its servers, their weights and connections", "ipvsadm -Ln")

_PLACES = ("nf_hook_slow", "ip_vs_in_hook")

_NONE = Cause(
    id="ipvs.no-server",
    title="IPVS: the virtual service has no server",
    why="""
The packet is for a virtual service of IPVS, and there is no real server that could get it: none was added, the last
one was taken away, or each has weight 0, which means that it gets no new connections. So kube-proxy in IPVS mode, or
keepalived, shows a service none of whose servers is ready. IPVS answers with ICMP port unreachable.
""",
    confirm="""
$ ipvsadm -Ln
""",
    fix=(
        _SEE,
        Fix(
            "add a server, or see why whoever manages the service has none that is ready (in Kubernetes: "
            "`kubectl get endpointslices`)"
        ),
    ),
    seen_as=("NETFILTER_DROP",),
    seen_at=_PLACES,
)
_FULL = Cause(
    id="ipvs.overloaded",
    title="IPVS: each server of the virtual service has as many connections as it may",
    why="""
A real server can have an upper threshold of connections. Once it has so many it gets no new ones, until their number
has fallen below the lower threshold, or to three quarters. All servers of this service that have a weight are in that
state. Connections that are over count until their entries expire.
""",
    confirm="""
$ ipvsadm -Ln
$ ipvsadm -Ln --thresholds
""",
    fix=(
        _SEE,
        Fix("add a server, or raise the upper threshold (`ipvsadm -e ... -x`)"),
    ),
    seen_as=("NETFILTER_DROP",),
    seen_at=_PLACES,
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    """Servers may have come or gone since: no probe sees that."""
    refused = refusal(drop)
    if refused is None or not refused.function.startswith("ip_vs_"):
        return None
    service = _service(drop, host.ipvs_services(drop.event.netns, drop.event.monotonic_ns) or ())
    servers = _servers(drop, host, service) if service is not None else None
    if service is None or servers is None:
        return None
    able = [server for server in servers if server.weight > 0]
    if any(not _is_full(server) for server in able):
        return None
    cause = _FULL if able else _NONE
    evidence = Evidence(_SOURCE, f"{_words(service)}: {_why(servers, able)}", "proof"), refused.evidence
    see = Fix(_SEE.text, f"ipvsadm -Ln {_option(service)}")
    return cause.id, Verdict(
        "likely", _culprit(service, len(servers), len(able)), evidence, (see, *cause.fix[1:])
    )


def _servers(drop: Drop, host: Host, service: Service) -> tuple[Server, ...] | None:
    """None where they could not be read."""
    if service.servers is not None:
        return service.servers
    key = (service.family, service.mark, service.protocol, service.address, service.port)
    return host.ipvs_servers(drop.event.netns, *key, drop.event.monotonic_ns)


def _culprit(service: Service, servers: int, weighted: int) -> IpvsService:
    return IpvsService(
        f"{_words(service)} {service.scheduler}",
        service.protocol,
        str(service.address) if service.address is not None else None,
        service.port,
        service.mark or None,
        service.scheduler,
        servers,
        weighted,
    )


def _why(servers: Sequence[Server], able: Sequence[Server]) -> str:
    if able:
        return "connections: " + _some(
            [f"{_at(one)} has {one.connections:,} of {one.limit:,}" for one in able]
        )
    if servers:
        return "each server has weight 0: " + _some([_at(one) for one in servers])
    return "it has no server"


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _service(drop: Drop, services: Sequence[Service]) -> Service | None:
    """As the kernel looks for it (ip_vs_service_find): by the mark, by the port, then the one for all ports."""
    packet = drop.packet
    of_mark = [
        one for one in services if one.mark and one.mark == packet.mark and one.family in (0, packet.family)
    ]
    of_address = [
        one
        for one in services
        if one.address == packet.daddr and one.protocol == packet.proto and one.address
    ]
    of_port = [one for one in of_address if one.port == packet.dport]
    for_all = [one for one in of_address if not one.port]
    return next(iter((*of_mark, *of_port, *for_all)), None)


def _is_full(server: Server) -> bool:
    return 0 < server.limit <= server.connections


def _words(service: Service) -> str:
    return f"fwmark {service.mark}" if service.address is None else f"{service.protocol} {_at(service)}"


def _option(service: Service) -> str:
    """As ipvsadm takes it."""
    return f"-f {service.mark}" if service.address is None else f"{_OPTIONS[service.protocol]} {_at(service)}"


def _at(one: Service | Server) -> str:
    return f"[{one.address}]:{one.port}" if ":" in str(one.address) else f"{one.address}:{one.port}"


IPVS = Family("ipvs", (_NONE, _FULL), _judge)
