"""One page of what whydrop knows: about a cause, a drop reason, a function, a counter, or all there is."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """`text` is paragraphs; a line in it that starts with "$ " is a command. `entries` are pairs of name and words, of
    which those that are `listed` get one line each.

    `sample` is what whydrop printed once, to be shown as it is.
    """

    heading: str
    text: str = ""
    entries: tuple[tuple[str, str], ...] = ()
    sample: str = ""
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """`kind` says what `name` is: `cause`, `drop reason`, `counter`, ...; empty for a page about many things."""

    name: str
    kind: str
    headline: str
    sections: tuple[Section, ...]
