"""What XDP programs lose by an error, as the kernel's tracepoints count it."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class XdpError:
    """Of a program on the interface of this index. `action` is what failed: `XDP_ABORTED`, `redirect`, ..."""

    netns: int
    ifindex: int
    program: int
    action: str
