"""Can a dropped IPsec packet carry the flow that the user asked for? Its bytes no longer say, its policies do.

A policy says which flows use an SA. When one that uses the packet's SA covers some of the filtered flows, and no
policy before it takes all of those away, the packet matches. Which SA a policy accepts is the kernel's rule
(xfrm_state_ok and xfrm_policy_match in net/xfrm/xfrm_policy.c).
"""

from itertools import takewhile
from typing import Final, Literal
from weakref import WeakKeyDictionary

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.host.ipsec.text import selector_text, spi_text
from dropwatch.match.coverage import Flows, asked_flows, between, covers, mirrored, narrowed
from dropwatch.match.outer import Outer, outer_of
from dropwatch.model.drop import Drop, MatchResult
from dropwatch.model.filter import Filter
from dropwatch.model.ipsec import XfrmPolicy, XfrmTemplate

# In which order the policies of which directions are asked, and whether they are read for the way back: a host in
# transport mode may well have none but its outgoing policy.
_ORDER = {
    "in": ((("in", "fwd"), False), (("out",), True)),
    "out": ((("out",), False),),
    None: ((("in", "fwd"), False), (("out",), False), (("out",), True)),
}


_Question = tuple[Filter, str | None, Outer]

# One reading of the configuration answers a whole batch of drops, often thousands of one SA.
_TOO_MANY: Final = "too many"
_Answer = MatchResult | Literal["too many"] | None
_answers: "WeakKeyDictionary[XfrmConfig, dict[_Question, _Answer]]" = WeakKeyDictionary()
_MOST_ANSWERS = 4096  # anybody may send packets of SAs that there are not
_MOST_LOOKS = 100_000  # at policies that may come before others: anybody can have thousands of those


class TooManyPolicies(Exception):
    """What this packet may carry would take too long to find out."""


