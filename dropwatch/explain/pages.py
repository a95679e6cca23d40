"""One page each about a cause, a family of causes, a drop reason, a function of the kernel, a counter."""

from collections.abc import Iterable, Iterator

from dropwatch.explain import catalogue
from dropwatch.explain.catalogue import Advice, KnownCause
from dropwatch.explain.counters import KnownCounter, counters
from dropwatch.model.page import Page, Section
from dropwatch.names import symbols

UNKNOWN = "unknown"
_WAYS = {"in": "packets that come in", "out": "packets that leave", "forward": "packets that are forwarded"}
# What changes the running host alone: what a reboot, or the program that made the configuration, undoes.
_RUNNING_ONLY = ("sysctl -w", "wg set", "setenforce ", "modprobe ", "firewall-cmd --add-")
_WITH_A_CHANGE = ("ip ", "nft ", "iptables ", "iptables-legacy ", "tc ", "bridge ", "ethtool ", "conntrack ")
_CHANGES = frozenset(
    [
        "add",
        "append",
        "change",
        "chg",
        "del",
        "delete",
        "flush",
        "insert",
        "replace",
        "set",
        "-D",
        "-A",
        "-I",
        "-G",
        "-K",
        "-F",
        "-P",
    ]
)


def of_cause(cause: KnownCause) -> Page:
    """Meaning, a finding, proof, remedy, risks, kernels, the kernel's own words for it, and what is near to it."""
    sections = [Section("What it means", cause.why)]
    shown = catalogue.shown(cause.id)
    if shown is not None:
        sections.append(Section("How it looks", sample=shown.text))
    sections.append(Section("How to confirm it", cause.confirm))
    if cause.fix:
        sections.append(Section("How to fix it", _steps(cause.fix)))
    risks = list(_risks(cause.fix))
    if risks:
        sections.append(Section("Risks", "\n\n".join(risks)))
    seen = f"Recorded on Linux {_listed(shown.kernels)}." if shown is not None and shown.kernels else None
    untried = f"No test makes it happen. {cause.scenario}" if cause.scenario is not None else None
    if seen is not None or untried is not None:
        sections.append(Section("Kernels", " ".join(one for one in (seen, untried) if one is not None)))
    kernel = _in_the_kernel(cause)
    if kernel:
        sections.append(Section("In the kernel", entries=kernel))
    if cause.related:
        sections.append(Section("Related", entries=titles(cause.related), listed=True))
    return Page(cause.id, "cause", cause.title, tuple(sections))


def of_family(name: str) -> Page:
    """Its causes, a line each."""
    found = [cause.id for cause in catalogue.causes().values() if cause.family == name]
    listed = Section("", entries=titles(found), listed=True)
    return Page(name, "family", symbols.families()[name], (listed,))


def of_reason(name: str) -> Page:
    """A drop reason, by the kernel's name without SKB_DROP_REASON_."""
    reason = symbols.reasons()[name]
    known = catalogue.causes().values()
    settled = [cause.id for cause in known if name in cause.reasons]
    possible = [cause.id for cause in known if name in cause.seen_as and cause.id not in settled]
    sections = [Section("", reason.text)]
    if reason.layer is not None:
        sections.append(Section("Layer", f"{reason.layer}: {symbols.layers()[reason.layer]}"))
    if settled:
        sections.append(Section("It means", entries=titles(settled), listed=True))
    if possible:
        heading = "It can also mean" if settled else "It can mean"
        sections.append(Section(heading, entries=titles(possible), listed=True))
    return Page(name, "drop reason", reason.words, tuple(sections))


def of_function(name: str) -> Page:
    """A function of the kernel, by its base name."""
    function = symbols.functions()[name]
    causes = [cause.id for cause in catalogue.causes().values() if name in cause.seen_at]
    sections = []
    if function.layer is not None:
        sections.append(Section("Layer", f"{function.layer}: {symbols.layers()[function.layer]}"))
    if function.direction is not None:
        sections.append(Section("It handles", _WAYS[function.direction]))
    if function.step is not None:
        sections.append(Section("In a trace", function.step))
    if function.free:
        note = "It only frees on behalf of its caller: the place where a packet died is the function that called it."
        sections.append(Section("Note", note))
    if causes:
        sections.append(Section("Packets die here of", entries=titles(causes), listed=True))
    return Page(name, "kernel function", function.text, tuple(sections))


