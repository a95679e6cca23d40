"""Names of drop reasons: the numbers differ from kernel to kernel, so the running kernel is asked."""

from dropwatch.kernel import btf

_CORE = "skb_drop_reason"
_PREFIX = "SKB_DROP_REASON_"
_SUBSYS_MASK = "SKB_DROP_REASON_SUBSYS_MASK"
# A reason of a subsystem carries the subsystem's number in its upper half (include/net/dropreason.h); the
# enumerators of these enums hold the whole value.
_SUBSYSTEM_ENUMS = {
    "mac80211": "mac80211_drop_reason",
    "openvswitch": "ovs_drop_reason",
    "vmlinux": "qdisc_drop_reason",
}
_NOT_REASONS = frozenset({"SKB_NOT_DROPPED_YET", _SUBSYS_MASK})


class ReasonNames:
    """Number to name. A subsystem's module may be loaded after the start: unknown numbers are asked again once."""

    def __init__(self) -> None:
        self._names = _read()
        self._unknown: set[int] = set()

    def __call__(self, number: int | None) -> str | None:
        """The kernel's name without `SKB_DROP_REASON_`; the number in hexadecimal when it has none; None for None."""
        if number is None:
            return None
        if number not in self._names and number not in self._unknown:
            self._names = _read()
            if number not in self._names:
                self._unknown.add(number)
        return self._names.get(number, f"{number:#x}")

    @property
    def known(self) -> frozenset[str]:
        """Every name that this kernel has, empty on a kernel without reasons."""
        return frozenset(self._names.values())


def _read() -> dict[int, str]:
    kernel = btf.vmlinux()
    core = kernel.enum(_CORE) or {}
    names, mask = core_names(core), core.get(_SUBSYS_MASK, 0)
    for where, enum in _SUBSYSTEM_ENUMS.items():
        source = kernel if where == "vmlinux" else btf.module(where)
        names |= subsystem_names((source.enum(enum) if source else None) or {}, mask)
    return names


def core_names(enumerators: dict[str, int]) -> dict[int, str]:
    """Number to name from `enum skb_drop_reason`. What is 0 there is a reason on some kernels, on others none."""
    return {
        number: name.removeprefix(_PREFIX)
        for name, number in enumerators.items()
        if name not in _NOT_REASONS and not name.endswith("_MAX")
    }


def subsystem_names(enumerators: dict[str, int], mask: int) -> dict[int, str]:
    """Number to name from a subsystem's enum: what has bits of the mask and is no mark of a bound.

    Such an enum may repeat values of the core under names of its own (RX_CONTINUE, QDISC_DROP_UNSPEC).
    """
    return {
        number: name
        for name, number in enumerators.items()
        if number & mask and not name.startswith("__") and not name.endswith("_MAX")
    }
