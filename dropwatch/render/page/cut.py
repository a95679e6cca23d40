"""Texts for the page: printable, and no longer than a page can show."""

from dropwatch.names.foreign import printable

LONGEST = 4000  # characters


def cut(text: str) -> str:
    """The text, or its beginning and how much of it is left out."""
    if len(text) > LONGEST:
        return f"{printable(text[:LONGEST])}… ({len(text) - LONGEST:,} more characters)"
    return printable(text)


def cut_command(command: str | None) -> str | None:
    """Half a command is another one: it is whole, its lines kept, or not there."""
    if command is None or len(command) > LONGEST:
        return None
    return "\n".join(map(printable, command.split("\n")))
