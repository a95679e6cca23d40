"""Adds to a finding which connection of the IKE daemon its SA or policy belongs to."""

from collections.abc import Sequence
from dataclasses import replace

from dropwatch.causes.cause import Cause, Judge
from dropwatch.host.host import Host
from dropwatch.host.ipsec.vici import Connection
from dropwatch.model.culprits import XfrmPolicy, XfrmState
from dropwatch.model.drop import Drop, Evidence, Verdict


def naming(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """The same causes, whose verdicts name the connection where it is known."""
    return tuple(
        cause if cause.judge is None else replace(cause, judge=_named(cause.judge)) for cause in causes
    )


def _named(judge: Judge) -> Judge:
    def judge_and_name(drop: Drop, host: Host) -> Verdict | None:
        verdict = judge(drop, host)
        if verdict is None or not isinstance(verdict.culprit, XfrmState | XfrmPolicy):
            return verdict
        return _with_connection(verdict, verdict.culprit, drop, host)

    return judge_and_name


def _with_connection(verdict: Verdict, culprit: XfrmState | XfrmPolicy, drop: Drop, host: Host) -> Verdict:
    if not host.ike_tools():  # no daemon of which the answer could be: nothing is asked
        return verdict
    found = {
        (one.ike, one.child)
        for one in host.connections(drop.event.netns, drop.event.monotonic_ns)
        if _belongs(one, culprit)
    }
    if len(found) != 1:
        return verdict
    ike, child = found.pop()
    fact = Evidence("vici list-sas", f"strongSwan has this as child {child} of connection {ike}")
    named = replace(culprit, connection=ike, child=child)
    return replace(verdict, culprit=named, evidence=(*verdict.evidence, fact))


def _belongs(connection: Connection, culprit: XfrmState | XfrmPolicy) -> bool:
    """By SPI; else by reqid, of the SA or of what a policy asks for; else by the if_id."""
    if culprit.spi is not None and int(culprit.spi, 16) in connection.spis:
        return True
    if isinstance(culprit, XfrmState):
        reqids = {culprit.reqid}
    else:
        reqids = {template.reqid for template in culprit.templates or ()}
    if connection.reqid and connection.reqid in reqids:
        return True
    return bool(culprit.if_id) and culprit.if_id in connection.if_ids
