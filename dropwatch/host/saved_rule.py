"""Reads a rule as iptables and its sisters write it, `-A INPUT -m comment --comment "it\\'s"`, word by word."""

import re
import shlex

from dropwatch.model.pattern import pattern

# Between them both kinds of quotes are escaped, for a shell only this one (libxtables/xtables.c: xtables_save_string).
# What is not closed ends with the text, so that nothing is looked at twice.
QUOTED = pattern(r'"((?:[^"\\]|\\.)*)("?)', re.DOTALL)
_ESCAPED = pattern(r"\\(.)", re.DOTALL)


def words_of(text: str) -> list[str]:
    """Raises ValueError for what is no such line."""
    return shlex.split(QUOTED.sub(_for_a_shell, text))


def _for_a_shell(found: re.Match[str]) -> str:
    return shlex.quote(_ESCAPED.sub(r"\1", found[1])) if found[2] else found[0]
