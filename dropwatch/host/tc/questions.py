"""What may be asked of a host's traffic control."""

from dropwatch.host.question import Asked, question
from dropwatch.host.tc.filters import Filter, read_filters
from dropwatch.host.tc.qdiscs import Qdisc, read_qdiscs


class TcQuestions(Asked):
    """A part of Host."""

    @question("qdiscs")
    def qdiscs(self, inode: int, ifindex: int) -> tuple[Qdisc, ...]:
        """Those of the interface of this index."""
        return read_qdiscs(inode, ifindex)

    @question("filters of tc")
    def tc_filters(self, inode: int, ifindex: int, parent: int) -> tuple[Filter, ...]:
        """Those at a hook of the interface of this index, or of the qdisc with this handle."""
        return read_filters(inode, ifindex, parent)
