"""A page of knowledge as HTML."""

import re
from collections.abc import Iterator
from html import escape

from dropwatch.model.page import Page, Section
from manual.site.addresses import link

_CODE = re.compile(r"`([^`]*)`")
_SEPARATOR = ", "


def document(title: str, body: str, root: str, *, current: str = "") -> str:
    """A whole file. `root` is the way to the site's root: `` or `../`; `current` is the name of the page."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'self' file:; script-src 'self' file:; img-src data:">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}style.css">
</head>
<body data-root="{root}">
<a class="skip" href="#main">Skip to the text</a>
<header>
<a class="home" href="{root}index.html">whydrop explain</a>
<form id="search" role="search" action="{root}index.html" hidden>
<label for="words">Search</label>
<input id="words" name="q" type="search" autocomplete="off" spellcheck="false" placeholder="rp filter, ListenDrops, ..."
 aria-controls="hits" aria-describedby="count">
</form>
</header>
<section id="found" aria-label="Search results" hidden>
<p id="count" role="status"></p>
<ol id="hits"></ol>
</section>
<main id="main"{f' data-page="{escape(current)}"' if current else ""}>
{body}</main>
<script src="{root}search-data.js" defer></script>
<script src="{root}search.js" defer></script>
</body>
</html>
"""


def page_html(page: Page, root: str) -> str:
    """What stands in the main part of the page's file."""
    family = page.name.partition(".")[0]
    up = link(family, root) if page.kind == "cause" and family != page.name else None
    kind = f'<a href="{up}">{escape(family)}</a>' if up else escape(page.kind)
    lines = [
        f'<p class="kind">{kind}</p>' if kind else "",
        f"<h1>{escape(page.name)}</h1>",
        f'<p class="headline">{words(page.headline)}</p>',
        *(_section(section, root) for section in page.sections),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def words(text: str) -> str:
    """What stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def entries_html(section: Section, root: str) -> str:
    """Names with their words, each name a link where it has a page."""
    rows = (f"<dt>{_name(name, root)}</dt><dd>{_linked(text, root)}</dd>" for name, text in section.entries)
    return f'<dl class="{"listed" if section.listed else "pairs"}">\n' + "\n".join(rows) + "\n</dl>"


def _section(section: Section, root: str) -> str:
    name = section.heading.lower().replace(" ", "-")
    lines = [f'<section aria-labelledby="{name}">' if name else "<section>"]
    if name:
        lines.append(f'<h2 id="{name}">{escape(section.heading)}</h2>')
    if section.text:
        lines += _text(section.text)
    if section.sample:
        lines.append(f'<pre class="sample" tabindex="0">{escape(section.sample.rstrip())}</pre>')
    if section.entries:
        lines.append(entries_html(section, root))
    return "\n".join([*lines, "</section>"])


def _text(text: str) -> Iterator[str]:
    """Paragraphs, and commands one below the other."""
    before: list[str] = []
    kind = ""
    for line in [*text.strip().split("\n"), ""]:
        new = "command" if line.startswith("$ ") else "words" if line.strip() else ""
        if new != kind and before:
            yield _block(kind, before)
            before = []
        if new:
            before.append(line[2:] if new == "command" else line.strip())
        kind = new


def _block(kind: str, lines: list[str]) -> str:
    if kind == "command":
        return f'<pre class="command" tabindex="0"><code>{escape(chr(10).join(lines))}</code></pre>'
    return f"<p>{words(' '.join(lines))}</p>"


def _name(name: str, root: str) -> str:
    to = link(name, root)
    return escape(name) if to is None else f'<a href="{to}">{escape(name)}</a>'


def _linked(text: str, root: str) -> str:
    """A list of names, each of which may have a page, or words."""
    parts = text.split(_SEPARATOR)
    if all(link(part, root) is not None for part in parts):
        return _SEPARATOR.join(_name(part, root) for part in parts)
    return words(text)
