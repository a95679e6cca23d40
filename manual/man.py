"""docs/whydrop.1: the manual page, made of what the command line says of itself."""

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc

import click

from dropwatch import __version__
from dropwatch.cli.arguments import SECTIONS
from dropwatch.cli.main import whydrop
from dropwatch.explain import catalogue
from dropwatch.names import symbols

_NAME = "whydrop"
_SUMMARY = "says why, where, and by which line of your configuration the Linux kernel dropped a packet"
_ENVIRONMENT = (
    ("NO_COLOR", "When set to anything but nothing: no colours."),
    (
        "PAGER",
        "What shows a page of whydrop explain that is longer than the terminal: less unless told otherwise; "
        "cat or nothing for none. LESS is set to FRX where it is not set.",
    ),
    (
        "WHYDROP_CAUSE_URL",
        "Where the pages of causes are, as https://docs.example/causes/{id}.html: then cause.url in "
        "the JSON is the address of the cause's page; null without it. "
        "sudo passes it on with --preserve-env=WHYDROP_CAUSE_URL.",
    ),
)
_CODES = re.compile(r"(\d+) ([^,.]+)")


def page(name: str = _NAME) -> str:
    """The page, in the macros of man(7)."""
    context = whydrop.make_context(name, [], resilient_parsing=True)
    lines = [
        '.\\" Made by `make docs` from the options of the command line.',
        f'.TH {name.upper()} 1 "" "{name} {__version__}" "{name} manual"',
        ".SH NAME",
        f"{name} \\- {_roff(_SUMMARY)}",
        ".SH SYNOPSIS",
        *_synopsis(context),
        ".SH DESCRIPTION",
        *_paragraphs(_help_text(context)),
        *_options(context, ".SH"),
        ".SH COMMANDS",
    ]
    for word, command in whydrop.commands.items():
        if command.hidden:
            continue
        lines += _command(word, command, context)
    lines += [".SH CAUSES", f"{len(catalogue.causes())} causes of packet loss have a page. Their families:"]
    for family, words in symbols.families().items():
        lines += [".TP", f".B {_roff(family)}", _roff(f"{words[:1].upper()}{words[1:]}.")]
    lines += [".SH ENVIRONMENT"]
    for variable, words in _ENVIRONMENT:
        lines += [".TP", f".B {variable}", _roff(words)]
    lines += [*_epilog(context), ".SH SEE ALSO"]
    lines += [
        ".BR nft (8),",
        ".BR iptables (8),",
        ".BR ip-xfrm (8),",
        ".BR ss (8),",
        ".BR nstat (8),",
        ".BR tcpdump (8)",
    ]
    return "\n".join(lines) + "\n"


def _synopsis(context: click.Context) -> Iterator[str]:
    usage = _formatted(context, whydrop.format_usage).partition("Usage:")[2]
    for number, line in enumerate(usage.strip().split("\n")):
        yield from ((".br",) if number else ())
        yield _roff(line.strip())


def _help_text(context: click.Context) -> str:
    return cleandoc(_formatted(context, whydrop.format_help_text))


def _command(word: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = command.make_context(word, [], parent=parent, resilient_parsing=True)
    usage = _formatted(context, command.format_usage).partition("Usage:")[2]
    yield f'.SS "{_roff(" ".join(usage.split()))}"'
    yield from _paragraphs(command.help or "")
    everywhere = {record for param in whydrop.get_params(parent) if (record := param.get_help_record(parent))}
    yield from _options(context, "", known=everywhere)


def _options(context: click.Context, head: str, known: Iterable[tuple[str, str]] = ()) -> Iterator[str]:
    """Those of a command that are not `known` already, under their headings, or without `head` without any.

    Arguments are none: some releases of click have an empty record of theirs.
    """
    rows: dict[str, list[tuple[str, str]]] = {}
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if isinstance(param, click.Option) and record and record not in known and param.name != "debug":
            rows.setdefault(getattr(param, "section", "OPTIONS"), []).append(record)
    for heading, records in rows.items():
        if head:
            yield f"{head} {heading}"
            yield from _paragraphs(SECTIONS.get(heading, ""))
        for names, words in records:
            yield from (".TP", f".B {_roff(names)}", _roff(words))


def _epilog(context: click.Context) -> Iterator[str]:
    """Examples, and the exit codes as a list."""
    examples, _, codes = _formatted(context, whydrop.format_epilog).partition("Exit codes:")
    yield ".SH EXIT STATUS"
    for number, words in _CODES.findall(codes):
        yield from (".TP", f".B {number}", _roff(f"{words[:1].upper()}{words[1:]}."))
    yield from (".SH EXAMPLES", ".nf")
    yield from (_roff(line.strip()) for line in examples.strip().split("\n")[1:])
    yield ".fi"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", cleandoc(text).strip())):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _formatted(context: click.Context, write: object) -> str:
    formatter = click.HelpFormatter(width=1000)
    write(context, formatter)  # type: ignore[operator]
    return formatter.getvalue()


def _roff(text: str) -> str:
    """The text as troff(1) takes it for itself, with minus signs that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
