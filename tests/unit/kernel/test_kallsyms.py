"""Addresses to names: every answer is compared with that of a search that is too simple to be wrong."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.model.drop import Frame

TEXT = 0xFFFFFFFF81000000
MODULES = 0xFFFFFFFFC0000000
CODE = "tTwW"
BPF_BYTES = 1 << 16


@dataclass(frozen=True)
class Symbol:
    address: int
    kind: str
    name: str
    module: str | None = None

    @property
    def line(self) -> str:
        return (
            f"{self.address:016x} {self.kind} {self.name}"
            + (f"\t[{self.module}]" if self.module else "")
            + "\n"
        )


@dataclass
class Files:
    """A /proc/kallsyms and a /proc/modules of our own; `clock` is ours too."""

    kallsyms: Path
    modules: Path
    now: float = 0.0

    def write(self, symbols: list[Symbol], modules: dict[str, tuple[int, int]]) -> None:
        self.kallsyms.write_text("".join(symbol.line for symbol in symbols))
        lines = [f"{name} {size} 0 - Live {base:#018x}\n" for name, (base, size) in modules.items()]
        self.modules.write_text("".join(lines))

    def open(self) -> Kallsyms:
        return Kallsyms(self.kallsyms, self.modules, lambda: self.now)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "kallsyms", tmp_path / "modules")


def brute_force(symbols: list[Symbol], modules: dict[str, tuple[int, int]], address: int) -> Frame:
    """The last code symbol not above the address, of several at one place the first listed; in its own object."""
    start, end = (next(s.address for s in symbols if s.name == name) for name in ("_stext", "_etext"))
    in_core = start <= address < end
    best: Symbol | None = None
    for symbol in symbols:
        fits = symbol.kind in CODE and symbol.address <= address and (symbol.module is None) == in_core
        if fits and (best is None or symbol.address > best.address):
            best = symbol
    if best is not None and best.module is not None:
        base, size = modules.get(best.module, (best.address, BPF_BYTES))
        if not base <= address < base + size:
            best = None
    if best is None:
        return Frame(None, 0, None, address)
    return Frame(best.name, address - best.address, best.module, address)


def core_symbols(chance: random.Random, count: int) -> list[Symbol]:
    """As the kernel lists them: sorted, per-CPU symbols at the bottom, data between and after the code."""
    symbols = [Symbol(n * 64, chance.choice("ADd"), f"percpu_{n}") for n in range(5)]
    symbols += [Symbol(TEXT, "T", "startup_64"), Symbol(TEXT, "T", "_stext"), Symbol(TEXT, "T", "_text")]
    address = TEXT
    for n in range(count):
        address += chance.choice((0, 0, 1, 5, 16, 16, 48, 4096))  # 0: an alias of the one before
        kind = chance.choice("tttTTTwWrdDRbBV")
        symbols.append(Symbol(address, kind, f"core_{n}" + "_long" * chance.randrange(6)))
    symbols += [Symbol(address + 4096, "T", "_etext"), Symbol(address + 8192, "R", "rodata")]
    symbols += [Symbol(address + 16384, "t", "init_function"), Symbol(address + 20000, "T", "_einittext")]
    return symbols


def module_symbols(
    chance: random.Random, base: int, names: list[str]
) -> tuple[list[Symbol], dict[str, tuple[int, int]]]:
    """Modules one after the other, with gaps between; their symbols in any order."""
    symbols, ranges = [], {}
    for name in names:
        base += chance.randrange(0x2000, 0x6000)
        size = chance.randrange(0x800, 0x2000)
        ranges[name] = (base, size)
        mine = [
            Symbol(base + chance.randrange(size) // 16 * 16, chance.choice("tttTrdb"), f"{name}_{n}", name)
            for n in range(chance.randrange(40))
        ]
        chance.shuffle(mine)
        symbols += mine
        base += size
    return symbols, ranges


def addresses(chance: random.Random, symbols: list[Symbol], count: int) -> list[int]:
    near = [
        chance.choice(symbols).address + chance.choice((-1, 0, 1, 2, 15, 16, 17, 100, 70000))
        for _ in range(count)
    ]
    low = min(symbol.address for symbol in symbols)
    high = max(symbol.address for symbol in symbols)
    return [a for a in near if a > 0] + [chance.randrange(low, high + 1) or 1 for _ in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_kernel_lists(files: Files, seed: int) -> None:
    chance = random.Random(seed)
    core = core_symbols(chance, chance.choice((0, 1, 2, 3, 10, 500)))
    modules, ranges = module_symbols(chance, MODULES, ["nf_tables", "esp4", "x_tables", "empty"])
    programs = [
        Symbol(MODULES - 0x100000 + n * 0x40000, "t", f"bpf_prog_{n:016x}_filter", "bpf") for n in range(3)
    ]
    symbols = core + modules + programs
    files.write(symbols, ranges)
    kallsyms = files.open()
    for address in addresses(chance, symbols, 400):
        assert kallsyms.frame(address) == brute_force(symbols, ranges, address), f"seed {seed}, {address:#x}"


@pytest.mark.parametrize("seed", range(6))
def test_first_and_last_byte_of_every_symbol(files: Files, seed: int) -> None:
    chance = random.Random(seed)
    symbols = core_symbols(chance, 60)
    files.write(symbols, {})
    kallsyms = files.open()
    for symbol in symbols:
        for address in (symbol.address - 1, symbol.address, symbol.address + 1):
            if address > 0:
                assert kallsyms.frame(address) == brute_force(symbols, {}, address), f"{address:#x}"


SMALL = [
    Symbol(0, "A", "fixed_percpu_data"),
    Symbol(0, "D", "__per_cpu_start"),
    Symbol(TEXT, "T", "_stext"),
    Symbol(TEXT + 0x10, "t", "first_alias"),
    Symbol(TEXT + 0x10, "T", "second_alias"),
    Symbol(TEXT + 0x20, "r", "table_within_text"),
    Symbol(TEXT + 0x40, "T", "xfrm_input"),
    Symbol(TEXT + 0x80, "T", "xfrm_input_resume"),
    Symbol(TEXT + 0x90, "T", "_etext"),
    Symbol(TEXT + 0x1000, "D", "netns_operations"),
]


def test_aliases_give_the_first_listed(files: Files) -> None:
    files.write(SMALL, {})
    assert files.open().frame(TEXT + 0x1F) == Frame("first_alias", 0xF, None, TEXT + 0x1F)


def test_marks_of_the_assembler_are_no_names(files: Files) -> None:
    """arm64's modules list where code and data begin: $x and $d, at a function's address or in the middle of it."""
    marks = [Symbol(MODULES, "t", "$x", "esp4"), Symbol(MODULES + 0x80, "t", "$x.17", "esp4")]
    core = [Symbol(TEXT, "T", "_stext"), Symbol(TEXT, "t", "$x"), Symbol(TEXT + 0x10, "T", "_etext")]
    files.write([*core, *marks, Symbol(MODULES, "t", "esp_input", "esp4")], {"esp4": (MODULES, 0x1000)})
    assert files.open().frame(MODULES + 0x90).function == "esp_input"
    assert files.open().frame(MODULES + 0x90).offset == 0x90
    assert files.open().frame(TEXT + 4).function == "_stext"


def test_data_does_not_cover_code(files: Files) -> None:
    files.write(SMALL, {})
    assert files.open().frame(TEXT + 0x25) == Frame("first_alias", 0x15, None, TEXT + 0x25)


@pytest.mark.parametrize("address", [0, 1, TEXT - 1, TEXT + 0x90, TEXT + 0x1000, (1 << 64) - 1])
def test_outside_of_everything(files: Files, address: int) -> None:
    files.write(SMALL, {})
    assert files.open().frame(address) == Frame(None, 0, None, address)


def test_address_of_a_name(files: Files) -> None:
    files.write([*SMALL, Symbol(MODULES, "t", "esp_input", "esp4")], {"esp4": (MODULES, 4096)})
    kallsyms = files.open()
    assert kallsyms.address("netns_operations") == TEXT + 0x1000
    assert kallsyms.address("xfrm_input") == TEXT + 0x40, "not that of xfrm_input_resume, which begins alike"
    assert kallsyms.address("input") is None
    assert kallsyms.address("T") is None
    assert kallsyms.address("esp_input") is None, "a module's"
    assert kallsyms.address("fixed_percpu_data") is None, "0 is no address"


def test_zeros_are_not_readable(files: Files) -> None:
    """kernel.kptr_restrict, or no CAP_SYSLOG: the file is there, its addresses are not."""
    hidden = [Symbol(0, symbol.kind, symbol.name) for symbol in SMALL]
    files.write([*hidden, Symbol(0, "t", "esp_input", "esp4")], {"esp4": (0, 4096)})
    kallsyms = files.open()
    assert not kallsyms.readable
    assert kallsyms.address("xfrm_input") is None
    for address in (1, 100, TEXT + 0x45, MODULES):
        assert kallsyms.frame(address) == Frame(None, 0, None, address)


def test_readable(files: Files) -> None:
    files.write(SMALL, {})
    assert files.open().readable


def test_an_empty_file_is_not_readable(files: Files) -> None:
    files.write([], {})
    assert not files.open().readable


ESP4 = [Symbol(MODULES + 0x10, "t", "esp_input", "esp4"), Symbol(MODULES, "t", "esp_init", "esp4")]
ESP_INPUT = Frame("esp_input", 0x22, "esp4", MODULES + 0x32)


def test_a_module_that_comes_later(files: Files) -> None:
    files.write(SMALL, {})
    kallsyms = files.open()
    files.write(SMALL + ESP4, {"esp4": (MODULES, 0x1000)})
    assert kallsyms.frame(MODULES + 0x32) == ESP_INPUT


def test_reading_in_vain_is_not_repeated_at_once(files: Files) -> None:
    """An unknown address on every stack must not cost a reading of the whole file for every packet."""
    files.write(SMALL, {})
    kallsyms = files.open()
    assert kallsyms.frame(MODULES + 0x32).function is None
    files.write(SMALL + ESP4, {"esp4": (MODULES, 0x1000)})
    files.now += 0.5
    assert kallsyms.frame(MODULES + 0x32).function is None
    files.now += 0.6
    assert kallsyms.frame(MODULES + 0x32) == ESP_INPUT


def test_a_module_does_not_reach_beyond_its_end(files: Files) -> None:
    files.write(SMALL + ESP4, {"esp4": (MODULES, 0x1000)})
    kallsyms = files.open()
    assert kallsyms.frame(MODULES + 0xFFF).function == "esp_input"
    assert kallsyms.frame(MODULES + 0x1000).function is None


def test_without_a_list_of_modules(files: Files) -> None:
    """A kernel without modules has no /proc/modules; what is in brackets then are BPF programs and the like."""
    files.write([*SMALL, Symbol(MODULES, "t", "bpf_prog_6deef7357e7b4530", "bpf")], {})
    files.modules.unlink()
    found = files.open().frame(MODULES + 8)
    assert found == Frame("bpf_prog_6deef7357e7b4530", 8, "bpf", MODULES + 8)


def test_aliases_in_a_module(files: Files) -> None:
    """In the order of the file, as the kernel's own lookup has them."""
    twins = [Symbol(MODULES, "t", name, "esp4") for name in ("zebra", "antelope", "mongoose")]
    files.write(SMALL + twins, {"esp4": (MODULES, 0x1000)})
    assert files.open().frame(MODULES + 4).function == "zebra"


