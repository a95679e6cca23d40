"""One page of what whydrop knows: about a cause, a drop reason, a kernel function, or all there is."""

from dropwatch.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """`text` is paragraphs; a line in it that starts with "$ " is a command. `entries` are pairs of name and words."""

    heading: str
    text: str = ""
    entries: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """`kind` says what `name` is: `cause`, `drop reason`, `kernel function`; empty for a page about many things."""

    name: str
    kind: str
    headline: str
    sections: tuple[Section, ...]
