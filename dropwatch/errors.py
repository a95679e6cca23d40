"""Errors a user can do something about: each knows its hint and its exit code."""

from typing import ClassVar


class WhydropError(Exception):
    """Failed while running (exit 1). Shown as two lines, `whydrop: error: ...` and `hint: ...`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongUsage(WhydropError):
    """What was asked for makes no sense or names something that is not there (exit 2)."""

    exit_code: ClassVar[int] = 2


class CannotRunHere(WhydropError):
    """This machine, or this user on it, cannot run what was asked for (exit 3)."""

    exit_code: ClassVar[int] = 3
