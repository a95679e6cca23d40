"""What the reader of the full screen has chosen: order, filter, row, page; and what each key changes of it."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dropwatch.model.dataclass import dataclass
from dropwatch.model.summary import SummaryRow
from dropwatch.render.summary import phrases

Page = Literal["rows", "row", "beside", "help"]
_ORDERS: dict[str, Callable[[SummaryRow], Any]] = {
    "rate": lambda row: (-row.rate, -row.packets),
    "total": lambda row: -row.packets,
    "since": lambda row: -row.first,
    "why": lambda row: (row.cause_id, -row.packets),
}
_LONGEST_FILTER = 40


@dataclass(slots=True)
class Look:
    """`selected` is the key of a row, None for the first; `scroll` is in lines, of a page that may be longer."""

    order: str = "rate"
    backwards: bool = False
    text: str = ""
    typing: bool = False
    paused: bool = False
    page: Page = "rows"
    selected: str | None = None
    scroll: int = 0
    _before_help: Page = "rows"

    def rows(self, rows: Sequence[SummaryRow]) -> list[SummaryRow]:
        """Those that the filter lets through, in the order that was chosen."""
        wanted = self.text.lower()
        found = [row for row in rows if wanted in _words(row)]
        return sorted(found, key=_ORDERS[self.order], reverse=self.backwards)

    def press(self, key: str, rows: Sequence[SummaryRow], height: int) -> bool:
        """One key: a character, or `up`, `down`, `page-up`, `page-down`, `home`, `end`, `enter`, `escape`, `backspace`.

        `height` is how many lines a page has. True when whydrop is to end.
        """
        if self.typing:
            self._type(key)
        elif key == "q":
            return True
        elif key in ("p", " "):
            self.paused = not self.paused
        elif key == "?" and self.page != "help":
            self._before_help, self.page, self.scroll = self.page, "help", 0
        elif self.page == "rows":
            self._press_in_rows(key, rows, height)
        else:
            self._press_in_page(key, height)
        return False

    def at(self, rows: Sequence[SummaryRow]) -> int:
        """Where the selected row stands; the first where it does not, or is gone."""
        return next((at for at, row in enumerate(rows) if row.key == self.selected), 0)

    def _type(self, key: str) -> None:
        if key == "escape":
            self.text, self.typing = "", False
        elif key == "enter":
            self.typing = False
        elif key == "backspace":
            self.text = self.text[:-1]
        elif len(key) == 1 and key.isprintable() and len(self.text) < _LONGEST_FILTER:
            self.text += key

    def _press_in_rows(self, key: str, rows: Sequence[SummaryRow], height: int) -> None:
        orders = list(_ORDERS)
        if key == "s":
            self.order, self.backwards = orders[(orders.index(self.order) + 1) % len(orders)], False
        elif key == "r":
            self.backwards = not self.backwards
        elif key == "/":
            self.typing = True
        elif key == "escape":
            self.text = ""
        elif key == "o":
            self.page, self.scroll = "beside", 0
        elif key == "enter" and rows:
            self.selected = rows[self.at(rows)].key
            self.page, self.scroll = "row", 0
        else:
            self._move(key, rows, height)

    def _move(self, key: str, rows: Sequence[SummaryRow], height: int) -> None:
        if rows and (step := _steps(height, len(rows)).get(key)) is not None:
            self.selected = rows[min(max(self.at(rows) + step, 0), len(rows) - 1)].key

    def _press_in_page(self, key: str, height: int) -> None:
        if self.page == "help" and key in ("escape", "enter", "backspace", "?"):
            self.page, self.scroll = self._before_help, 0
        elif key in ("escape", "enter", "backspace", "o"):
            self.page, self.scroll = "rows", 0
        elif (step := _steps(height, 1 << 16).get(key)) is not None:
            self.scroll = max(0, self.scroll + step)


def _steps(height: int, all_of_them: int) -> dict[str, int]:
    page = max(1, height - 1)
    return {
        "up": -1,
        "k": -1,
        "down": 1,
        "j": 1,
        "page-up": -page,
        "page-down": page,
        "home": -all_of_them,
        "end": all_of_them,
    }


def _words(row: SummaryRow) -> str:
    """Everything by which a row can be found."""
    parts = (
        row.cause_id,
        row.title,
        phrases.what(row),
        phrases.where(row, None),
        *row.also,
        row.note or "",
    )
    return " ".join(parts).lower()
