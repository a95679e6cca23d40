"""What is read after a drop, and may have been changed by then."""

from typing import Literal

Change = Literal[
    "namespace",
    "links",
    "routes",
    "policies",
    "SAs",
    "sysctls",
    "tc",
    "SA updates",
    "programs",
    "departures",
]
