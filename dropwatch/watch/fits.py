"""Whether what is counted as one sort fits a filter, by what the sort knows: not by the packet that is its example."""

from dataclasses import replace

from dropwatch.aggregate.sort import service
from dropwatch.errors import WrongUsage
from dropwatch.match import owner
from dropwatch.match.flow import FlowMatcher
from dropwatch.model.drop import Drop, Finding
from dropwatch.model.filter import Filter
from dropwatch.names.foreign import foreign
from dropwatch.run.wanted.words import sorted_out
from dropwatch.watch.sorts import ONE_CAUSE, ONE_FLOW

_ALL = "all"


class Fits:
    """`netns` are names of namespaces, as the store has them. Raises WrongUsage for what no sort knows."""

    def __init__(self, wanted: Filter, netns: tuple[str, ...]) -> None:
        but = wanted.but or Filter()
        for kind in (wanted, but):
            _refuse(kind)
        self._wanted, self._but = wanted, but
        self._names, self._not_names = sorted_out(netns)
        for text in (*self._names, *self._not_names):
            if text.isdecimal() or "/" in text or text.startswith("net:["):
                raise WrongUsage(
                    f"--netns {text}: the store knows network namespaces by their names",
                    "whydrop last shows them",
                )
        self._asks_flow = wanted.names_flow or but.names_flow
        bare = replace(wanted, causes=frozenset(), not_causes=frozenset(), owner=None)
        self._matcher = FlowMatcher(bare, lambda drop, wanted: None, lambda inode, index: None)
        self._asks_more = bare != Filter() or bool(netns) or wanted.owner is not None or but.owner is not None

    def of(self, finding: Finding, level: int) -> bool | None:
        """None: not known, because only the sum of many was kept."""
        wanted = self._wanted
        if finding.cause_id in wanted.not_causes or (wanted.causes and finding.cause_id not in wanted.causes):
            return False
        if not self._asks_more:
            return True
        if level == ONE_CAUSE:
            return None
        if not self._fits_netns(finding.drop) or not self._fits_owner(finding):
            return False
        if level != ONE_FLOW and self._asks_flow:
            return None
        return self._matcher.match(_bare(finding.drop)) is not None

    def _fits_netns(self, drop: Drop) -> bool:
        name = drop.netns.name if drop.netns is not None else None
        asked, excluded = self._names, self._not_names
        fits = not asked or _ALL in asked or name in [foreign(text) for text in asked]
        return fits and name not in [foreign(text) for text in excluded]

    def _fits_owner(self, finding: Finding) -> bool:
        process, wanted, but = finding.owner or finding.drop.process, self._wanted.owner, self._but.owner
        if wanted is not None and not owner.fits(wanted, process, lambda pid: ""):
            return False
        return but is None or not owner.excludes(but, process, lambda pid: "")


def _bare(drop: Drop) -> Drop:
    """Without what other packets of its sort have otherwise: a client's port, fragments, what is inside."""
    known = service(drop.packet)
    ports = {"sport": None, "dport": None} | ({known[0]: known[1]} if known is not None else {})
    packet = replace(
        drop.packet,
        **ports,  # type: ignore[arg-type]
        fragment_offset=0,
        more_fragments=False,
        quoted=None,
        inner=None,
    )
    event = replace(drop.event, past=None, connection=None, skb_iif=0)
    return replace(drop, packet=packet, event=event)


def _refuse(wanted: Filter) -> None:
    named = {
        "--mark": wanted.marks,
        "--reason": wanted.reasons or wanted.not_reasons,
        "--pid": wanted.owner is not None and wanted.owner.pids,
    }
    for option, values in named.items():
        if values:
            raise WrongUsage(
                f"{option}: what the recorder counts as one sort has more than one of them",
                "ask for a cause, an address, a service port, an interface, a namespace, --comm or --unit",
            )
