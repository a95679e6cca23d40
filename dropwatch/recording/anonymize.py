"""What a recording holds, with other addresses and without payload: in records, texts and packets alike."""

import dataclasses
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from dropwatch.model.drop import Address, Event, Finding, Frame
from dropwatch.model.ipsec import Selector
from dropwatch.model.journey import Journey
from dropwatch.model.kept import Died
from dropwatch.model.netfilter import XtNote
from dropwatch.model.resent import Death
from dropwatch.model.summary import Summary
from dropwatch.packet.rewrite import rewritten
from dropwatch.packet.walk import walk_event
from dropwatch.recording.addresses import Anonymizer

Value = TypeVar("Value")


class Editor:
    """What is done to every value before it is written. `anonymizer` None leaves addresses as they are."""

    def __init__(self, anonymizer: Anonymizer | None = None, *, payload: bool = False) -> None:
        self._anonymizer = anonymizer
        self._payload = payload

    def event(self, event: Event) -> Event:
        """The event with its packet edited, and everything else too."""
        edited = self.value(event)
        rename = self._anonymizer.packed if self._anonymizer is not None else None
        packet = rewritten(walk_event(event), payload=self._payload, rename=rename)
        link = event.link
        if rename is not None and link:
            link = rename(link[:6]) + rename(link[6:12]) + link[12:]
        return dataclasses.replace(edited, packet=packet, link=link)

    def gathered(self, shown: Summary | Journey) -> Summary | Journey:
        """A summary or a journey with the packets of its findings edited, and everything else too."""
        if isinstance(shown, Journey):
            return dataclasses.replace(self.value(shown), finding=self._found(shown.finding))
        rows = (dataclasses.replace(self.value(row), finding=self._found(row.finding)) for row in shown.rows)
        return dataclasses.replace(self.value(shown), rows=tuple(rows))

    def died(self, died: Died) -> Died:
        """What the recorder kept of a sort, likewise."""
        return dataclasses.replace(self.value(died), finding=self.finding(died.finding))

    def finding(self, finding: Finding) -> Finding:
        """A finding with its packet edited, and everything else too."""
        edited = self.value(finding)
        return dataclasses.replace(
            edited, drop=dataclasses.replace(edited.drop, event=self.event(finding.drop.event))
        )

    def _found(self, finding: Finding | None) -> Finding | None:
        return None if finding is None else self.finding(finding)

    def value(self, value: Value) -> Value:
        """Any value of the model, whatever it is made of."""
        return value if self._anonymizer is None else _Walk(self._anonymizer).other(value)

    def kernel_address(self, address: int) -> int:
        return address if self._anonymizer is None else self._anonymizer.kernel_address(address)


class _Walk:
    def __init__(self, anonymizer: Anonymizer) -> None:
        self._new = anonymizer
        self._special: dict[type[Any], Callable[[Any], dict[str, Any]]] = {
            Event: self._of_event,
            Frame: lambda frame: {"address": self._new.kernel_address(frame.address)},
            Selector: self._of_selector,
            Death: self._of_death,
            XtNote: lambda note: {
                "rule": b""
            },  # the entry's bytes hold addresses, the words of the answer do too
        }

    def other(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._new.text(value)
        if isinstance(value, IPv4Address | IPv6Address):
            return self._new.address(value)
        if isinstance(value, IPv4Network | IPv6Network):
            return self._new.network(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.other(item) for item in value))
        if isinstance(value, tuple | list | frozenset):
            return type(value)(self.other(item) for item in value)
        if isinstance(value, dict):
            return {key: self.other(item) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._of_dataclass(value)
        return b"" if isinstance(value, bytes) else value

    def _of_dataclass(self, value: Any) -> Any:
        changed = {field.name: self.other(getattr(value, field.name)) for field in dataclasses.fields(value)}
        special = self._special.get(type(value))
        return dataclasses.replace(value, **{**changed, **(special(value) if special is not None else {})})

    def _of_event(self, event: Event) -> dict[str, Any]:
        return {
            "skb": self._new.kernel_address(event.skb),
            "location": self._new.kernel_address(event.location),
            "stack": tuple(self._new.kernel_address(address) for address in event.stack),
        }

    def _of_death(self, death: Death) -> dict[str, Any]:
        return {
            "skb": self._new.kernel_address(death.skb),
            "location": self._new.kernel_address(death.location),
        }

    def _of_selector(self, selector: Selector) -> dict[str, Any]:
        return {
            "saddr": self._masked(selector.saddr, selector.prefixlen_s),
            "daddr": self._masked(selector.daddr, selector.prefixlen_d),
        }

    def _masked(self, address: Address | None, length: int) -> Address | None:
        if address is None:
            return None
        bits = address.max_prefixlen
        mask = (1 << bits) - (1 << (bits - min(length, bits)))
        other = int(self._new.address(address))
        return type(address)(other if int(address) & ~mask else other & mask)
