"""What the kernel joins of segments that are sent again and of what died: bpf/resent.c, compiled for the host."""

import ctypes
import re
import subprocess

import pytest

from dropwatch.resources import resource_dir
from dropwatch.wire.resent import ResentRecord

BPF = resource_dir("bpf")
TEXT = (BPF / "resent.c").read_text()
PART = TEXT[TEXT.index("#define DEAD_FLOWS") : TEXT.index("/* Whether either direction of the flow")]
SEARCH = TEXT[TEXT.index("/* What of the flow died since then") : TEXT.index("inline_always int has_died")]
HOST = """
#include <linux/types.h>
static long bpf_probe_read_kernel(void *to, u32 size, const void *from) { return 0; }
#define BPF_PERCPU_ARRAY(name, type, size)                                      \\
	type name##_places[size];                                               \\
	static type *name##_lookup(const void *key)                             \\
	{                                                                       \\
		return *(const u32 *)key < size ? &name##_places[*(const u32 *)key] : 0; \\
	}                                                                       \\
	static struct { type *(*lookup)(const void *); } name = { name##_lookup }
#define BPF_ARRAY BPF_PERCPU_ARRAY
#define FOLDS 1
#define end_of_body(index)
#include "event.h"
#include "read.h"
#include "settings.h"
struct flow { u32 saddr[4]; u32 daddr[4]; u32 what; u16 sport; u16 dport; u8 rest[4]; };
%s
%s
static struct flow flow_of(u32 host) { return (struct flow){.saddr = {0, 0, 0, host}, .sport = 40000, .dport = 80}; }
void die(u32 host, int is_back, u64 at, u64 location, u32 seq, u32 end, u32 ack, u32 has_ack)
{
	struct flow flow = flow_of(host);
	struct dead_range death = {at, at, 1, location, seq, end, ack, has_ack};
	struct ends ends;
	put_ends(&ends, &flow, is_back);
	remember(&ends, &death, resent_counts_places);
}
void resend(u32 host, u64 sent, u32 seq, u32 end, struct resent_record *record)
{
	static struct resending now;
	struct flow flow = flow_of(host);
	__builtin_memset(&now, 0, sizeof(now));
	now.record.seq = seq;
	now.record.end = end;
	now.record.sent = sent;
	search_death(&now, &flow);
	*record = now.record;
}
void begin(void)
{
	__builtin_memset(dead_flows_places, 0, sizeof(dead_flows_places));
	__builtin_memset(resent_counts_places, 0, sizeof(resent_counts_places));
}
u64 forgotten(void) { return resent_counts_places->forgotten; }
"""
MS = 10**6


class Programs:
    """The programs, with maps that begin empty."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.begin()

    def die(
        self, seq: int, end: int, *, at: int, ack: int = 0, back: bool = False, host: int = 1, place: int = 9
    ) -> None:
        u64, u32 = ctypes.c_uint64, ctypes.c_uint32
        self._library.die(
            u32(host), int(back), u64(at), u64(place), u32(seq), u32(end), u32(ack), u32(bool(ack))
        )

    def resend(self, seq: int, end: int, *, sent: int = 0, host: int = 1) -> tuple[int, int, bool]:
        """When the segment died, when its ACK did (0: not here), and whether more had died than is known."""
        record = ResentRecord()
        u64, u32 = ctypes.c_uint64, ctypes.c_uint32
        self._library.resend(u32(host), u64(sent), u32(seq), u32(end), ctypes.byref(record))
        return record.segment.time_ns, record.ack.time_ns, bool(record.is_crowded)

    @property
    def forgotten(self) -> int:
        self._library.forgotten.restype = ctypes.c_uint64
        return int(self._library.forgotten())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    directory = tmp_path_factory.mktemp("resent")
    source, binary = directory / "host.c", directory / "host.so"
    source.write_text(HOST % (PART, SEARCH))
    names = set(re.findall(r"\b(?:OFF|SIZE)_\w+\b", (BPF / "read.h").read_text()))
    flags = [*(f"-D{name}=256" for name in names), "-D__KERNEL__", "-Dbpf_ntohs=__builtin_bswap16"]
    flags += [f"-I{BPF}", f"-I{BPF / 'include'}"]
    command = ["cc", "-std=gnu17", "-shared", "-fPIC", "-O1", "-w", *flags, "-o", str(binary), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ctypes.CDLL(str(binary))


@pytest.fixture
def programs(library: ctypes.CDLL) -> Programs:
    return Programs(library)


def test_what_died_is_found_by_any_part_of_it(programs: Programs) -> None:
    programs.die(1000, 2000, at=5)
    assert programs.resend(1000, 2000) == (5, 0, False)
    assert programs.resend(500, 1001)[0] == 5
    assert programs.resend(1999, 3000)[0] == 5
    assert programs.resend(2000, 3000)[0] == 0
    assert programs.resend(500, 1000)[0] == 0
    assert programs.resend(1000, 2000, host=2)[0] == 0, "another connection's"


def test_numbers_begin_anew_behind_the_last(programs: Programs) -> None:
    programs.die(0xFFFFFF00, 0x100, at=5)
    assert programs.resend(0xFFFFFFF0, 0x10)[0] == 5
    assert programs.resend(0x100, 0x200)[0] == 0


def test_an_acknowledgement_is_one_of_all_before_it(programs: Programs) -> None:
    programs.die(1, 1, at=7, ack=2000, back=True)
    assert programs.resend(1000, 2000) == (0, 7, False)
    assert programs.resend(1999, 3000)[1] == 7
    assert programs.resend(2000, 3000)[1] == 0
    programs.die(9, 9, at=8, ack=0, back=True)
    assert programs.resend(2000, 3000)[1] == 0, "a segment without ACK acknowledges nothing"


def test_what_died_before_the_last_copy_was_sent_is_not_why(programs: Programs) -> None:
    programs.die(1000, 2000, at=5 * MS)
    assert programs.resend(1000, 2000, sent=4 * MS)[0] == 5 * MS
    assert programs.resend(1000, 2000, sent=6 * MS)[0] == 0


def test_a_burst_is_one_range_and_what_comes_later_is_another(programs: Programs) -> None:
    for n in range(20):
        programs.die(n * 10, n * 10 + 10, at=n * 1000 + 1)
    assert programs.resend(0, 10) == (1, 0, False)
    assert programs.resend(190, 200) == (1, 0, False)
    programs.die(200, 210, at=100 * MS)
    assert programs.resend(200, 210)[0] == 100 * MS


def test_of_too_many_nobody_says_that_a_segment_did_not_die(programs: Programs) -> None:
    for n in range(9):
        programs.die(n * 100, n * 100 + 10, at=(n + 1) * 100 * MS)
    assert programs.resend(0, 10, sent=1) == (0, 0, True)
    assert programs.resend(800, 810, sent=1)[0] == 900 * MS
    assert programs.resend(0, 10, sent=950 * MS) == (0, 0, False), "all that has been forgotten is older"


def test_connections_that_make_room_are_counted(programs: Programs) -> None:
    for host in range(6000):
        programs.die(1, 2, at=MS, host=host)
    assert programs.forgotten > 0
    found = sum(programs.resend(1, 2, host=host)[0] == MS for host in range(6000))
    assert found == 6000 - programs.forgotten
