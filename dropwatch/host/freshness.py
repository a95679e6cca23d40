"""For how long what the host answered holds: kept while a drop is judged, so that an equal one need not be."""

FOREVER = 1 << 63


class Freshness:
    """Since start(): drops of up to `until_ns` (monotonic) would get the same answers; `changed_ns` is the last change
    that was told of.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.until_ns = FOREVER
        self.changed_ns = 0

    def ends(self, until_ns: int) -> None:
        """An answer is not for later drops."""
        self.until_ns = min(self.until_ns, until_ns)

    def changes(self, at_ns: int) -> None:
        """An answer said that something changed then: what was judged by it is so only of drops after it, or before."""
        self.changed_ns = max(self.changed_ns, at_ns)
