"""re.compile for what a module knows: compiled when it is used first. A run knows fifty patterns and meets five."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:
        """A re.Pattern to the type checker and to who uses it. Only isinstance() sees the difference: the types of a
        recording have patterns of re.
        """

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self.pattern, self._flags = text, flags

        def __getattr__(self, name: str) -> Any:
            """Only what is not there yet comes here."""
            compiled = re.compile(self.pattern, self._flags)
            for method in ("findall", "finditer", "fullmatch", "groups", "match", "search", "split", "sub"):
                setattr(self, method, getattr(compiled, method))
            return getattr(compiled, name)


__all__ = ["pattern"]
