"""What one cause of packet loss is, in words for people. How it is told from others is its family's affair."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Fix


@dataclass(frozen=True, slots=True)
class Cause:
    """One way to lose a packet.

    `title`, `why` and `confirm` are plain text; paragraphs are separated by an empty line, and a line that starts
    with "$ " is a command. Commands hold placeholders in capitals (placeholders.py and advice.py list them), which are
    filled from the drop where it tells the value. They are written as for the namespace where the drop was: advice.py
    puts them there.

    `reasons` are the kernel's drop reasons that settle this cause alone, on every kernel that has them. A cause
    without any, which no sign of its family names either, is known, but not told apart yet.

    `seen_as` and `seen_at` are for `whydrop explain`: further reasons under which, and functions in which,
    a packet dies of this cause. They decide nothing.

    `scenario` is a sentence that says why no scenario of tests/kernel/ kills packets of it; None where one does.
    """

    id: str
    title: str
    why: str
    confirm: str
    fix: tuple[Fix, ...]
    reasons: tuple[str, ...] = ()
    seen_as: tuple[str, ...] = ()
    seen_at: tuple[str, ...] = ()
    scenario: str | None = None

    @property
    def family(self) -> str:
        """`ipsec` of `ipsec.auth-failed`."""
        return self.id.partition(".")[0]
