"""Which rule or chain policy the probes blame for a death, and how sure that is."""

from dataclasses import replace

from dropwatch.causes import kernel_word
from dropwatch.causes.netfilter import rule_text, words
from dropwatch.host.host import Host
from dropwatch.host.listed_rule import ListedRule
from dropwatch.model.culprits import ChainPolicy, EbtablesRule, IptablesRule, NftRule, Rule
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Confidence, Drop, Evidence
from dropwatch.model.netfilter import ConntrackNote, EbtNote, NetfilterNote, NftNote, XtNote

# Where netfilter frees what a hook refused: its loops over the hooks, a bridge's own loop, the loop that goes on
# after a queue. nft_do_chain frees by itself where it can give a reason.
_PLACES = ("nf_hook_", "nft_do_chain", "br_handle_frame", "nf_reinject", "nfqnl_")
_XT_PROBES = {"ip": "ipt_do_table", "ip6": "ip6t_do_table", "arp": "arpt_do_table"}
_REJECTS = frozenset({"reject_tg", "reject_tg6"})
_SYNPROXIES = frozenset({"synproxy_tg4", "synproxy_tg6"})
_QUEUES = frozenset({"nft_queue_eval", "nft_queue_sreg_eval"})
# Conntrack's own hooks: a packet that they refused met no rule at another hook afterwards.
_BEFORE_AND_AFTER_RULES = frozenset({"nf_conntrack_in", "__nf_conntrack_confirm"})


@dataclass(frozen=True, slots=True)
class Blamed:
    """A rule or policy with its cause. `engine` is `nft`, `legacy` or `ebtables`; `family` is the table's.

    `facts` are what the probes saw; `tools` are words for who was asked for the text.
    """

    cause_id: str
    confidence: Confidence
    engine: str
    family: str
    culprit: Rule | None
    listed: ListedRule | None
    facts: tuple[Evidence, ...]
    tools: str
    title: str | None = None

    @property
    def text(self) -> str | None:
        """The rule as listed, to judge by. A rule that is gone has it only where it was read before it went.

        nft writes a comment as it is: one with quotes cannot be told from what the rule asks for.
        """
        listed = self.listed
        if listed is None or (listed.tool == "nft" and '"' in (getattr(listed.rule, "comment", None) or "")):
            return None
        return listed.text


def blame(drop: Drop, host: Host) -> Blamed | None:
    """None where no probe saw a rule or policy refuse this packet, or it did not die of that."""
    note = drop.event.netfilter
    if note is None or not died_in_a_hook(drop):
        return None
    if note.nft is not None:
        return None if note.nft.expression in _QUEUES else _nft(drop, host, note, note.nft)
    if note.xt is not None:
        return _xt(drop, host, note, note.xt)
    return _ebt(drop, host, note.ebt) if note.ebt is not None else None


def died_in_a_hook(drop: Drop) -> bool:
    """The kernel says that netfilter dropped it, or it was freed where only netfilter frees."""
    return drop.reason == "NETFILTER_DROP" or (kernel_word.place(drop) or "").startswith(_PLACES)


def nft_culprit(drop: Drop, host: Host, note: NftNote) -> tuple[Rule, ListedRule | None]:
    """The rule with this handle, or the chain with this policy; the listing where it shows the very same."""
    listed = host.nft_rule(drop.event.netns, note, drop.event.monotonic_ns)
    if note.rule is not None and listed is not None and _handle(listed) not in (None, note.rule):
        listed = None
    text = _nft_fallback(note)
    if note.rule is None:
        return _as_listed(ChainPolicy(text, note.family, note.table, note.base_chain.name), listed), listed
    chain = note.chain.name if note.chain is not None else None
    return _as_listed(NftRule(text, note.family, note.table, chain, note.rule), listed), listed


def _handle(listed: ListedRule) -> int | None:
    return listed.rule.handle if isinstance(listed.rule, NftRule) else None


def _as_listed(known: Rule, listed: ListedRule | None) -> Rule:
    """As listed, else as the record of the packet's death tells."""
    if listed is None:
        return known
    return replace(listed.rule, text=listed.text or known.text, chain=listed.rule.chain or known.chain)


def _nft_fallback(note: NftNote) -> str:
    """Names it as far as the packet's own record does, where no listing shows it."""
    table = f"table {note.family} {note.table}"
    if note.rule is None:
        return f"policy {note.policy} of chain {words.chain(note.base_chain)} in {table}"
    chain = f"in chain {words.chain(note.chain)} " if note.chain is not None else ""
    return f"rule handle {note.rule} {chain}of {table}"


