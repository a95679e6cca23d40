"""What the host is asked about netfilter: rules, tables, connection tracking, packet queues."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from dropwatch.host.conntrack import ConntrackTable, read_table
from dropwatch.host.ipvs import Server, Service, read_ipvs, read_ipvs_servers, service_key
from dropwatch.host.listed_rule import ChangingRules, ListedRule
from dropwatch.host.nfqueue import Queue, read_queues
from dropwatch.host.question import Asked, lasting_question, plain_question, question
from dropwatch.model.drop import Address
from dropwatch.model.netfilter import EbtNote, NftNote, XtNote

if TYPE_CHECKING:
    from dropwatch.host.nft.listing import NftListings
    from dropwatch.host.xt.ebt_listing import EbtListings
    from dropwatch.host.xt.listing import XtListings


class Firewalls(NamedTuple):
    """The tables of a namespace, by implementation, each as `FAMILY TABLE` (`inet filter`)."""

    nft: tuple[str, ...]
    legacy: tuple[str, ...]


class NetfilterQuestions(Asked):
    @lasting_question
    def nft_rule(self, inode: int, note: NftNote, not_before_ns: int) -> ListedRule | None:
        """The rule or chain policy that an nf_tables verdict came from."""

        def read() -> ListedRule | None:
            found = self.tried("nftables rules", inode, lambda: self._nft.rule(inode, note, not_before_ns))
            self.freshness.ends(self._nft.fresh_until if found is not None else 0)
            return found

        return self.found_in(inode, not_before_ns, read)

    @plain_question
    def xt_rules(self, inode: int, note: XtNote, not_before_ns: int) -> tuple[ListedRule, ...]:
        """Each candidate of a legacy table, in their order; none where they could not be read."""
        generation = self.seen.table_changes()

        def read() -> tuple[ListedRule, ...] | None:
            rules = partial(self._xt.rule, inode, note, not_before_ns, generation)
            return self.tried("legacy iptables rules", inode, rules)

        return self.found_in(inode, not_before_ns, read) or ()

    @plain_question
    def ebt_rule(self, inode: int, note: EbtNote, not_before_ns: int) -> ListedRule | None:
        """The rule or chain policy of a legacy ebtables table that decided; None also where that is not sure."""
        generation = self.seen.table_changes()

        def read() -> ListedRule | None:
            rule = partial(self._ebt.rule, inode, note, not_before_ns, generation)
            return self.tried("legacy ebtables rules", inode, rule)

        return self.found_in(inode, not_before_ns, read)

    @question("tables of the firewalls")
    def firewalls(self, inode: int) -> Firewalls:
        """Which tables there are, of nf_tables and of the legacy implementation."""
        return Firewalls(self._nft.nft_tables(inode), self._xt.legacy_tables(inode))

    @question("rules that translate, mark or queue", sparing=20)
    def changing_rules(self, inode: int) -> ChangingRules:
        """Those of today, for decisions that were made before."""
        return self._changing_rules(inode)

    @question("limits of conntrack", tells_age=True)
    def conntrack(self, inode: int) -> ConntrackTable | None:
        """How full the connection tracking table is."""
        return read_table(inode)

    @question("services of IPVS", sparing=10)
    def ipvs_services(self, inode: int) -> tuple[Service, ...]:
        """Those of the namespace."""
        return read_ipvs(inode)

    @question("servers of IPVS services")
    def ipvs_servers(
        self, inode: int, family: int, mark: int, protocol: str | None, address: Address | None, port: int
    ) -> tuple[Server, ...]:
        """Those of the service that these name."""
        return read_ipvs_servers(inode, service_key(family, mark, protocol, address, port))

    @question("packet queues", tells_age=True)
    def queues(self, inode: int) -> tuple[Queue, ...]:
        """The packet queues that programs listen to."""
        return read_queues(inode)

    @cached_property
    def _changing_rules(self) -> Callable[[int], ChangingRules]:
        from dropwatch.host.netfilter.changing_rules import read_changing_rules

        return read_changing_rules

    @cached_property
    def _nft(self) -> "NftListings":
        from dropwatch.host.nft.listing import NftListings

        return NftListings()

    @cached_property
    def _xt(self) -> "XtListings":
        from dropwatch.host.xt.listing import XtListings

        return XtListings(lambda: self.seen.table_changes())

    @cached_property
    def _ebt(self) -> "EbtListings":
        from dropwatch.host.xt.ebt_listing import EbtListings

        return EbtListings(lambda: self.seen.table_changes())
