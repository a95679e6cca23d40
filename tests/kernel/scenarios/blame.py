"""What a finding has to say of the rule that killed the packet; the rule's own counter is asked beside it."""

import json
from collections.abc import Callable

from scenarios.firewalls import Rule, normal
from scenarios.namespaces import Namespace
from scenarios.waiting import eventually
from scenarios.whydrop_process import Line, Whydrop, told

RULE_KINDS = ("nft-rule", "iptables-rule", "ebtables-rule", "arptables-rule")


def deaths(
    whydrop: Whydrop,
    end: Namespace,
    count: int,
    port: int | None = None,
    wanted: Callable[[Line], bool] = bool,
) -> list[Line]:
    """The findings of `count` drops in this namespace, with that port if one is given; more of them is a failure."""

    here: list[Line] = []
    found: list[Line] = []
    looked_at = 0

    def enough() -> bool:
        nonlocal looked_at
        lines = whydrop.lines()
        new = [line for line in lines[looked_at:] if line.get("type") == "drop" and _died_in(end, line)]
        looked_at = len(lines)
        here.extend(new)
        found.extend(line for line in new if port in (None, line["packet"]["dport"]) and wanted(line))
        return packets(found) >= count

    try:
        eventually(enough, f"{count} findings")
    except AssertionError:
        raise AssertionError(f"{packets(found)} of {count} findings among {_shown(here)}") from None
    assert packets(found) == count, _shown(found)
    return found


def packets(lines: list[Line]) -> int:
    """How many they stand for."""
    return sum(int(line["count"]) for line in lines)


def _died_in(end: Namespace, line: Line) -> bool:
    """By name: the kernel gives the inode number of a namespace that is gone to the next one."""
    return bool((line.get("netns") or {}).get("name") == end.name)


def _shown(lines: list[Line]) -> str:
    return "\n".join(["these:", *map(told, lines[-10:])])


def by_netfilter(line: Line) -> bool:
    return str(line["cause"]["id"]).startswith("netfilter.")


def blame(
    found: list[Line], rule: Rule, cause: str = "netfilter.nft-rule", *, way: tuple[str, ...] = ()
) -> None:
    """Each of them is certain, and names this rule. `way` are words of the way there, chains mostly."""
    for line in found:
        shown = told(line)
        thing = line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, "certain"), shown
        assert thing["kind"] in RULE_KINDS, shown
        place = {key: thing.get(key) for key in ("table", "chain")}
        assert place == {"table": rule.table, "chain": rule.chain}, shown
        if rule.handle is not None:
            assert (thing["family"], thing["handle"]) == (rule.family, rule.handle), shown
        else:
            assert thing["number"] == rule.number, shown
        assert rule.text in normal(thing["text"]), shown
        said = json.dumps([thing, line["evidence"]])
        assert all(chain in said for chain in way), f"not all of {way}: {shown}"


def blame_policy(found: list[Line], table: str, chain: str, *, legacy: bool = False) -> None:
    """Each of them names the policy of this chain."""
    for line in found:
        shown = told(line)
        thing = line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("netfilter.chain-policy", "certain"), (
            shown
        )
        assert (thing["kind"], thing["table"], thing["chain"]) == ("chain-policy", table, chain), shown
        assert (f"-P {chain} DROP" if legacy else "policy drop") in normal(thing["text"]), shown


def explained(found: list[Line], cause: str, *words: str) -> None:
    """Each of them is certain of this cause, and each of the words is in what it says beside it."""
    for line in found:
        shown = told(line)
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, "certain"), shown
        said = json.dumps([line["object"], line["evidence"], line["cause"]["title"]]).lower()
        assert all(word.lower() in said for word in words), f"not all of {words}: {shown}"