def _nft(drop: Drop, host: Host, note: NetfilterNote, nft: NftNote) -> Blamed:
    facts, tools = _nft_facts(nft), "nft"
    sure: Confidence = "likely" if _contradicted(note.conntrack) else "certain"
    if nft.verdict == "unplaced" or (nft.verdict == "policy" and nft.policy != "drop"):
        chain = words.chain(nft.base_chain)
        title = f"an nftables rule drops it: table {nft.family} {nft.table}, in or after chain {chain}"
        return Blamed("netfilter.nft-rule", "likely", "nft", nft.family, None, None, facts, tools, title)
    culprit, listed = nft_culprit(drop, host, nft)
    if listed is None or not listed.path:
        facts += _nft_jumps(nft)
    if nft.verdict == "policy":
        if drop.packet.header_error is not None and (listed is None or listed.tool != "nft"):
            sure = "likely"
            facts += (_broken_header(drop),)
        return Blamed("netfilter.chain-policy", sure, "nft", nft.family, culprit, listed, facts, tools)
    found = Blamed("netfilter.nft-rule", sure, "nft", nft.family, culprit, listed, facts, tools)
    return _named_after_its_text(found, note.conntrack, _nft_cause(nft, found.text))


def _nft_cause(nft: NftNote, text: str | None) -> str:
    expression = nft.expression or ""
    if expression.startswith("nft_reject"):
        return "netfilter.nft-reject"
    if expression.startswith("nft_synproxy"):
        return "netfilter.synproxy"
    if expression.startswith("nft_target_eval") and text is not None:
        words = rule_text.bare(text).split()
        if "REJECT" in words or "reject" in words:
            return "netfilter.nft-reject"
        if "SYNPROXY" in words:
            return "netfilter.synproxy"
    return "netfilter.nft-rule"


def _nft_facts(nft: NftNote) -> tuple[Evidence, ...]:
    base = nft.base_chain
    where = f"table {nft.family} {nft.table}"
    probe = f"probe {nft.expression}" if nft.expression else "probe nft_do_chain"
    if nft.verdict == "policy":
        chain = f"chain {words.chain(base)} in {where}"
        said = f"no rule gave this packet a verdict: the policy {nft.policy} of {chain} applied"
        if nft.policy != "drop":
            said = f"it was dropped in {chain}, whose policy is {nft.policy}: by a rule that no probe saw"
    elif nft.rule is None:
        said = f"verdict drop for this packet, in {where}; the rule was not found"
    else:
        chain = f" in chain {words.chain(nft.chain)}" if nft.chain is not None else ""
        out_of_a_map = " from a map" if (nft.expression or "").startswith("nft_lookup") else ""
        said = f"verdict drop for this packet{out_of_a_map}: rule handle {nft.rule}{chain} of {where}"
    way = (
        f"base chain {words.chain(base)} (hook {words.hook(nft.family, nft.hook)}, "
        f"priority {nft.priority}, policy {nft.policy})"
    )
    return (Evidence(probe, said), Evidence("probe nft_do_chain", way))


def _nft_jumps(nft: NftNote) -> tuple[Evidence, ...]:
    if not nft.visited:
        return ()
    names = ", ".join(words.chain(chain) for chain in nft.visited)
    return (Evidence("probe nft_do_chain", f"jumps and gotos taken, also those that returned: {names}"),)


def _xt(drop: Drop, host: Host, note: NetfilterNote, xt: XtNote) -> Blamed | None:
    if not xt.candidates:
        return None
    rules = host.xt_rules(drop.event.netns, xt, drop.event.monotonic_ns)
    if len(xt.candidates) > 1 and len(rules) != 1:
        return _one_of_several(drop, xt, rules, note.conntrack)
    listed = rules[0] if len(rules) == 1 else None
    culprit = _xt_culprit(xt, listed)
    lost = listed is not None and listed.gone and listed.text is None
    counted = xt.exact or xt.accounted
    sure: Confidence = "likely" if lost or not counted or _contradicted(note.conntrack) else "certain"
    cause = "netfilter.chain-policy" if culprit.kind == "chain-policy" else _plain_cause(xt)
    found = Blamed(cause, sure, "legacy", xt.family, culprit, listed, _xt_facts(xt), _xt_tools(xt))
    if culprit.kind == "chain-policy":
        return found
    if xt.exact and xt.target in _REJECTS:
        cause = "netfilter.iptables-reject"
    elif xt.exact and xt.target in _SYNPROXIES:
        cause = "netfilter.synproxy"
    return _named_after_its_text(found, note.conntrack, cause)


def _plain_cause(xt: XtNote) -> str:
    return "netfilter.arptables-rule" if xt.family == "arp" else "netfilter.iptables-rule"


def _xt_tools(xt: XtNote) -> str:
    return "legacy arptables" if xt.family == "arp" else "legacy iptables"


