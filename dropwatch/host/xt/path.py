"""Which chains of a legacy table a hook can reach, and which way a packet came to a rule."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

from dropwatch.host.xt.blob import XtChain, XtTable

_Place = TypeVar("_Place", bound=Hashable)
_At = tuple[XtChain, int]  # in this chain, with so many jumps on the stack


class XtWays:
    """The jumps and gotos of one table, which the kernel has made sure contain no loop."""

    def __init__(self, table: XtTable) -> None:
        self._table = table
        self._exits: dict[XtChain, list[tuple[int, XtChain, bool]]] = {}
        self._entrances: dict[XtChain, list[XtChain]] = {chain: [] for chain in table.chains}
        self._reached: dict[int, set[XtChain]] = {}
        for chain in table.chains:
            exits = self._exits[chain] = []
            for rule in chain.rules:
                entry = table.entries[rule]
                if entry.jump is not None and entry.jump in table.heads:
                    exits.append((rule, table.heads[entry.jump], entry.goto))
                    self._entrances[table.heads[entry.jump]].append(chain)

    def reachable(self, hook: int) -> set[XtChain]:
        """The base chain of a hook, and every chain that jumps and gotos can lead to from it."""
        if hook not in self._reached:
            base = self._table.base(hook)
            nexts = {chain: [to for _, to, _ in exits] for chain, exits in self._exits.items()}
            self._reached[hook] = _closure(base, nexts) if base is not None else set()
        return self._reached[hook]

    def way(self, hook: int, jumps: tuple[int, ...], offset: int) -> tuple[str, ...]:
        """The way from the base chain to a rule, `INPUT rule 3 jumps to UU`. Empty where it is not sure.

        `jumps` is the jump stack, oldest first. A jump of the way is on it, at its depth; a goto is not, and what lies
        above the packet's depth is left over from others. So a way is told only where it is the only one that the
        table allows and the stack does not rule out. There may be more ways than can be counted: each chain is
        looked at once for each depth.
        """
        base, goal = self._table.base(hook), self._table.chain_of[offset]
        if base is None or goal is base:
            return ()
        steps = self._steps(base, goal, jumps)
        if steps is None:
            return ()
        entrances: dict[_At, list[_At]] = {at: [] for at in steps}
        for at, each in steps.items():
            for to, _ in each:
                entrances[to].append(at)
        ends = [at for at in steps if at[0] is goal]
        leading = set[_At]().union(*(_closure(end, entrances) for end in ends))
        found: list[str] = []
        now: _At = base, 0
        while now[0] is not goal:
            choices = [(to, words) for to, words in steps[now] if to in leading]
            if len(choices) != 1:
                return ()
            now, words = choices[0]
            found.append(words())
        return tuple(found)

    def _steps(
        self, base: XtChain, goal: XtChain, jumps: tuple[int, ...]
    ) -> dict[_At, list[tuple[_At, Callable[[], str]]]] | None:
        """Where each place leads that can be come to, and in words how. None where the stack was not seen so far."""
        towards = _closure(goal, self._entrances)
        steps: dict[_At, list[tuple[_At, Callable[[], str]]]] = {}
        waiting: list[_At] = [(base, 0)]
        while waiting:
            at = chain, depth = waiting.pop()
            if at in steps:
                continue
            steps[at] = []
            for rule, entered, goto in self._exits[chain] if chain is not goal else ():
                if entered not in towards:
                    continue
                if not goto and depth >= len(jumps):
                    return None  # it may have been this jump
                if goto or jumps[depth] == rule:
                    to = entered, depth if goto else depth + 1
                    steps[at].append(
                        (to, partial(self._words, chain, rule, entered, "goes" if goto else "jumps"))
                    )
                    waiting.append(to)
        return steps

    def _words(self, chain: XtChain, rule: int, entered: XtChain, verb: str) -> str:
        return f"{chain.name} rule {self._table.number(rule)} {verb} to {entered.name}"


def _closure(start: _Place, nexts: dict[_Place, list[_Place]]) -> set[_Place]:
    found, waiting = {start}, [start]
    while waiting:
        for chain in nexts[waiting.pop()]:
            if chain not in found:
                found.add(chain)
                waiting.append(chain)
    return found
