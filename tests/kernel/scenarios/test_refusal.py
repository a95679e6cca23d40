"""A family whose part in the common program the verifier refuses is left out, by name, and the rest goes on.

Its text is not that of the release: the programs are compiled in the guest, on each kernel.
"""

import dataclasses
import socket
from typing import Any

import pytest
from scenarios import esp
from scenarios.namespaces import Lab

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.drop import Event
from dropwatch.model.filter import Filter
from dropwatch.probe import tracer
from dropwatch.probe.family import Family
from dropwatch.probe.netfilter_families import AT_HOOKS
from dropwatch.probe.programs import numbers

# of bpf/hooks.c, the first that is tried without
LAST_LINE = "return is_killer(layout, KILLER_HOOK_SLOW, location);"
FORBIDDEN = "*(volatile u64 *)skb = 1;"  # a store into the packet's memory


@pytest.mark.once
def test_the_rest_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = numbers.build

    def spoilt(families: tuple[Family, ...], **more: Any) -> numbers.Program:
        built = honest(families, **more)
        text = built.text.text.replace(LAST_LINE, f"{FORBIDDEN} {LAST_LINE}")
        return dataclasses.replace(built, text=dataclasses.replace(built.text, text=text))

    monkeypatch.setattr(numbers, "build", spoilt)
    wanted = Filter(protos=frozenset({socket.IPPROTO_UDP}), dport=((9, 9),))
    with tracer.Tracer(wanted, Kallsyms(), send_all=False) as running:
        refused = f"probe {AT_HOOKS.name}: not attached: the program on_kfree_skb was refused"
        assert [why for why in running.blind_spots if why.startswith(refused)], running.blind_spots
        esp.send(lab.a, lab.b.v4, 3, port=9)
        found: list[Event] = []
        while len(found) < 3:
            batch = running.read(60_000)
            assert batch, "no drop came"
            found += batch
        assert {event.source for event in found} == {"kfree_skb"}
        running.detach()
        assert running.counts().seen_by["kfree_skb"] >= 3