def test_this_kernel() -> None:
    """Anywhere in the text of the running kernel."""
    kallsyms = Kallsyms()
    if not kallsyms.readable:
        pytest.skip("feature kallsyms: addresses are hidden (kernel.kptr_restrict, CAP_SYSLOG)")
    lines = [line.split(" ", 2) for line in Path("/proc/kallsyms").read_text().splitlines()]
    symbols = [Symbol(int(address, 16), kind, name) for address, kind, name in lines if "\t" not in name]
    chance = random.Random(5)
    start, end = kallsyms.address("_stext") or 0, kallsyms.address("_etext") or 0
    for address in [chance.randrange(start, end) for _ in range(50)]:
        assert kallsyms.frame(address) == last_before(symbols, address), f"{address:#x}"


def last_before(symbols: list[Symbol], address: int) -> Frame:
    at = max((s.address for s in symbols if s.kind in CODE and s.address <= address), default=0)
    first = next(s for s in symbols if s.kind in CODE and s.address == at)
    return Frame(first.name, address - at, None, address)


def test_where_a_function_begins_and_ends(files: Files) -> None:
    symbols = [
        Symbol(TEXT, "T", "_stext"),
        Symbol(TEXT, "T", "first"),
        Symbol(TEXT + 0x40, "T", "alias"),
        Symbol(TEXT + 0x40, "t", "second"),
        Symbol(TEXT + 0x60, "t", "made.cold"),
        Symbol(TEXT + 0x70, "t", "made.isra.0"),
        Symbol(TEXT + 0x90, "T", "_etext"),
        Symbol(MODULES + 0x80, "t", "later", "m"),
        Symbol(MODULES + 0x10, "t", "earlier", "m"),
        Symbol(MODULES + 0x4000, "t", "elsewhere", "n"),
    ]
    files.write(symbols, {"m": (MODULES, 0x1000), "n": (MODULES + 0x4000, 0x1000)})
    known = files.open()
    assert known.extent("first") == (TEXT, TEXT + 0x40)
    assert known.extent("second") == known.extent("alias") == (TEXT + 0x40, TEXT + 0x60)
    assert known.extent("made") == (TEXT + 0x70, TEXT + 0x90), "by the compiler, of that function"
    assert known.extent("earlier") == (MODULES + 0x10, MODULES + 0x80)
    assert known.extent("later") == (MODULES + 0x80, MODULES + 0x1000), "not into the next module"
    assert known.extent("nowhere") == (0, 0)


