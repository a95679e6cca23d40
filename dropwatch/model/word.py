"""Texts that commands have in them as they are, and are therefore held to a pattern where a file is read."""

import re
from typing import Annotated

# `esp`, `in_trigger`, `ip6`, and the number of what has no name.
WORD = re.compile(r"[a-z0-9][a-z0-9_-]*")
Word = Annotated[str, WORD]
Text = Annotated[str, "as the standard tool prints it, or what is known of it in words"]
"""Of an object."""