def of_counter(counter: KnownCounter) -> Page:
    """What it counts, which causes raise it, and where whydrop shows it."""
    words = counter.words
    sections = []
    if counter.raised_by:
        heading = "It rises with" if words is not None else "These pages look at it"
        sections.append(Section(heading, entries=titles(counter.raised_by), listed=True))
    if words is not None:
        sections.append(Section("What whydrop sees of it", _seen(words)))
    sections.append(Section("How to read it", f"$ {counter.shown_by}"))
    headline = words.text if words is not None else "whydrop has no words of its own for this counter"
    return Page(counter.name, "counter", headline, tuple(sections))


def of_unknown() -> Page:
    """What a finding without a cause says."""
    text = """
The kernel freed the packet as dropped, and nothing that whydrop observed settles why. That is an honest answer: the
place, the kernel's reason in words and the whole stack are shown, and what can be read about them is one command away.
$ whydrop --stack
$ whydrop explain REASON
$ whydrop explain FUNCTION
Counters that rise with the packets often tell the rest:
$ nstat -az
"""
    return Page(UNKNOWN, "cause", "whydrop does not know for sure", (Section("", text),))


def index() -> Page:
    """The families, and how to get on from there."""
    known = catalogue.causes().values()
    entries = []
    for name, words in symbols.families().items():
        count = sum(cause.family == name for cause in known)
        entries.append((name, f"{count:>3}  {words}"))
    more = """
$ whydrop explain ipsec           # a family; auth-failed: one cause
$ whydrop explain ListenDrops     # a counter, a drop reason, a function
$ whydrop explain receive buffer  # every page that has these words
"""
    counts = (
        f"{len(known)} causes of packet loss, {len(tuple(symbols.reason_names()))} drop reasons, "
        f"{len(tuple(symbols.function_names()))} functions, {len(counters())} counters"
    )
    return Page("whydrop explain", "", counts, (Section("", entries=tuple(entries)), Section("", more)))


def titles(ids: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each with its title."""
    known = catalogue.causes()
    return tuple((cause_id, known[cause_id].title) for cause_id in ids)


def _steps(fix: Iterable[Advice]) -> str:
    """Each with its command; those that say the same, as of IPv4 and of IPv6, stand together."""
    steps: dict[str, list[Advice]] = {}
    for advice in fix:
        weak = "" if advice.weakens is None else "; this weakens security"
        steps.setdefault(f"{_sentence(advice.text)}{weak}", []).append(advice)
    return "\n\n".join("\n".join((text, *_commands(found))) for text, found in steps.items())


def _commands(fix: Iterable[Advice]) -> Iterator[str]:
    for advice in fix:
        if advice.command is not None:
            yield f"$ {advice.command}"
    yield from dict.fromkeys(advice.note for advice in fix if advice.note is not None)


def _risks(fix: Iterable[Advice]) -> Iterator[str]:
    weak = (advice for advice in fix if advice.weakens is not None)
    yield from dict.fromkeys(f"{_sentence(advice.text)}: {advice.weakens}." for advice in weak)
    changes = [advice.command for advice in fix if advice.command is not None and _only_runs(advice.command)]
    if changes:
        tools = _listed(tuple(dict.fromkeys(f"`{command.split()[0]}`" for command in changes)))
        yield (
            f"What {tools} {'change' if ' and ' in tools else 'changes'} here is the running host, not its "
            "configuration: it is gone after the next boot, or when whoever manages the host sets it anew."
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _only_runs(command: str) -> bool:
    changes = not _CHANGES.isdisjoint(command.split())
    return command.startswith(_RUNNING_ONLY) or (command.startswith(_WITH_A_CHANGE) and changes)


def _in_the_kernel(cause: KnownCause) -> tuple[tuple[str, str], ...]:
    rows = (
        ("drop reason", cause.reasons),
        ("less exact", cause.seen_as),
        ("dies in", tuple(f"{name}()" for name in cause.seen_at)),
        ("counters", cause.counters),
    )
    return tuple((label, ", ".join(names)) for label, names in rows if names)


def _seen(words: symbols.CounterWords) -> str:
    if not words.loss:
        return "It does not count lost packets, or not only."
    if not words.overlap:
        return (
            "Nothing: the packet is lost where the kernel has none to show. `whydrop summary` shows how much the "
            "counter has risen."
        )
    return (
        "A packet that dies where whydrop looks has a finding. What a device loses by itself, and what was refused "
        "before there was a packet, has none."
    )


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
