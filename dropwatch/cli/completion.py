"""Completion in shells: which words may stand at the cursor, and where they come from."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class

from dropwatch.cli.completion_scripts import SCRIPTS

Words = Iterable[tuple[str, str]]
_FILE = "//file"
_HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@%+,-/!*")


class _Complete(ShellComplete):
    """Completion by the protocol of completion_scripts.py."""

    def source(self) -> str:
        return SCRIPTS[self.name]

    def get_completion_args(self) -> tuple[list[str], str]:
        before = os.environ.get("WHYDROP_WORDS", "").split("\n")
        words = [word for word in before if word not in ("", "=")]  # bash takes --cause=x apart
        return words, os.environ.get("WHYDROP_CURRENT", "").lstrip("\"'")

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        try:
            return super().get_completions(args, incomplete)
        except Exception:  # whatever is wrong with the words so far: their error comes when they are run
            return []

    def format_completion(self, item: CompletionItem) -> str:
        value = _FILE if item.type in ("file", "dir") else item.value
        return f"{value}\t{(item.help or '').replace(chr(10), ' ')}"


def register() -> None:
    """From now on click completes by the protocol of completion_scripts.py, whatever its version does."""
    for shell in SCRIPTS:
        add_completion_class(type(f"{shell.title()}Complete", (_Complete,), {"name": shell}))


def complete(param: click.Parameter, incomplete: str) -> list[CompletionItem] | None:
    """What may stand for a parameter; None where click itself knows best."""
    words = _WORDS.get(param.name or "")
    if words is None:
        return None
    return [
        CompletionItem(value, "file" if value == _FILE else "plain", help=text)
        for value, text in words(incomplete)
        if value == _FILE or (value.startswith(incomplete) and _HARMLESS.issuperset(value))
    ]


def _causes(incomplete: str) -> Words:
    from dropwatch.explain import catalogue
    from dropwatch.names import symbols

    negated = "!" if incomplete.startswith("!") else ""
    for name, words in symbols.families().items():
        yield f"{negated}{name}.*", words
    for cause in catalogue.causes().values():
        yield f"{negated}{cause.id}", cause.title


def _reasons(incomplete: str) -> Words:
    from dropwatch.names import symbols

    negated = "!" if incomplete.startswith("!") else ""
    return ((f"{negated}{reason.name}", reason.words) for reason in symbols.reasons().values())


def _pages(incomplete: str) -> Words:
    """Families and causes; of what has many names, those that begin so."""
    from dropwatch.explain import catalogue
    from dropwatch.explain.counters import counters, names_of
    from dropwatch.names import symbols

    yield from symbols.families().items()
    for cause in catalogue.causes().values():
        yield cause.id, cause.title
    if not incomplete:
        return
    for cause in catalogue.causes().values():
        yield cause.id.partition(".")[2], cause.title
    for counter in counters().values():
        for name in names_of(counter):
            yield name, counter.words.text if counter.words is not None else "a counter"
    yield from _reasons("")
    for function in symbols.functions().values():
        yield function.name, function.text


def _interfaces(incomplete: str) -> Words:
    """Of all namespaces that may be looked into: a filter asks for an interface in any of them."""
    from dropwatch.host.interfaces import seen_interfaces

    names, _ = seen_interfaces()
    return ((name, "interface") for name in sorted(names))


def _namespaces(incomplete: str) -> Words:
    return ((name, "network namespace") for name in _listed(Path("/run/netns")))


def _protocols(incomplete: str) -> Words:
    from dropwatch.names.protocols import NAMES

    return ((name, f"protocol {number}") for number, name in NAMES.items())


def _files(incomplete: str) -> Words:
    return ((_FILE, ""),)


def _listed(directory: Path) -> Iterator[str]:
    try:
        yield from sorted(path.name for path in directory.iterdir())
    except OSError:
        return


_WORDS: dict[str, Callable[[str], Words]] = {
    "a": _files,
    "b": _files,
    "cause": _causes,
    "file": _files,
    "iface": _interfaces,
    "netns": _namespaces,
    "otlp_headers": _files,
    "proto": _protocols,
    "ready_file": _files,
    "btf": _files,
    "store": _files,
    "reason": _reasons,
    "words": _pages,
    "write": _files,
}
