"""Ends of tunnels, and services of IPVS, as objects."""

from typing import Annotated, ClassVar, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.word import Text


@dataclass(frozen=True, slots=True)
class WireguardPeer:
    """A peer of a WireGuard interface, as it was after the drop."""

    kind: ClassVar[Literal["wireguard-peer"]] = "wireguard-peer"
    text: Text
    interface: Annotated[str, "name of the interface"]
    public_key: Annotated[str, "its public key, as wg shows it"]
    allowed_ips: Annotated[tuple[str, ...], "the prefixes that it may use"]
    endpoint: Annotated[str | None, "address and port that it is sent to; null: none is known"]
    latest_handshake: Annotated[int | None, "seconds before the reading; null: there was none"]


@dataclass(frozen=True, slots=True)
class IpvsService:
    """A virtual service of IPVS, as it was after the drop."""

    kind: ClassVar[Literal["ipvs-service"]] = "ipvs-service"
    text: Text
    protocol: Annotated[str | None, "tcp, udp or sctp; null of one for a firewall mark"]
    address: Annotated[str | None, "its virtual address; null of one for a firewall mark"]
    port: Annotated[int, "its port; 0: all"]
    fwmark: Annotated[int | None, "the firewall mark that it is for"]
    scheduler: Annotated[str, "how it chooses a server: rr, wlc, ..."]
    servers: Annotated[int, "how many real servers it has"]
    weighted: Annotated[int, "how many of them have a weight above 0"]
