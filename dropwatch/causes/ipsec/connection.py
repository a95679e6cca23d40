"""Adds to a finding which connection of the IKE daemon its SA or policy belongs to."""

from dataclasses import replace

from dropwatch.host.host import Host
from dropwatch.host.ipsec.vici import Connection
from dropwatch.model.culprits import XfrmPolicy, XfrmState
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted


def with_connection(verdict: Verdict, drop: Drop, host: Host) -> Verdict:
    """The same verdict, which names the connection where exactly one can be it."""
    culprit = verdict.culprit
    if not isinstance(culprit, XfrmState | XfrmPolicy):
        return verdict
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
    fix = verdict.fix
    if fix and not (isinstance(culprit, XfrmPolicy) and culprit.action == "block"):
        command = f"swanctl --initiate --child {quoted(child)}"
        fix = (*fix, Fix("have strongSwan make new SAs for it", command))
    return replace(verdict, culprit=named, evidence=(*verdict.evidence, fact), fix=fix)


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
