"""`python -m manual`: writes the files of `make docs`; `python -m manual site DIRECTORY`: the site."""

import sys
from pathlib import Path

from manual import files
from manual.files import Made


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["site"]:
        from manual.site.pages import write_site

        write_site(Path(arguments[1]))
        return
    _write(files.words())
    _write(files.samples())
    for made in files.pages():
        _write(made)
    for path in files.stray():
        path.unlink()


def _write(made: Made) -> None:
    """Only what has changed."""
    path, make = made
    text = make()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


main(sys.argv[1:])
