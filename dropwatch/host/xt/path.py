"""Which chains of a legacy table a hook can reach, and which way a packet came to a rule."""

from dropwatch.host.xt.blob import XtChain, XtTable


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
        above the packet's depth is left over from others. So each way is tried that the table allows and the stack
        does not rule out, and only one that is alone is told.
        """
        base, goal = self._table.base(hook), self._table.chain_of[offset]
        if base is None or goal is base:
            return ()
        towards = _closure(goal, self._entrances)
        found: list[tuple[str, ...]] = []
        waiting: list[tuple[XtChain, int, tuple[str, ...]]] = [(base, 0, ())]
        while waiting:
            chain, depth, steps = waiting.pop()
            if chain is goal:
                found.append(steps)
                if len(found) > 1:
                    return ()
                continue
            for rule, entered, goto in self._exits[chain]:
                if entered not in towards:
                    continue
                if not goto and depth >= len(jumps):
                    return ()  # the stack was not seen so far: it may have been this jump
                if goto or jumps[depth] == rule:
                    verb = "goes" if goto else "jumps"
                    step = f"{chain.name} rule {self._table.number(rule)} {verb} to {entered.name}"
                    waiting.append((entered, depth if goto else depth + 1, (*steps, step)))
        return found[0] if found else ()


def _closure(start: XtChain, nexts: dict[XtChain, list[XtChain]]) -> set[XtChain]:
    found, waiting = {start}, [start]
    while waiting:
        for chain in nexts[waiting.pop()]:
            if chain not in found:
                found.add(chain)
                waiting.append(chain)
    return found
