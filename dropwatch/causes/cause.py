"""What one cause of packet loss is: words for people, and how it is recognised."""

from collections.abc import Callable
from dataclasses import dataclass

from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Fix, Verdict

Judge = Callable[[Drop, Host], Verdict | None]


@dataclass(frozen=True, slots=True)
class Cause:
    """One way to lose a packet.

    `title`, `why` and `confirm` are plain text; paragraphs are separated by an empty line, and a line that starts
    with "$ " is a command. Commands hold placeholders in capitals (fill.py lists them), which are filled from
    the drop where it tells the value.

    `reasons` are the kernel's drop reasons that settle this cause alone, on every kernel that has them. `judge`
    looks at a drop that no reason settles; it returns None where it has nothing to say, and calls a verdict
    `certain` only if the kernel said so or evidence for this packet leaves one explanation. A cause with neither
    is known, but not told apart yet.

    `seen_as` and `seen_at` are for `whydrop explain`: further reasons under which, and functions in which,
    a packet dies of this cause. They decide nothing.
    """

    id: str
    title: str
    why: str
    confirm: str
    fix: tuple[Fix, ...]
    reasons: tuple[str, ...] = ()
    judge: Judge | None = None
    seen_as: tuple[str, ...] = ()
    seen_at: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """`ipsec` of `ipsec.auth-failed`."""
        return self.id.partition(".")[0]
