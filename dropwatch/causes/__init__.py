"""What whydrop knows: every cause of packet loss, in the order in which they are tried."""

from dropwatch.causes.benign.benign import BENIGN
from dropwatch.causes.bpf import BPF
from dropwatch.causes.cause import Cause
from dropwatch.causes.device.bridge import DEVICE_BRIDGE
from dropwatch.causes.device.device import DEVICE
from dropwatch.causes.fragment import FRAGMENT
from dropwatch.causes.ipsec.input import IPSEC
from dropwatch.causes.ipsec.output import IPSEC_OUTPUT
from dropwatch.causes.ipsec.policy import IPSEC_POLICY
from dropwatch.causes.ipv6 import IPV6
from dropwatch.causes.malformed import MALFORMED
from dropwatch.causes.neighbour import NEIGHBOUR
from dropwatch.causes.netfilter.engines import NETFILTER_ENGINES
from dropwatch.causes.netfilter.rules import NETFILTER_RULES
from dropwatch.causes.queueing import QUEUEING
from dropwatch.causes.routing.addresses import ROUTING_ADDRESSES
from dropwatch.causes.routing.paths import ROUTING_WAYS
from dropwatch.causes.socket.access import SOCKET_ACCESS
from dropwatch.causes.socket.queues import SOCKET_QUEUES
from dropwatch.causes.tcp.authentication import TCP_AUTHENTICATION
from dropwatch.causes.tcp.state import TCP_STATE
from dropwatch.causes.tcp.window import TCP_WINDOW
from dropwatch.causes.tunnel import TUNNEL

# The first that has something to say decides. What is harmless comes first: its judges are the strictest, and a
# free that is no loss must not be taken for one.
CATALOGUE: tuple[Cause, ...] = (
    *BENIGN,
    *IPSEC,
    *IPSEC_POLICY,
    *IPSEC_OUTPUT,
    *NETFILTER_RULES,
    *NETFILTER_ENGINES,
    *ROUTING_ADDRESSES,
    *ROUTING_WAYS,
    *NEIGHBOUR,
    *SOCKET_ACCESS,
    *SOCKET_QUEUES,
    *TCP_WINDOW,
    *TCP_STATE,
    *TCP_AUTHENTICATION,
    *MALFORMED,
    *FRAGMENT,
    *QUEUEING,
    *BPF,
    *DEVICE,
    *DEVICE_BRIDGE,
    *TUNNEL,
    *IPV6,
)
_BY_ID = {cause.id: cause for cause in CATALOGUE}


def by_id(cause_id: str) -> Cause | None:
    """The cause with this id, in any case of letters; None if there is none."""
    return _BY_ID.get(cause_id.lower())