class _Patience:
    """What one answer may cost."""

    def __init__(self) -> None:
        self._left = _MOST_LOOKS

    def look(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooManyPolicies


def match_ipsec(drop: Drop, wanted: Filter, config: XfrmConfig | None) -> MatchResult | None:
    """How an ESP, AH or IPComp packet (ESP in UDP too) that does not fit the filter itself can carry what does.

    `config` is that of the drop's namespace, None when it could not be read. Only the flow is judged here, not
    the filter's interfaces, namespaces and marks. None for any packet that is not IPsec. Raises TooManyPolicies.
    """
    outer = outer_of(drop, config)
    if outer is None:
        return None
    if config is None:
        return _match_state_alone(outer, asked_flows(wanted), None)
    question = (wanted, drop.where.direction, outer)
    known = _answers.setdefault(config, {})
    if question not in known:
        if len(known) >= _MOST_ANSWERS:
            known.clear()
        try:
            known[question] = _match(outer, drop.where.direction, asked_flows(wanted), config)
        except TooManyPolicies:
            known[question] = _TOO_MANY
    answer = known[question]
    if answer == _TOO_MANY:
        raise TooManyPolicies
    return answer


def _match(
    outer: Outer, direction: str | None, flows: tuple[Flows, ...], config: XfrmConfig
) -> MatchResult | None:
    if not config.asks_for_ipsec:
        return _match_state_alone(outer, flows, config)
    hosts, patience = between(Flows(), outer.saddr, outer.daddr), _Patience()
    for dirs, turned in _ORDER.get(direction, _ORDER[None]):
        policies = (policy for name in dirs for policy in config.policies_by_dir.get(name, ()))
        using = [policy for policy in policies if _uses(policy, outer, hosts, turned)]
        for policy in using:
            if _carries(policy, config, outer, flows, turned, patience):
                return MatchResult("ipsec", _why(policy, outer, turned))
        if using:
            # What this SA carries is known, and it is nothing of what was asked for.
            return None
    return None


def _uses(policy: XfrmPolicy, outer: Outer, hosts: Flows | None, turned: bool) -> bool:
    """Is this packet's SA, or one between the same hosts where it is unknown, one that the policy accepts?"""
    state = outer.state
    if state is not None and policy.if_id not in (0, state.if_id):
        return False
    if state is not None and (policy.mark ^ state.mark) & policy.mark_mask & state.mark_mask:
        return False
    accepting = [template for template in policy.templates if _accepts(template, outer, turned)]
    if not accepting:
        return False
    tunnel = _tunnel(policy)
    if tunnel is None:
        selector = mirrored(policy.selector) if turned else policy.selector
        return hosts is not None and narrowed(hosts, selector) is not None
    ends = (template if template.mode != "transport" else tunnel for template in accepting)
    return any(_connects(template, outer, turned) for template in ends)


def _tunnel(policy: XfrmPolicy) -> XfrmTemplate | None:
    """The template that hides the flow's addresses; None when they are those of the packet (transport mode)."""
    return next((template for template in policy.templates if template.mode != "transport"), None)


def _accepts(template: XfrmTemplate, outer: Outer, turned: bool) -> bool:
    state = outer.state
    if template.proto != outer.proto:
        return False
    if state is None:
        return True
    if template.mode != state.mode:
        return False
    if turned:  # the way back has an SA of its own: another SPI, and by hand perhaps no reqid
        return not template.reqid or state.reqid in (0, template.reqid)
    return template.reqid in (0, state.reqid) and template.spi in (0, state.spi)


def _connects(template: XfrmTemplate, outer: Outer, turned: bool) -> bool:
    hosts = (outer.saddr, outer.daddr) if outer.state is None else (outer.state.saddr, outer.state.daddr)
    ends = (template.daddr, template.saddr) if turned else (template.saddr, template.daddr)
    return all(end is None or end == host for end, host in zip(ends, hosts, strict=True))


def _carries(
    policy: XfrmPolicy,
    config: XfrmConfig,
    outer: Outer,
    flows: tuple[Flows, ...],
    turned: bool,
    patience: _Patience,
) -> bool:
    """Does the policy send any of the flows through the SA?"""
    for asked in flows:
        found = asked if _tunnel(policy) is not None else between(asked, outer.saddr, outer.daddr)
        if found is not None:
            found = narrowed(found, mirrored(policy.selector) if turned else policy.selector)
        if found is not None and outer.state is not None and outer.state.selector is not None:
            found = narrowed(found, outer.state.selector)
        if found is not None and not _taken_before(policy, config, found, turned, patience):
            return True
    return False


def _taken_before(
    policy: XfrmPolicy, config: XfrmConfig, flows: Flows, turned: bool, patience: _Patience
) -> bool:
    """Does another policy come first for all of these flows?"""
    for other in takewhile(lambda one: one.priority < policy.priority, config.policies_by_dir[policy.dir]):
        patience.look()
        if (
            other.if_id == policy.if_id
            and (not other.mark_mask or (other.mark, other.mark_mask) == (policy.mark, policy.mark_mask))
            and covers(mirrored(other.selector) if turned else other.selector, flows)
        ):
            return True
    return False


def _match_state_alone(
    outer: Outer, flows: tuple[Flows, ...], config: XfrmConfig | None
) -> MatchResult | None:
    """Without policies only the SA itself is left as evidence."""
    state = outer.state
    if state is None:
        return None
    unknown = "no policy here asks for IPsec" if config is not None else "the policies could not be read"
    selector = state.selector
    restricted = selector is not None and narrowed(Flows(), selector) != Flows(family=selector.family)
    if state.mode != "transport" and not restricted:
        return None
    for asked in flows:
        found = between(asked, outer.saddr, outer.daddr) if state.mode == "transport" else asked
        if found is not None and (selector is None or narrowed(found, selector) is not None):
            why = "its selector covers the filter" if restricted else "it connects the hosts of the filter"
            return MatchResult("ipsec", f"{unknown}, but {state.proto} {spi_text(state.spi)} may: {why}")
    return None


def _why(policy: XfrmPolicy, outer: Outer, turned: bool) -> str:
    name = f"policy {selector_text(policy.selector)} dir {policy.dir}"
    way = " is for the way back and" if turned else ""
    if outer.state is None:
        return f"{name}{way} asks for {outer.proto} between these hosts"
    which = f"reqid {outer.state.reqid}" if outer.state.reqid else f"SPI {spi_text(outer.state.spi)}"
    return f"{name}{way} {'fits' if turned else 'uses'} this SA ({which})"
