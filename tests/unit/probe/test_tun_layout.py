"""Where the module tun has what is read of it: from its BTF, or put together."""

import pytest

from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.tun_layout import read_tun_layout

SIZES = {"sock": 760, "socket": 128}  # of Linux 5.10
OFFSETS = {("tun_file", "tun"): 960, ("tun_struct", "flags"): 2060, ("tun_struct", "dev"): 2080}


class Known(Kallsyms):
    def __init__(self, *names: str) -> None:
        self._names = names

    def extent(self, name: str) -> tuple[int, int]:
        return (16, 32) if name in self._names else (0, 0)


class KnownTypes:
    def __init__(self, offsets: dict[tuple[str, str], int]) -> None:
        self._offsets = offsets

    def size(self, struct: str) -> int | None:
        return SIZES.get(struct)

    def offset(self, struct: str, path: tuple[str, ...]) -> int | None:
        return self._offsets.get((struct, path[0]))


@pytest.mark.parametrize(("of_module", "expected"), [(OFFSETS, (960, 2060, 2080)), (None, (896, 2052, 2064))])
def test_members(
    monkeypatch: pytest.MonkeyPatch,
    of_module: dict[tuple[str, str], int] | None,
    expected: tuple[int, int, int],
) -> None:
    monkeypatch.setattr(btf, "vmlinux", lambda: KnownTypes({}))
    monkeypatch.setattr(btf, "module", lambda name: KnownTypes(of_module) if of_module is not None else None)
    found = read_tun_layout(Known("tun_get_user", "tun_sendmsg"))
    assert (found.tun, found.flags, found.device) == expected
    assert [(each.start, each.end) for each in found.writer] == [(16, 32)] * 2


def test_without_the_module_nothing_is_known() -> None:
    found = read_tun_layout(Known())
    assert (found.tun, found.device, found.writer[0].end) == (0, 0, 0)
