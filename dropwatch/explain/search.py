"""Full-text search in all that whydrop knows, the best first."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from math import log

from dropwatch.explain import catalogue
from dropwatch.explain.counters import counters
from dropwatch.model.dataclass import dataclass
from dropwatch.model.pattern import pattern
from dropwatch.names import symbols

_TOKEN = pattern(r"[a-z]+|[0-9]+")
_HUMP = pattern(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# What a page of each kind is worth to somebody who lost a packet.
_WORTH = {"family": 2.0, "cause": 1.6, "counter": 1.2, "drop reason": 1.0, "kernel function": 0.7}
_HARMLESS = 1.1  # nobody lost a packet by it
_IN_NAME, _IN_TITLE, _IN_TEXT = 6.0, 4.0, 1.0
_IN_A_ROW = 4.0
_SHORTEST_BEGINNING = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that has the words."""

    name: str
    kind: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class Text:
    """What is searched of a page: `words` with their worth, and `text`, which stands below the title."""

    name: str
    kind: str
    title: str
    text: str
    words: dict[str, float]
    row: str  # the words of title and text in their order


def search(query: str) -> list[Hit]:
    """The pages that have every word of the query, or one that begins with it; several spellings of one word count
    (`rp filter`, `rp_filter`, `rpfilter`). Those of most worth come first. Empty where there is none.
    """
    words = tokens(query)
    if not words:
        return []
    texts = everything()
    hits, row = [], " ".join(_plain(query))
    worths = [_worth(word, texts) for word in words]
    joined = [_worth(one + two, texts) for one, two in pairwise(words)]
    for at, text in enumerate(texts):
        scores = [worth[at] for worth in worths]
        for pair, worth in enumerate(joined):
            if worth[at]:
                scores[pair], scores[pair + 1] = (
                    max(scores[pair], worth[at]),
                    max(scores[pair + 1], worth[at]),
                )
        if len(words) > 1 and row in text.row:
            scores.append(_IN_A_ROW * max(scores))
        if all(scores):
            hits.append(Hit(text.name, text.kind, text.title, sum(scores) * _worth_of(text)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.name))


def tokens(text: str) -> list[str]:
    """`listen`, `drops` of ListenDrops; `no`, `socket` of NO_SOCKET; `ipv`, `6` of IPv6."""
    return _TOKEN.findall(_HUMP.sub(" ", text.replace("IPv", "ipv")).lower())


def _plain(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _worth_of(text: Text) -> float:
    return _HARMLESS if text.name.startswith("benign.") else _WORTH[text.kind]


def _spellings(text: str) -> list[str]:
    """`selinux`, `se` and `linux` of SELinux."""
    return [*_plain(text), *tokens(text)]


def _worth(word: str, texts: Iterable[Text]) -> list[float]:
    """Of each text for this word: the rarer the word, the more."""
    worths = [
        max((worth * fit for one, worth in text.words.items() if (fit := _fit(word, one))), default=0.0)
        for text in texts
    ]
    having = sum(worth > 0 for worth in worths)
    rarity = log(1 + len(worths) / having) if having else 0.0
    return [worth * rarity for worth in worths]


def _fit(wanted: str, word: str) -> float:
    if word == wanted:
        return 1.0
    if len(wanted) >= _SHORTEST_BEGINNING and word.startswith(wanted):
        return 0.7
    if len(word) > _SHORTEST_BEGINNING and wanted.startswith(word) and len(wanted) - len(word) <= 2:
        return 0.6  # `buffers`, `dropped`
    return 0.0


@cache
def everything() -> list[Text]:
    """All that is searched."""
    return list(_all())


def _all() -> Iterator[Text]:
    for name, words in symbols.families().items():
        yield _text(name, "family", words, "")
    for cause in catalogue.causes().values():
        fix = " ".join(f"{advice.text} {advice.command or ''}" for advice in cause.fix)
        symbols_ = " ".join((*cause.reasons, *cause.counters))
        yield _text(cause.id, "cause", cause.title, f"{cause.why} {cause.confirm} {fix} {symbols_}")
    for counter in counters().values():
        if counter.words is not None:
            yield _text(counter.name, "counter", counter.words.text, "")
    for reason in symbols.reasons().values():
        yield _text(reason.name, "drop reason", reason.words, reason.text)
    for function in symbols.functions().values():
        yield _text(function.name, "kernel function", function.text, function.step or "")


def _text(name: str, kind: str, title: str, text: str) -> Text:
    words = dict.fromkeys(_spellings(text), _IN_TEXT)
    words |= dict.fromkeys(_spellings(title), _IN_TITLE)
    words |= dict.fromkeys(_spellings(name), _IN_NAME)
    return Text(name, kind, title, text, words, " ".join(_plain(f"{title} {text}")))
