"""One thing that the self-test found out about this machine."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of `whydrop check`. `works` is None when it could not be found out.

    Without a `vital` one whydrop cannot run, without a `probe` it cannot explain what that family explains, without
    another it says less. `todo` is what to do about it.
    """

    name: str
    works: bool | None
    text: str
    todo: str | None = None
    vital: bool = False
    probe: bool = False
