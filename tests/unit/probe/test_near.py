"""What the kernel keeps of drops that nearly fit: bpf/near.c, compiled for the host."""

import ctypes
import random
from ipaddress import ip_network
from typing import Any

import pytest

from dropwatch.match.near import difference
from dropwatch.model.drop import Frame
from dropwatch.model.filter import Filter
from dropwatch.model.near import NearDrop
from dropwatch.packet.parse import parse
from dropwatch.probe.kernel_numbers import KernelNumbers
from dropwatch.probe.settings import settings
from dropwatch.wire.near import NEAR_BYTES, RawNear, near_of
from tests.unit.probe.compiled import compiled

HOST = """
static u64 now;
#define bpf_jiffies64() now
#define BPF_PERCPU_ARRAY(name, type, size)                                      \\
	type name##_places[size];                                               \\
	static type *name##_lookup(const void *key)                             \\
	{                                                                       \\
		return *(const u32 *)key < size ? &name##_places[*(const u32 *)key] : 0; \\
	}                                                                       \\
	static struct { type *(*lookup)(const void *); } name = { name##_lookup }
#include "flow.c"
#include "filter.c"
struct bpf_raw_tracepoint_args { u64 args[4]; };
struct place { u32 ifindex; u32 netns; char name[NAME_BYTES] __attribute__((aligned(8))); };
#define BPF_ARRAY BPF_PERCPU_ARRAY
static void forget_no_mark(struct buffer *buffer, union scratch *scratch) {}
static void find_place(struct place *place, void *notes, struct buffer *buffer, u64 receiver, u64 of, void *scratch) {}
#include "near.c"
void meet(const struct settings *wanted, const u8 *packet, u32 length, u32 netns, struct near *near)
{
	union scratch scratch;
	__builtin_memset(near, 0, sizeof(*near));
	may_read(packet, length);
	read_flow(&near->flow, (u64)packet, &scratch);
	near->flow.what = 0;
	near->packets = 1;
	near->netns = netns;
	miss_flow(near, wanted);
}
void keep_it(const struct near *near) { keep(near, near_looks_places); }
int may_look(u64 at) { now = at; return has_look(near_looks_places); }
"""
A_WHILE = 1 << 8  # jiffies


