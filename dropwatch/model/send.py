"""What is known of a send that failed before there was a packet."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class SendNote:
    """`error` is the errno that the program gets. `uid` is whose routes were asked for, `bound_ifindex` the interface
    that the send is bound to, `mtu` how many bytes the packet might have had, `length` how many the program gave.
    `hook`, of enum bpf_attach_type, is that of the cgroup's programs that refused it.
    """

    error: int
    uid: int
    bound_ifindex: int | None = None
    mtu: int | None = None
    length: int | None = None
    hook: int | None = None