def _one_of_several(
    drop: Drop, xt: XtNote, rules: tuple[ListedRule, ...], conntrack: ConntrackNote | None
) -> Blamed:
    """Several counters rose, this packet's and those of packets that were passed over. Where the packet's own
    address, protocol or port contradicts all rules but one, and the counters account for every packet, it was
    that one.
    """
    shown = [rule for rule in rules if rule.text is not None]
    fitting = [rule for rule in shown if rule_text.may_match(rule.text or "", drop.packet)]
    listed = fitting[0] if rules and len(shown) == len(rules) and len(fitting) == 1 else None
    candidates = tuple(
        Evidence(rule.command, f"{_fits(rule, drop)}: {rule.text or rule.problem or 'not listed'}")
        for rule in rules
    )
    policy = listed is not None and listed.rule.kind == "chain-policy"
    alone = listed is not None and xt.accounted and not any(rule.changed or rule.gone for rule in rules)
    found = Blamed(
        "netfilter.chain-policy" if policy else _plain_cause(xt),
        "certain" if alone else "likely",
        "legacy",
        xt.family,
        _xt_culprit(xt, listed) if listed is not None else None,
        listed,
        (*_xt_facts(xt), *candidates),
        _xt_tools(xt),
        None
        if alone
        else f"one of {len(rules) or len(xt.candidates)} rules or policies of table {xt.table} drops it",
    )
    return _named_after_its_text(found, conntrack, found.cause_id) if alone and not policy else found


def _fits(rule: ListedRule, drop: Drop) -> str:
    fits = rule.text is None or rule_text.may_match(rule.text, drop.packet)
    return "candidate" if fits else "not for this packet"


def _xt_facts(xt: XtNote) -> tuple[Evidence, ...]:
    probe = f"probe {_XT_PROBES[xt.family]}"
    place = f"table {xt.table}, hook {words.hook(xt.family, xt.hook).upper()}"
    if xt.exact and xt.target is not None:
        return (
            Evidence(f"probe {xt.target}", f"{xt.target} was called for this packet, and dropped it"),
            Evidence(probe, f"{place}: the rule at byte {xt.candidates[0]} called it"),
        )
    if len(xt.candidates) == 1:
        what = "policy" if xt.candidates[0] == xt.policy else "rule"
        said = f"the counter of the {what} at byte {xt.candidates[0]} rose, and no other of those that drop"
    else:
        said = f"the counters of {len(xt.candidates)} rules or policies that drop rose since the last look"
    if not xt.accounted:
        said += "; other packets were dropped here meanwhile, and the counters do not account for all of them"
    return (Evidence(probe, f"{said}: {place}"),)


def _xt_culprit(xt: XtNote, listed: ListedRule | None) -> Rule:
    builtin = words.hook(xt.family, xt.hook).upper()
    if xt.candidates[0] == xt.policy and not xt.exact:
        text = f"policy DROP of chain {builtin} in table {xt.family} {xt.table}"
        return _as_listed(ChainPolicy(text, xt.family, xt.table, builtin), listed)
    text = f"a rule of table {xt.family} {xt.table}, hook {builtin}"
    return _as_listed(IptablesRule(text, xt.family, xt.table), listed)


def _ebt(drop: Drop, host: Host, ebt: EbtNote) -> Blamed:
    hook = words.hook("bridge", ebt.hook).upper()
    place, tools = f"table {ebt.table}, hook {hook}", "legacy ebtables"
    if ebt.counted is None:
        said = "it has too many rules to watch their counters"
    elif ebt.counted:
        said = (
            f"the counters of these rules rose for this frame (by index): {', '.join(map(str, ebt.counted))}"
        )
    else:
        said = "no rule's counter rose for this frame"
    facts = (Evidence("probe ebt_do_table", f"{place}: {said}"),)
    listed = host.ebt_rule(drop.event.netns, ebt, drop.event.monotonic_ns)
    if listed is None or (listed.gone and listed.text is None):
        title = f"an ebtables rule or policy drops it, in table {ebt.table}"
        return Blamed(
            "netfilter.ebtables-rule", "likely", "ebtables", "bridge", None, listed, facts, tools, title
        )
    cause = "netfilter.chain-policy" if listed.rule.kind == "chain-policy" else "netfilter.ebtables-rule"
    culprit = _as_listed(
        EbtablesRule(f"a rule of table {ebt.table}, hook {hook}", "bridge", ebt.table), listed
    )
    sure: Confidence = "certain" if ebt.counted is not None else "likely"
    return Blamed(cause, sure, "ebtables", "bridge", culprit, listed, facts, tools)


def _named_after_its_text(found: Blamed, conntrack: ConntrackNote | None, cause: str) -> Blamed:
    """A rule about the way back, or about INVALID packets, has a cause of its own."""
    if found.text is not None and cause != "netfilter.synproxy":
        if rule_text.reverse_path(found.text) is not None:
            cause = "netfilter.rpfilter-match"
        elif _asked_for_invalid(found.text, conntrack):
            cause = "netfilter.conntrack-invalid"
    return replace(found, cause_id=cause)


def _asked_for_invalid(text: str, conntrack: ConntrackNote | None) -> bool:
    asked = rule_text.asks_for_invalid(text)
    if asked is None or (conntrack is not None and conntrack.invalid is False):
        return False
    seen = conntrack is not None and (conntrack.invalid is True or conntrack.words is not None)
    return seen or asked == "only"


def _contradicted(conntrack: ConntrackNote | None) -> bool:
    return conntrack is not None and conntrack.refused in _BEFORE_AND_AFTER_RULES


def _broken_header(drop: Drop) -> Evidence:
    return Evidence(
        "packet",
        f"{drop.packet.header_error}: an iptables match drops what it cannot read, without its rule matching",
    )
