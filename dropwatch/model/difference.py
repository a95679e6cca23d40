"""What two runs differ in: of each sort of findings, how many there were before and after."""

from typing import Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.report import Folded, Report

What = Literal["new", "gone", "more", "fewer", "same"]


@dataclass(frozen=True, slots=True)
class Change:
    """One sort. `before` is None of a new one, `after` of one that is gone."""

    what: What
    before: Folded | None
    after: Folded | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs, each as a whole. `notes` are sentences about what makes the comparison less than exact."""

    before: Report
    after: Report
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
