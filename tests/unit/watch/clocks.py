"""Time that passes when the test says so."""

from dropwatch.watch.store import Who

NOON = 1795208400.0  # a whole hour
WHO = Who("0.0", "router", 4026531840)


class Clocks:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.wall, self.since_boot = NOON, 1000.0

    def step(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds
