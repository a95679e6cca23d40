"""Names and words that others chose: made harmless once, where they are read, and quoted in one way for a shell.

Interfaces, processes, namespaces, chains, sets, programs, symbols may be called anything but NUL and `/`. In whydrop a
name is printable text on one line, in which each other byte is spelt `\\xNN`: nothing that a terminal obeys, no line
break and no half character is left, so that every output may print it. `raw_name` gives its bytes back.
"""

import shlex

from dropwatch.model.pattern import pattern

_ESCAPE = pattern(r"\\x([0-9a-f]{2})")
_FIRST_ESCAPED, _LAST_ESCAPED = "\udc80", "\udcff"  # what `surrogateescape` makes of a byte


def foreign(name: bytes | str) -> str:
    """A name as whydrop knows and prints it; of a text, as the system's own encoding gives it to Python."""
    text = name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
    return printable(text.replace("\\x", "\\x5cx"))


def raw_name(name: str) -> bytes:
    """The bytes of a name that `foreign` made."""
    parts = _ESCAPE.split(name)
    return b"".join(
        bytes.fromhex(part) if at % 2 else part.encode("utf-8", "surrogatepass")
        for at, part in enumerate(parts)
    )


def printable(text: str) -> str:
    """The text on one line, with all that moves a cursor, changes a colour or turns the line round spelt out.

    What is printable stays as it is, so that a text may pass through here more than once.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in _bytes(c)) for c in text)


def quoted(name: str) -> str:
    """A name that `foreign` made as one word for a shell, which makes its bytes of it; always on one line."""
    raw = raw_name(name)
    if raw == name.encode():
        return shlex.quote(name)
    escaped = name.replace("\\", "\\\\").replace("\\\\x", "\\x").replace("'", "\\x27")
    return f"$'{escaped}'"  # no quote stands in it: whoever looks for its end finds it


def is_option(name: str) -> bool:
    """Whether a tool would take the name for an option, or leave it out because it is empty."""
    return not name or name.startswith("-")


def _bytes(character: str) -> bytes:
    if _FIRST_ESCAPED <= character <= _LAST_ESCAPED:
        return bytes((ord(character) - 0xDC00,))
    return character.encode("utf-8", "surrogatepass")