class Programs:
    """The programs, with maps of their own that begin empty."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.places = (ctypes.c_char * NEAR_BYTES * 128).in_dll(library, "near_drops_places")
        self.looks = (ctypes.c_uint64 * 3).in_dll(library, "near_looks_places")
        ctypes.memset(self.places, 0, ctypes.sizeof(self.places))
        ctypes.memset(self.looks, 0, ctypes.sizeof(self.looks))

    def met(self, wanted: Filter, packet: bytes, netns: int = 9) -> Any:
        near = (ctypes.c_char * NEAR_BYTES)()
        made = settings(wanted, KernelNumbers(), False)
        self._library.meet(ctypes.byref(made), packet, len(packet), netns, near)
        return near

    def keep(self, wanted: Filter, packet: bytes, netns: int = 9, times: int = 1) -> None:
        near = self.met(wanted, packet, netns)
        for _ in range(times):
            self._library.keep_it(near)

    def may_look(self, at: int) -> bool:
        return bool(self._library.may_look(ctypes.c_uint64(at)))

    @property
    def kept(self) -> list[RawNear]:
        return [near for place in self.places if (near := near_of(place.raw)) is not None]

    @property
    def crowded_out(self) -> int:
        return int(self.looks[1])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("near"), HOST)


@pytest.fixture
def programs(library: ctypes.CDLL) -> Programs:
    return Programs(library)


def misses(near: Any) -> int:
    return int.from_bytes(near.raw[64:68], "little")


def udp(saddr: str = "10.9.0.1", dport: int = 5000, sport: int = 40000) -> bytes:
    address = bytes(map(int, saddr.split(".")))
    header = bytes.fromhex("4500001c000000004011") + bytes(2) + address + bytes((10, 9, 0, 2))
    return header + sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes((0, 8, 0, 0))


def test_the_same_again_is_counted_and_another_has_its_own_place(programs: Programs) -> None:
    wanted = Filter(dport=((5001, 5001),))
    for sport in range(1, 8):
        programs.keep(wanted, udp(sport=sport))
    programs.keep(wanted, udp(saddr="10.9.0.7"), times=3)
    programs.keep(wanted, udp(), netns=10, times=2)
    assert sorted((near.packets, str(near.packet.saddr), near.netns) for near in programs.kept) == [
        (2, "10.9.0.1", 10),
        (3, "10.9.0.7", 9),
        (7, "10.9.0.1", 9),
    ]
    assert programs.crowded_out == 0


def test_where_there_is_no_room_the_nearest_stay_and_nothing_is_lost_silently(programs: Programs) -> None:
    wanted = Filter(dport=((5000, 5000),))
    ports = [port for port in range(1, 20001) if port != 5000]
    random.Random(7).shuffle(ports)
    for port in ports:
        programs.keep(wanted, udp(dport=port))
    kept = programs.kept
    assert sum(near.packets for near in kept) + programs.crowded_out == len(ports)
    distances = [abs((near.packet.dport or 0) - 5000) for near in kept]
    assert len(distances) > 100
    assert max(distances) < 5000
    assert 1 in distances, "5001 or 4999"


def test_fewer_kinds_that_do_not_fit_are_nearer_than_a_near_port(programs: Programs) -> None:
    wanted = Filter(dport=((5000, 5000),), saddr=(ip_network("10.9.0.1"),))
    one, two = programs.met(wanted, udp(dport=60000)), programs.met(wanted, udp("10.9.0.2", 5001))
    assert (misses(one), misses(two)) == (1, 2)
    assert misses(programs.met(wanted, udp())) == 0


def test_so_many_are_looked_at_in_a_while_and_the_others_counted(programs: Programs) -> None:
    start = 77 * A_WHILE
    for begins in (start, start + A_WHILE, start + 9 * A_WHILE):
        passed_over = programs.looks[0]
        assert sum(programs.may_look(begins + n % A_WHILE) for n in range(5000)) == 1000
        assert programs.looks[0] == passed_over + 4000


def test_what_is_near_no_port_has_none(programs: Programs) -> None:
    ping = udp()[:9] + b"\x01" + udp()[10:]
    assert misses(programs.met(Filter(dport=((5000, 5000),)), ping)) > 2
    assert misses(programs.met(Filter(protos=frozenset({17})), ping)) == 1


@pytest.mark.parametrize("seed", range(200))
def test_it_misses_what_user_space_says_it_misses(seed: int, programs: Programs) -> None:
    chosen = random.Random(seed)
    packet = bytearray(
        udp(f"10.9.0.{seed % 4}", chosen.choice((53, 443, 5000, 50000)), chosen.choice((443, 4500)))
    )
    packet[9] = chosen.choice((6, 17, 132))
    wanted = a_filter(chosen)
    near = programs.met(wanted, bytes(packet))
    drop = NearDrop(1, parse(bytes(packet), 0x800, len(packet), 0), None, None, Frame(None, 0, None, 0))
    assert drop.packet.sport is not None
    assert misses(near) == len(difference(drop, wanted).missed)


def a_filter(chosen: random.Random) -> Filter:
    def some(*values: Any) -> Any:
        return tuple(chosen.sample(values, chosen.randint(0, 2)))

    return Filter(
        families=frozenset(some(4, 6)),
        protos=frozenset(some(6, 17, 132)),
        saddr=some(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        daddr=some(ip_network("10.9.0.0/16"), ip_network("fe80::/16")),
        host=some(ip_network("10.9.0.1"), ip_network("0.0.0.0/0")),
        sport=some((0, 30000), (4000, 5000)),
        dport=some((5000, 5000), (0, 40000)),
        port=some((0, 6000), (443, 443)),
    )
