"""Makes the laboratory (tests/kernel/lab) importable for the tests on the host; in a guest PYTHONPATH does it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "kernel"))
