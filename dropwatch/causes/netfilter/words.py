"""The sentences about firewall rules: where one stands, when it was listed, whose it is."""

import re

from dropwatch.causes.delay import untimed
from dropwatch.causes.netfilter import chain_owners
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import ChainPolicy, NftRule, Rule
from dropwatch.model.drop import Drop, Evidence
from dropwatch.model.netfilter import NftChain, hook_word
from dropwatch.names.foreign import raw_name

_NUMBER = re.compile(r" %\w+")


def hook(family: str, number: int) -> str:
    """As hook_word(), or the number."""
    return hook_word(family, number) or f"number {number}"


def of_the_kernel(words: str) -> str:
    """What the kernel writes to its log about an INVALID packet: its format, without the places for numbers."""
    return _NUMBER.sub("", words)


def chain(one: NftChain) -> str:
    """Its name; a name that the record could not hold in full says so."""
    return f"{one.name}..." if len(raw_name(one.name)) >= 63 else one.name


def listing(drop: Drop, listed: ListedRule | None, tools: str) -> list[Evidence]:
    """What the tool printed, when, and whether that still is what the packet met. `tools` are words for who could
    have been asked.
    """
    if listed is None:
        return [Evidence(tools, "the rules of this namespace could not be read after the drop")]
    read = untimed(drop, listed.read_at_ns)
    source = listed.command or tools
    if listed.gone:
        found = [Evidence(source, f"{read}: {listed.problem or 'it was deleted or replaced since the drop'}")]
        if listed.text is not None:
            found.append(Evidence(source, f"at the drop it was: {listed.text}"))
    elif listed.text is None:
        found = [Evidence(source, f"not listed: {listed.problem or 'no tool can list it'}")]
    else:
        found = [Evidence(source, f"{read}: {listed.text}{_place(listed)}")]
        if listed.changed:
            found.append(Evidence(source, "the table has changed since the drop, this rule has not"))
    comment = None if isinstance(listed.rule, ChainPolicy) else listed.rule.comment
    if comment and comment not in (listed.text or ""):
        found.append(Evidence(source, f"its comment: {comment}"))
    if listed.path:
        found.append(Evidence("path", "; ".join(listed.path)))
    return found


def _place(listed: ListedRule) -> str:
    rule = listed.rule
    if isinstance(rule, ChainPolicy):
        return ""
    place = [f"rule {rule.number} of {rule.chain}"] if rule.number is not None else []
    if isinstance(rule, NftRule) and rule.handle is not None:
        place.append(f"handle {rule.handle}")
    return f" # {', '.join(place)}" if place else ""


def owner(culprit: Rule | None) -> chain_owners.Owner | None:
    """Who made the chain of a rule, if its name or its table's tells."""
    return chain_owners.owner_of(culprit.table, culprit.chain or "") if culprit is not None else None


def owner_evidence(culprit: Rule | None) -> list[Evidence]:
    found = owner(culprit)
    if found is None or culprit is None:
        return []
    name = culprit.chain if found.chain is not None else culprit.table
    return [chain_owners.evidence(found, str(name))]
