"""Bytes that anybody may send or leave, made by hypothesis. The same each time, and all in less than a minute.

`WHYDROP_FUZZ=50 make test ARGS=tests/unit/fuzz` tries fifty times as many, other ones each time.
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = 200
TIMES = int(os.environ.get("WHYDROP_FUZZ", "0"))

settings.register_profile(
    "whydrop",
    max_examples=EXAMPLES * max(TIMES, 1),
    derandomize=not TIMES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("whydrop")
