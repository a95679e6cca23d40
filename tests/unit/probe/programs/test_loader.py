"""The loader, on the running kernel: maps, programs, what is refused, and that nothing stays."""

import ctypes
import errno
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.kernel.cpus import possible_cpus
from dropwatch.probe.check import trial
from dropwatch.probe.programs import loader
from dropwatch.probe.programs.compiled import PLACEHOLDERS, Compiled, MapShape
from dropwatch.probe.programs.load import Kind
from dropwatch.probe.programs.loader import Loader
from dropwatch.probe.programs.ring import Ring

pytestmark = pytest.mark.skipif(
    not trial.program(reading=False).worked, reason="feature BPF: programs cannot be loaded here"
)
HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY, RINGBUF = 1, 2, 5, 6, 27  # enum bpf_map_type
SHAPES = (
    MapShape("counts", PERCPU_HASH, 8, 8, 16, 0),
    MapShape("events", RINGBUF, 0, 0, 1, 0),
    MapShape("flows", HASH, 12, 8, 16, 0),
    MapShape("seen", PERCPU_ARRAY, 4, 8, 2, 0),
    MapShape("settings", ARRAY, 4, 16, 1, 0),
)


def instruction(operation: int, registers: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return struct.pack("=BBhi", operation, registers, offset, number)


RETURN = instruction(0x95)
GOOD = instruction(0xB7, 0, 0, PLACEHOLDERS) + RETURN  # r0 = the number; exit
WRONG = instruction(0xB7, 1) + RETURN  # r0 is never set


@pytest.fixture
def loaded() -> Iterator[Loader]:
    programs = {"good": GOOD, "wrong": WRONG}
    made = Loader(Compiled("", ("NUMBER",), SHAPES, programs), {"NUMBER": 0}, {"events": 4096})
    yield made
    made.close()


def put(loaded: Loader, table: str, key: bytes, values: list[int]) -> None:
    value = ctypes.create_string_buffer(struct.pack(f"={len(values)}Q", *values))
    loader._element(
        loader._MAP_UPDATE, loaded.map(table), ctypes.create_string_buffer(key), ctypes.addressof(value)
    )


def test_what_the_cpus_counted_is_added(loaded: Loader) -> None:
    cpus = list(range(1, possible_cpus() + 1))
    put(loaded, "seen", struct.pack("=I", 1), cpus)
    assert (loaded.sum("seen", 0), loaded.sum("seen", 1)) == (0, sum(cpus))
    put(loaded, "counts", b"12345678", cpus)
    assert list(loaded.items("counts")) == [(b"12345678", sum(cpus))]


def test_every_element_of_a_hash_comes_once(loaded: Loader) -> None:
    assert list(loaded.items("flows")) == []
    wanted = {number.to_bytes(12, "big"): number << 40 for number in range(9)}
    for key, value in wanted.items():
        put(loaded, "flows", key, [value])
    found = list(loaded.items("flows"))
    assert dict(found) == wanted
    assert len(found) == len(wanted)


def test_an_element_is_written_whole(loaded: Loader) -> None:
    loaded.write("settings", 0, (ctypes.c_uint64 * 2)(7, 8))
    value = ctypes.create_string_buffer(16)
    loader._element(loader._MAP_LOOKUP, loaded.map("settings"), ctypes.c_uint32(0), ctypes.addressof(value))
    assert struct.unpack("=QQ", value.raw) == (7, 8)
    with pytest.raises(OSError, match="too long"):
        loaded.write("settings", 1, (ctypes.c_uint64 * 2)(7, 8))


def test_a_program_is_loaded_once(loaded: Loader) -> None:
    first = loaded.load("good", Kind.RAW_TRACEPOINT)
    assert loaded.load("good", Kind.RAW_TRACEPOINT) == first
    assert loaded.recursion_misses() == {"good": 0}


def test_a_refusal_has_the_verifiers_words(loaded: Loader) -> None:
    with pytest.raises(OSError, match="R0 !read_ok") as refused:
        loaded.load("wrong", Kind.RAW_TRACEPOINT)
    assert refused.value.errno == errno.EACCES
    assert "processed" not in str(refused.value)


def test_a_tracepoint_takes_several_and_one_that_is_not_there_is_an_error(loaded: Loader) -> None:
    loaded.attach_tracepoint("kfree_skb", "good")
    loaded.attach_tracepoint("kfree_skb", "good")
    with pytest.raises(FileNotFoundError):
        loaded.attach_tracepoint("no_such_tracepoint", "good")
    loaded.detach()


def test_a_program_at_the_return_of_a_function_goes_with_it(loaded: Loader) -> None:
    if not trial.trampoline("ip_route_output_flow").worked:
        pytest.skip("feature BPF trampolines: this kernel has none")
    number = btf.vmlinux().function("ip_route_output_flow")
    assert number is not None
    loaded.attach_whole("ip_route_output_flow", number, "good")
    loaded.detach_whole("ip_route_output_flow")
    loaded.detach_whole("ip_route_output_flow")


def test_what_cannot_be_attached_leaves_nothing(loaded: Loader) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r"."):
        loaded.attach_whole("nothing", 1 << 30, "good")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_empty_ring_gives_nothing(loaded: Loader) -> None:
    taken: list[bytes] = []

    def take(record: bytes) -> int:
        taken.append(record)
        return 0

    ring = Ring(loaded.map("events"), take)
    ring.poll(0)
    ring.close()
    ring.close()
    assert taken == []


def test_nothing_stays_open() -> None:
    def open_files() -> list[str]:
        return sorted(path.name for path in Path("/proc/self/fd").iterdir())

    before = open_files()
    made = Loader(Compiled("", ("NUMBER",), SHAPES, {"good": GOOD}), {"NUMBER": 0}, {"events": 4096})
    made.attach_tracepoint("kfree_skb", "good")
    made.close()
    made.close()
    with pytest.raises(CannotRunHere, match="a BPF map cannot be made"):
        Loader(Compiled("", (), SHAPES, {}), {}, {"events": 5})
    assert open_files() == before
