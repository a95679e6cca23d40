"""Tells by which rules a packet came from its base chain to the chain where it died, as far as that is certain."""

from dropwatch.host.nft.kernel import Rule
from dropwatch.host.nft.reading import Reading
from dropwatch.model.netfilter import NftNote
from dropwatch.names.foreign import foreign


def way(reading: Reading, note: NftNote, chain_handle: int, *, numbered: bool = False) -> tuple[str, ...]:
    """Each step in words, the first from the base chain; fewer where more than one chain may have led to it.

    `note.visited` also holds chains that returned, so that the way is found backwards: what led to a chain
    is the base chain or one that was entered before it, and its rules must name it. `numbered` gives the rules their
    numbers in the chain, as iptables does, else their handles.
    """
    steps: list[str] = []
    if reading.maps is None:
        return ()
    visited = [chain.handle for chain in note.visited]
    current = chain_handle
    while current != note.base_chain.handle:
        if current not in visited:
            break
        del visited[_last(visited, current) :]
        name = _name(reading, current)
        callers = {
            handle: found
            for handle in {note.base_chain.handle, *visited}
            if (found := reading.callers(_name(reading, handle), name))
        }
        if len(callers) != 1:
            break
        ((current, rules),) = callers.items()
        steps.insert(0, _words(reading, current, rules, name, numbered=numbered))
    return tuple(steps)


def _last(handles: list[int], handle: int) -> int:
    """A chain cannot call itself: when it was entered more than once, the last time is the one that counts."""
    return len(handles) - 1 - handles[::-1].index(handle)


def _name(reading: Reading, handle: int) -> str:
    chain = reading.chain(handle)
    return chain.name if chain is not None else ""


def _words(
    reading: Reading, chain_handle: int, rules: list[tuple[Rule, set[str]]], target: str, *, numbered: bool
) -> str:
    chain = foreign(_name(reading, chain_handle))
    verbs = {verb for _, each in rules for verb in each}
    verb = "jumps or goes" if len(verbs) > 1 else "goes" if "goto" in verbs else "jumps"
    marks = [str(reading.number(rule) if numbered else rule.handle) for rule, _ in rules]
    start = f"{chain} rule" if numbered else f"{chain}: rule handle"
    return f"{start} {' or '.join(marks)} {verb} to {foreign(target)}"
