"""What the kernel may not refuse without the run being over, or tried with less."""

from dropwatch.errors import CannotRunHere


class Refused(CannotRunHere):
    """The verifier does not take the programs as they are."""


def accept(what: str, refused: str | None) -> None:
    """Raises Refused where there are words of why."""
    if refused is not None:
        raise Refused(
            f"the {what} refused by this kernel: {refused}",
            "whydrop check tells what this host can do; please report this kernel",
        )
