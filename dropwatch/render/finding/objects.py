"""The object of a finding as its own tool has it, with what tells it from others: table, chain, handle, owner."""

from dropwatch.model.culprits import (
    ChainPolicy,
    Culprit,
    EbtablesRule,
    IptablesRule,
    NftRule,
    Socket,
    XfrmPolicy,
    XfrmState,
)
from dropwatch.model.drop import Finding
from dropwatch.model.forwarding import Route, TcFilter
from dropwatch.render.finding import phrases

_TOOLS = {"ip": "iptables", "ip6": "ip6tables", "arp": "arptables", "bridge": "ebtables"}


def label(culprit: Culprit) -> str:
    """`by`, or what the object is instead of the one that did it: an SA that is `gone`, or only `near`."""
    relation = culprit.relation if isinstance(culprit, XfrmState | XfrmPolicy) else None
    if relation == "nearest":
        return "near"
    return "gone" if relation is not None and isinstance(culprit, XfrmState) else "by"


def words(culprit: Culprit) -> str:
    """`nft inet t c: udp dport 5900 reject # handle 2`, `iptables -t filter -A INPUT ... # rule 1`, `SA src ...`."""
    match culprit:
        case NftRule(number=number, handle=handle, text=text):
            place = [f"rule {number}"] if number is not None and text.startswith("-") else []
            place += [f"handle {handle}"] if handle is not None else []
            return f"{_nft(culprit)}{_behind(place)}"
        case IptablesRule(number=number) | EbtablesRule(number=number):
            return f"{_legacy(culprit)}{_behind([f'rule {number}'] if number is not None else [])}"
        case ChainPolicy(target=None):
            return _nft(culprit)
        case ChainPolicy():
            return _legacy(culprit)
        case XfrmPolicy(default=True):
            return f"IPsec {culprit.text}"
        case TcFilter():
            return f"tc {culprit.text}"
        case Route(rule=number) if number is not None:
            return culprit.text
    kind = phrases.object_words(culprit.kind)
    return culprit.text if culprit.text.startswith(f"{kind} ") else f"{kind} {culprit.text}"


def with_owner(finding: Finding) -> str:
    """The object, with the process that holds it or the program that makes it."""
    if finding.culprit is None:
        return ""
    text = words(finding.culprit)
    owner = finding.owner
    if isinstance(finding.culprit, Socket) and owner is not None and f"pid={owner.pid}" not in text:
        text += f" of {owner.comm} (pid {owner.pid})"
    makes = next((one.text.partition(": ")[2] for one in finding.evidence if one.role == "owner"), "")
    return f"{text} ({makes})" if makes else text


def _nft(rule: NftRule | ChainPolicy) -> str:
    """What nft lists, behind the chain in which it lists it; what iptables-nft and its like list, as their command."""
    if rule.text.startswith("-"):
        return f"{_TOOLS.get(rule.family, 'iptables')}-nft -t {rule.table} {rule.text}"
    return f"nft {' '.join(word for word in (rule.family, rule.table, rule.chain) if word)}: {rule.text}"


def _legacy(rule: IptablesRule | EbtablesRule | ChainPolicy) -> str:
    """The command that makes it; where the rule could not be listed, words."""
    if not rule.text.startswith("-"):
        return rule.text
    chain = "" if rule.text.startswith(("-A ", "-P ")) else f"-A {rule.chain} "
    return f"{_TOOLS.get(rule.family, 'iptables')} -t {rule.table} {chain}{rule.text}"


def _behind(place: list[str]) -> str:
    return f" # {', '.join(place)}" if place else ""
