"""The run that the README shows, in words and as a picture: what replaying docs/example.whydrop prints."""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from dropwatch.cli.main import main
from manual.shown import utc

_ROOT = Path(__file__).parent.parent
_RECORDING = "docs/example.whydrop"
_WORDS = ("-4", "--cause", "ipsec.no-state", "--cause", "netfilter.nft-rule")
COMMAND = " ".join(("whydrop replay", _RECORDING, *_WORDS))
_BEGIN, _END = "<!-- example -->\n", "<!-- end of example -->\n"
_COLUMNS = 80
_SIZE, _WIDTH, _HEIGHT, _EDGE = 13, 7.83, 18, 16  # of a letter and a line, in pixels
_SELECT = re.compile("\x1b\\[([0-9;]*)m")
# The letters of a style by the codes of select graphic rendition (ECMA-48).
_CLASSES = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "35": "m", "36": "c"}
_STYLE = """
text { font: %dpx ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: #1f2328 }
rect { fill: #f6f8fa; stroke: #d1d9e0 }
.b { font-weight: bold } .d { opacity: .65 }
.r { fill: #b3261e } .g { fill: #1a7f37 } .y { fill: #7d4e00 } .m { fill: #8250df } .c { fill: #0a6c8f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } rect { fill: #0d1117; stroke: #3d444d }
  .r { fill: #ff7b72 } .g { fill: #7ee787 } .y { fill: #e3b341 } .m { fill: #d2a8ff } .c { fill: #76e3ea }
}
"""


def readme() -> str:
    """README.md, with the run as it is printed now."""
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}```\n$ {COMMAND}\n{_printed()}```\n{_END}{after}"


def picture() -> str:
    """An image in SVG for light and dark grounds, as wide as its longest line."""
    lines = [f"$ {COMMAND}", *_printed("always").rstrip("\n").split("\n")]
    widest = max(len(_SELECT.sub("", line)) for line in lines)
    width, height = round(widest * _WIDTH) + 2 * _EDGE, len(lines) * _HEIGHT + 2 * _EDGE
    rows = "\n".join(
        f'<text x="{_EDGE}" y="{_EDGE + _SIZE + number * _HEIGHT}" xml:space="preserve">{_spans(line)}</text>'
        for number, line in enumerate(lines)
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>What {escape(COMMAND)} prints</title>
<style>{_STYLE % _SIZE}</style>
<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="6"/>
{rows}
</svg>
"""


def _spans(line: str) -> str:
    return "".join(
        f'<tspan class="{style}">{escape(text)}</tspan>' if style else escape(text)
        for text, style in _styled(line)
    )


def _styled(line: str) -> Iterator[tuple[str, str]]:
    """Pieces of text with the classes of their style."""
    text, *rest = _SELECT.split(line)
    style = ""
    while True:
        if text:
            yield text, style
        if not rest:
            return
        codes, text, *rest = rest
        style = " ".join(_CLASSES[code] for code in codes.split(";") if code in _CLASSES)


def _printed(colour: str = "never") -> str:
    """On both streams, without the first line, which names the version."""
    with (
        utc(),
        _columns(),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        main(["replay", str(_ROOT / _RECORDING), *_WORDS, "--color", colour])
    return out.getvalue() + re.split(r"\n(?!  )", err.getvalue(), maxsplit=1)[1]


@contextlib.contextmanager
def _columns() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_COLUMNS)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
