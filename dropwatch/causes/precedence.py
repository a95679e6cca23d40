"""The order of precedence: the families of causes, in the order in which they are asked about a drop."""

from dropwatch.causes.benign.family import BENIGN
from dropwatch.causes.bpf.family import BPF
from dropwatch.causes.device.family import DEVICE
from dropwatch.causes.family import Family
from dropwatch.causes.fragment.family import FRAGMENT
from dropwatch.causes.ipsec.family import IPSEC
from dropwatch.causes.ipv6 import IPV6
from dropwatch.causes.ipvs import IPVS
from dropwatch.causes.malformed.family import MALFORMED
from dropwatch.causes.neighbour.family import NEIGHBOUR
from dropwatch.causes.netfilter.family import NETFILTER
from dropwatch.causes.queueing.family import QUEUEING
from dropwatch.causes.routing.family import ROUTING
from dropwatch.causes.send.family import SEND
from dropwatch.causes.socket.family import SOCKET
from dropwatch.causes.tcp.family import TCP
from dropwatch.causes.tunnel.family import TUNNEL

# Each is asked once; the first that has something to say decides. Inside a family its own list does the same.
FAMILIES: tuple[Family, ...] = (
    BENIGN,  # its evidence is the strictest, and a free that is no loss must not be taken for one
    SEND,  # there was no packet, and no other family knows of it
    IPSEC,  # IPsec, netfilter and programs of BPF have probes of their own, which saw who refused this very packet
    IPVS,  # which is a function at netfilter's hooks
    NETFILTER,
    BPF,
    ROUTING,  # from here on the place, the packet and the kernel's reason tell
    NEIGHBOUR,
    SOCKET,
    TCP,
    MALFORMED,
    FRAGMENT,
    QUEUEING,
    DEVICE,
    TUNNEL,
    IPV6,
)
