"""Kernel addresses to names and back, from /proc/kallsyms.

The file has 120,000 to 250,000 lines. The kernel's own symbols come first, sorted by address
(kernel/kallsyms.c), so they are searched where they lie, without parsing them; only the lines of modules and
BPF programs, which follow in any order, are parsed.
"""

import bisect
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from dropwatch.model.drop import Frame
from dropwatch.model.pattern import pattern
from dropwatch.names.foreign import foreign

_PATH = Path("/proc/kallsyms")
_MODULES = Path("/proc/modules")
_MODULE_LINE = pattern(rb"^([0-9a-f]+) ([a-zA-Z]) (\S+)\t\[(\S+)\]$", re.MULTILINE)
_CORE_FUNCTION = pattern(rb"([0-9a-f]+) [tTwW] (\S+)\n")
_MAPPING = b"$"[0]  # $x, $d: where arm64's code and data begin, no name of anything
_NAMES = slice(2, None, 3)  # of the words of lines: 16 digits, the kind, the name
_PART = 1 << 18  # bytes
_CODE = frozenset(b"tTwW")
_BPF_PROGRAM_BYTES = 1 << 16  # BPF programs and trampolines are listed like modules, but without a size
_PAUSE_SECONDS = 1.0


class Kallsyms:
    """Symbols as they were when the object was made; they are read again when an address is not found.

    A reading takes a good part of a tenth of a second: one that was in vain is not repeated at once. `clock`
    is in seconds.
    """

    def __init__(
        self, path: Path = _PATH, modules: Path = _MODULES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._modules_path = modules
        self._clock = clock
        self._pause_until = float("-inf")
        self._core_names: dict[str, int | None] = {}
        self._times: dict[
            str, int
        ] = {}  # how many of the kernel's own have a name, of those that were counted
        self.readings = 0  # until the next an address has the same name
        self._read()

    def _read(self) -> None:
        self.readings += 1
        text = self._path.read_bytes()
        first_module = text.find(b"\t[")
        split = len(text) if first_module < 0 else text.rfind(b"\n", 0, first_module) + 1
        self._core = text[:split]
        found = [
            (int(address, 16), name, module)
            for address, kind, name, module in _MODULE_LINE.findall(text, split)
            if kind[0] in _CODE and name[0] != _MAPPING
        ]
        found.sort(key=lambda symbol: symbol[0])  # stable: aliases stay in the order of the file
        self._module_symbols = found
        self._module_names = {name: address for address, name, _ in found}
        self._module_times = Counter(name for _, name, _ in found)
        self._module_addresses = [address for address, _, _ in found]
        self._modules = _module_ranges(self._modules_path)
        self._text_start, self._text_end = self.address("_stext") or 0, self.address("_etext") or 0

    @property
    def readable(self) -> bool:
        """False when the kernel shows zeros for addresses (kernel.kptr_restrict, no CAP_SYSLOG)."""
        return self._text_start != 0

    def address(self, name: str) -> int | None:
        """Address of a symbol of the kernel itself (not of a module); None when it is not listed or hidden."""
        if name in self._core_names:
            return self._core_names[name]
        at = self._core.find(b" " + name.encode() + b"\n")
        return _address_before(self._core, at) if at >= 0 else None

    def extent(self, name: str) -> tuple[int, int]:
        """First address of a function, or of what the compiler made of it, and the first behind; (0, 0): there is none.

        Only as good as the list: the next symbol ends the function. Modules are read as they were last.
        """
        start = self.address(name)
        if start is None:
            start = self._variant(name.encode())
        if start is not None:
            return start, self._next_core(start)
        needle = name.encode()
        for at, (address, found, module) in enumerate(self._module_symbols):
            if found == needle:
                base, size = self._modules.get(module, (address, _BPF_PROGRAM_BYTES))
                later = (a for a in self._module_addresses[at + 1 :] if a > address)
                return address, min(next(later, base + size), base + size)
        return 0, 0

    def _variant(self, name: bytes) -> int | None:
        """What the compiler made of a function of the kernel itself (`name.isra.0`), but for its cold part."""
        at = self._core.find(b" " + name + b".")
        while at >= 0:
            if b".cold" not in self._core[at : self._core.find(b"\n", at)]:
                return _address_before(self._core, at)
            at = self._core.find(b" " + name + b".", at + 1)
        return None

    def find(self, name: str) -> int | None:
        """Address of a symbol of the kernel or of a module, as read last. The kernel's own are looked up once."""
        found = self._module_names.get(name.encode())
        if found is None:
            if name not in self._core_names:
                self._core_names[name] = self.address(name)
            found = self._core_names[name]
        return found

    def sole(self, name: str) -> int | None:
        """The address of what has this name as the only one; None also where that was not counted by look_up() or
        occurrences().
        """
        times = self._times.get(name)
        if times is None or times + self._module_times[name.encode()] != 1:
            return None
        return self.find(name)

    def look_up(self, names: Iterable[str]) -> None:
        """Finds many of the kernel's own symbols in one pass, for find(): a search for each takes ten times as long."""
        wanted = {name.encode(): name for name in names if name not in self._times}
        self._core_names |= dict.fromkeys(wanted.values())
        self._times |= dict.fromkeys(wanted.values(), 0)
        start = 0
        while start < len(
            self._core
        ):  # in parts: all words at once would take many times the memory of the text
            end = self._core.find(b"\n", start + _PART) + 1 or len(self._core)
            part = self._core[start:end]
            for found in wanted.keys() & part.split()[_NAMES]:
                line = b" " + found + b"\n"
                name = wanted[found]
                self._times[name] += part.count(line)
                if self._core_names[name] is None:
                    self._core_names[name] = _address_before(part, part.find(line))
            start = end

    def occurrences(self, names: Collection[str]) -> Counter[str]:
        """How many functions have each of these names, in the kernel and its modules, as read last.

        One pass, which finds the kernel's own for find() as well: one by one, a thousand take seconds.
        """
        wanted = {name.encode() for name in names}
        counts = Counter(foreign(name) for _, name, _ in self._module_symbols if name in wanted)
        in_core: Counter[str] = Counter()
        for address, symbol in _CORE_FUNCTION.findall(self._core):
            if symbol in wanted:
                name = foreign(symbol)
                counts[name] += 1
                in_core[name] += 1
                self._core_names.setdefault(name, int(address, 16) or None)
        for name in names:
            self._core_names.setdefault(name, None)
            self._times.setdefault(name, in_core[name])
        return counts

    def moved(self) -> set[str]:
        """The modules that have come, gone or come again elsewhere since the symbols were read."""
        now = _module_ranges(self._modules_path)
        return {foreign(name) for name, _ in self._modules.items() ^ now.items()}

    def refresh(self) -> None:
        """Reads again: modules have come or gone."""
        self._read()

    def frame(self, address: int) -> Frame:
        """The function that an address lies in. `function` is None when no symbol covers it."""
        found = self._lookup(address)
        if found is None and address and self.readable and self._clock() >= self._pause_until:
            self._read()  # a module may have come since
            found = self._lookup(address)
            if found is None:
                self._pause_until = self._clock() + _PAUSE_SECONDS
        if found is None:
            return Frame(None, 0, None, address)
        start, name, module = found
        return Frame(name, address - start, module, address)

    def _lookup(self, address: int) -> tuple[int, str, str | None] | None:
        if not self.readable:
            return None
        if self._text_start <= address < self._text_end:
            return self._lookup_core(address)
        after = bisect.bisect_right(self._module_addresses, address)
        if not after:
            return None
        first = bisect.bisect_left(self._module_addresses, self._module_addresses[after - 1])
        start, name, module = self._module_symbols[first]
        base, size = self._modules.get(module, (start, _BPF_PROGRAM_BYTES))
        return (start, foreign(name), foreign(module)) if base <= address < base + size else None

    def _next_core(self, start: int) -> int:
        """The address of the first symbol after this one; they are sorted."""
        at = self._core.find(b"%016x " % start)
        while at >= 0:
            address = int(self._core[at : at + 16], 16)
            if address > start:
                return address
            at = self._core.find(b"\n", at) + 1 or -1
        return start

    def _lookup_core(self, address: int) -> tuple[int, str, None] | None:
        low, high = 0, len(self._core)
        while low < high:
            middle = self._core.rfind(b"\n", 0, (low + high) // 2) + 1
            middle = max(middle, low)
            end = self._core.find(b"\n", middle)
            if int(self._core[middle : self._core.find(b" ", middle)], 16) <= address:
                low = end + 1
            else:
                high = middle
        return self._code_symbol_before(low)

    def _code_symbol_before(self, position: int) -> tuple[int, str, None] | None:
        """The last code symbol on the lines before a position; of aliases at one address the first listed."""
        best: tuple[int, str, None] | None = None
        while position > 0:
            start = self._core.rfind(b"\n", 0, position - 1) + 1
            address, kind, name = self._core[start : position - 1].split(b" ")[:3]
            value = int(address, 16)
            if best is not None and value != best[0]:
                break
            if kind[0] in _CODE and name[0] != _MAPPING:
                best = (value, foreign(name), None)
            position = start
        return best


def _address_before(text: bytes, at: int) -> int | None:
    """Of a line whose name has the space before it at this place."""
    return int(text[text.rfind(b"\n", 0, at) + 1 : at - 2], 16) or None


def _module_ranges(path: Path) -> dict[bytes, tuple[int, int]]:
    """Module to base address and size in bytes, from /proc/modules (name, size, users, by, state, address)."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines()]
    except OSError:
        return {}
    return {fields[0]: (int(fields[5], 16), int(fields[1])) for fields in lines if len(fields) > 5}