def test_a_module_that_comes_is_found_after_a_refresh(files: Files) -> None:
    core = [Symbol(TEXT, "T", "_stext"), Symbol(TEXT + 0x10, "T", "own"), Symbol(TEXT + 0x90, "T", "_etext")]
    files.write(core, {})
    known = files.open()
    assert known.find("own") == TEXT + 0x10
    assert known.find("guest") is None
    files.write([*core, Symbol(MODULES + 0x10, "t", "guest", "m")], {"m": (MODULES, 0x1000)})
    known.refresh()
    assert known.find("guest") == MODULES + 0x10
    files.write(core, {})
    known.refresh()
    assert known.find("guest") is None


def test_what_has_a_name_alone_has_its_address_and_others_have_none(files: Files) -> None:
    """Twice in the kernel, there and in a module, in two modules; and nobody counted those that were not asked for."""
    core = [Symbol(TEXT + 16 * at, "t", f"filler_{at}") for at in range(20_000)]  # more than one part
    core = [Symbol(TEXT, "T", "_stext"), Symbol(TEXT, "t", "alone"), Symbol(TEXT, "t", "twice"), *core]
    core += [Symbol(TEXT + 1_000_000, "t", name) for name in ("twice", "both", "last")]
    core.append(Symbol(TEXT + 2_000_000, "T", "_etext"))
    there = [Symbol(MODULES + 16, "t", name, "a") for name in ("both", "modules", "module")]
    files.write([*core, *there, Symbol(MODULES + 32, "t", "modules", "b")], {"a": (MODULES, 4096)})
    symbols = files.open()
    names = ("alone", "twice", "both", "modules", "module", "last", "absent")
    assert symbols.sole("alone") is None
    symbols.look_up(names)
    found = {name: symbols.sole(name) for name in names}
    expected = {"alone": TEXT, "module": MODULES + 16, "last": TEXT + 1_000_000}
    assert found == dict.fromkeys(names) | expected
    assert symbols.find("twice") == TEXT
    other = files.open()
    assert other.occurrences(names)["twice"] == 2
    assert {name: other.sole(name) for name in names} == found
