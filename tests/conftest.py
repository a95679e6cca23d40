"""For all tests: the laboratory can be imported, and no line of JSON is made that the schema does not describe."""

import json
import sys
from pathlib import Path

import pytest

from dropwatch.render.lines import write

# The laboratory, and what else guests need too: there PYTHONPATH does it.
sys.path.insert(0, str(Path(__file__).parent / "kernel"))


@pytest.fixture(autouse=True)
def every_line_is_as_the_schema_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test makes whydrop print in this process, it cannot leave unseen that a line is not as promised."""

    from json_lines import check

    made = write.ended

    def ended(text: str) -> str:
        check(json.loads(text))
        return made(text)

    monkeypatch.setattr(write, "ended", ended)
