"""Attaches the hooks of the families: now, or when the module comes in which their functions are."""

import time
from collections.abc import Callable

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.attach import Probes
from dropwatch.probe.family import Family
from dropwatch.probe.netfilter_families import probed_for
from dropwatch.probe.netfilter_layout import read_layout
from dropwatch.probe.send_code import read_send_code
from dropwatch.probe.tun_layout import read_tun_layout

_QUIET_NS = 60_000_000_000


class FamilyProbes:
    """The families of one run. What cannot be attached is left out; `note` takes sentences for `blind_spots`.

    `light`: those that may cost an accepted packet something sleep until wake(), and again after a minute without.
    """

    def __init__(
        self,
        probes: Probes,
        families: tuple[Family, ...],
        symbols: Kallsyms,
        note: Callable[[str], None],
        *,
        light: bool = False,
    ) -> None:
        self._probes = probes
        self._families = families
        self._symbols = symbols
        self._note = note
        self._ready: set[str] = set()  # families whose tail calls are loaded
        self._configured: set[str] = set()  # families whose subsystem has been configured
        self._whole: dict[str, bool] = {}  # families by name, until modules come or go
        self._asleep = {family.layer for family in families if light and family.layer is not None}
        self._awake: dict[str, int] = {}  # those that slept, and when they were needed last (monotonic)

    def start(self) -> None:
        self._write_layout()
        for family in self._families:
            if family.layer not in self._asleep:
                self._attach_constant(family)
        self._attach_present()

    @property
    def asleep(self) -> frozenset[str]:
        """The layers whose families sleep."""
        return frozenset(self._asleep)

    def wake(self, layer: str) -> None:
        """A packet died in this layer."""
        if layer in self._awake or layer in self._asleep:
            self._awake[layer] = time.monotonic_ns()
        if layer in self._asleep:
            self._asleep.remove(layer)
            for family in self._families:
                if family.layer == layer:
                    self._attach_constant(family)
            self._attach_present()

    def rest(self) -> None:
        """Lets those sleep that have not been needed for a minute."""
        for layer, needed_ns in list(self._awake.items()):
            if time.monotonic_ns() - needed_ns > _QUIET_NS:
                del self._awake[layer]
                self._asleep.add(layer)
                for family in self._families:
                    if family.layer == layer:
                        self._detach(family)

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone."""
        self._probes.modules_changed(names)
        self._whole.clear()
        for family in self._families:
            known = family.name in self._configured
            if not known and any(module in names for module, _ in family.configured_by):
                self._configured.add(family.name)
                if family.layer not in self._asleep:
                    # at once: reading the symbols takes longer than the first use of what has come
                    self._attach(family)
        self._symbols.refresh()
        self._write_layout()
        self._attach_present()

    def watched(self, function: str, time_ns: int) -> bool:
        """Whether a probe told what this function at a netfilter hook answered at that time (monotonic)."""
        return self._probes.watched(probed_for(function), time_ns)

    def sees(self, family: Family) -> bool:
        """Whether its first hook is attached, without which it notes nothing."""
        return self._probes.is_attached(family.hooks[0])

    def sees_all(self, family: Family) -> bool:
        """Awake, and whole."""
        return family.layer not in self.asleep and self.is_whole(family)

    def is_whole(self, family: Family) -> bool:
        """Whether all its hooks are attached."""
        if family.name not in self._whole:
            self._whole[family.name] = all(self._probes.is_attached(hook) for hook in family.hooks)
        return self._whole[family.name]

    def _write_layout(self) -> None:
        self._probes.write("netfilter_layout", 0, read_layout(self._symbols))
        self._probes.write("send_code", 0, read_send_code(self._symbols))
        self._probes.write("tun_layout", 0, read_tun_layout(self._symbols))

    def _attach_all(self, family: Family) -> None:
        for at, hook in enumerate(family.hooks):
            why = self._probes.attach(hook)
            if why is not None:
                self._note(f"probe {hook.function}: not attached: {why}")
                if at == 0:
                    return

    def _attach_present(self) -> None:
        for family in self._families:
            if family.layer in self._asleep:
                continue
            if family.comes_and_goes and self._is_configurable(family):
                self._attach(family)

    def _attach_constant(self, family: Family) -> None:
        """One that is a part of every kernel."""
        if not family.comes_and_goes:
            self._load(family)
            self._attach_all(family)

    def _detach(self, family: Family) -> None:
        self._whole.pop(family.name, None)
        for hook in family.hooks:
            self._probes.detach(hook)

    def _attach(self, family: Family) -> None:
        """The hooks whose functions are there."""
        for hook in family.hooks:
            if self._probes.is_there(hook):
                self._load(family)
                why = self._probes.attach(hook)
                if why is not None:
                    self._note(f"probe {hook.function}: not attached: {why}")

    def _is_configurable(self, family: Family) -> bool:
        if any(self._symbols.find(function) is not None for _, function in family.configured_by):
            self._configured.add(family.name)
        return not family.configured_by or family.name in self._configured

    def _load(self, family: Family) -> None:
        """Loads what the family's programs jump to, once."""
        if family.name in self._ready:
            return
        self._ready.add(family.name)
        for call in family.tail_calls:
            why = self._probes.load(call)
            if why is not None:
                self._note(f"probe {family.name}: what it saw is not told: {why}")
