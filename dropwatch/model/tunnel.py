"""Ends of tunnels as objects."""

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
