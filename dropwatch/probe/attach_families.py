"""Attaches the hooks of the families: now, or when the module comes in which their functions are."""

from collections.abc import Callable

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.attach import Probes
from dropwatch.probe.families import probed_for
from dropwatch.probe.family import Family
from dropwatch.probe.netfilter_layout import read_layout


class FamilyProbes:
    """The families of one run. What cannot be attached is left out; `note` takes sentences for `blind_spots`."""

    def __init__(
        self, probes: Probes, families: tuple[Family, ...], symbols: Kallsyms, note: Callable[[str], None]
    ) -> None:
        self._probes = probes
        self._families = families
        self._symbols = symbols
        self._note = note
        self._ready: set[str] = set()  # families whose tail calls are loaded
        self._configured: set[str] = set()  # families whose subsystem has been configured
        self._whole: dict[str, bool] = {}  # families by name, until modules come or go

    def start(self) -> None:
        self._symbols.look_up(hook.function for family in self._families for hook in family.hooks)
        self._write_layout()
        for family in self._families:
            if not family.comes_and_goes:
                self._load(family)
                self._attach_all(family)
        self._attach_present()

    def modules_changed(self, names: set[str]) -> None:
        """Modules have come or gone."""
        self._probes.modules_changed(names)
        self._whole.clear()
        for family in self._families:
            known = family.name in self._configured
            if not known and any(module in names for module, _ in family.configured_by):
                self._configured.add(family.name)
                self._attach(
                    family
                )  # at once: reading the symbols takes longer than the first use of what has come
        self._symbols.refresh()
        self._write_layout()
        self._attach_present()

    def watches(self, function: str) -> bool:
        """Whether a probe tells what this function at a netfilter hook answers."""
        return self._probes.watches(probed_for(function))

    def is_whole(self, family: Family) -> bool:
        """Whether all its hooks are attached."""
        if family.name not in self._whole:
            self._whole[family.name] = all(self._probes.is_attached(hook) for hook in family.hooks)
        return self._whole[family.name]

    def _write_layout(self) -> None:
        self._probes.write("netfilter_layout", 0, read_layout(self._symbols))

    def _attach_all(self, family: Family) -> None:
        for at, hook in enumerate(family.hooks):
            why = self._probes.attach(hook)
            if why is not None:
                self._note(f"probe {hook.function}: not attached: {why}")
                if at == 0:
                    return

    def _attach_present(self) -> None:
        for family in self._families:
            if family.comes_and_goes and self._is_configurable(family):
                self._attach(family)

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
