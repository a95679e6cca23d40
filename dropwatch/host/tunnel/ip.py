"""Tunnels of IP: GRE, IP in IP, 6in4, and GENEVE, with the addresses of both ends and their keys."""

from ipaddress import ip_address

from dropwatch.host.links import about, links_with_flags, name_of
from dropwatch.host.netlink import number
from dropwatch.host.netns.enter import entered
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address

# linux/if_link.h, linux/if_tunnel.h
_LINK_NETNSID = 37  # IFLA_*
_UP = 1  # IFF_UP
_GRE_LINK, _IFLAGS, _IKEY, _OKEY, _GRE_LOCAL, _GRE_REMOTE = 1, 2, 4, 5, 6, 7  # IFLA_GRE_*
_GRE_EXTERNAL, _GRE_MARK = 18, 20
_IP_LINK, _IP_LOCAL, _IP_REMOTE, _IP_PROTO, _IP_EXTERNAL, _IP_MARK = 1, 2, 3, 9, 19, 20  # IFLA_IPTUN_*
_ID, _REMOTE4, _PORT, _EXTERNAL, _REMOTE6 = 1, 2, 5, 6, 7  # IFLA_GENEVE_*
_CHECKSUM, _KEY, _SEQUENCE = 0x8000, 0x2000, 0x1000  # GRE_CSUM, _KEY, _SEQ, in network order

GRE = ("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan")
_IP = ("ipip", "sit", "ip6tnl")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """`kind` is the word of `ip link`. An address is None where any will do. `key` is that which its packets must have
    when they come in, None: none; of GENEVE the VNI. `inner` is the number of the protocol that it carries alone, 0:
    any. `link` and `elsewhere` are as in Vxlan.
    """

    name: str
    ifindex: int
    kind: str
    up: bool
    local: Address | None = None
    remote: Address | None = None
    key: int | None = None
    checksum: bool = False
    sequence: bool = False
    inner: int = 0
    link: int = 0
    mark: int = 0
    port: int = 0
    external: bool = False
    elsewhere: bool = False

    @property
    def is_gre(self) -> bool:
        return self.kind in GRE


def read_tunnels(netns_inode: int) -> tuple[Tunnel, ...]:
    """Raises OSError when the namespace is gone or does not answer."""
    with entered(netns_inode):
        return tuple(each for each in links_with_flags(tunnel_of) if each is not None)


def tunnel_of(index: int, flags: int, link: dict[int, bytes]) -> Tunnel | None:
    """None for an interface of another kind. Raises ValueError."""
    its, name = about(link), name_of(link)
    kind, data = its.kind, its.data
    up, elsewhere = bool(flags & _UP), _LINK_NETNSID in link
    if kind in GRE:
        wanted = int.from_bytes(data.get(_IFLAGS, b""), "big")
        return Tunnel(
            name,
            index,
            kind,
            up,
            _address(data.get(_GRE_LOCAL)),
            _address(data.get(_GRE_REMOTE)),
            int.from_bytes(data.get(_IKEY, b""), "big") if wanted & _KEY else None,
            bool(wanted & _CHECKSUM),
            bool(wanted & _SEQUENCE),
            link=number(data.get(_GRE_LINK)),
            mark=number(data.get(_GRE_MARK)),
            external=_GRE_EXTERNAL in data,
            elsewhere=elsewhere,
        )
    if kind in _IP:
        return Tunnel(
            name,
            index,
            kind,
            up,
            _address(data.get(_IP_LOCAL)),
            _address(data.get(_IP_REMOTE)),
            inner=number(data.get(_IP_PROTO)),
            link=number(data.get(_IP_LINK)),
            mark=number(data.get(_IP_MARK)),
            external=_IP_EXTERNAL in data,
            elsewhere=elsewhere,
        )
    if kind == "geneve":
        return Tunnel(
            name,
            index,
            kind,
            up,
            remote=_address(data.get(_REMOTE4) or data.get(_REMOTE6)),
            key=number(data.get(_ID)),
            port=int.from_bytes(data.get(_PORT, b""), "big"),
            external=_EXTERNAL in data,
            elsewhere=elsewhere,
        )
    return None


def _address(raw: bytes | None) -> Address | None:
    """None where it is left open."""
    return ip_address(raw) if raw and any(raw) else None
