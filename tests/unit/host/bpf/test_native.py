"""What drivers drop before there is a packet: named from the beginning, counted at the end."""

from dropwatch.host.bpf.native import NativeXdp
from dropwatch.host.bpf.programs import Program
from dropwatch.host.bpf.xdp import Mode, XdpProgram
from dropwatch.model.xdp import XdpError


class Host:
    """Two namespaces, 1 and 2, of which the second is called b."""

    def __init__(self) -> None:
        self.there: dict[int, tuple[XdpProgram, ...]] = {1: (), 2: ()}
        self.counters: dict[str, dict[str, int]] = {}
        self.loaded = True
        self.read: list[int] = []

    def programs(self, inode: int) -> tuple[XdpProgram, ...]:
        self.read.append(inode)
        return self.there[inode]

    def watch(self, in_view: str | None = None) -> NativeXdp:
        return NativeXdp(
            lambda: (1, 2, 1),
            lambda inode: "b" if inode == 2 else None,
            lambda name: in_view in (None, name),
            is_any_loaded=lambda: self.loaded,
            read=self.programs,
            count=lambda _, name: dict(self.counters.get(name, {})),
        )


def xdp(name: str, number: int, mode: Mode = "native") -> XdpProgram:
    return XdpProgram(number, name, mode, Program(number, "lb" if number == 77 else None))


def test_what_a_driver_counted_meanwhile() -> None:
    host = Host()
    host.there[2] = (xdp("eth0", 77), xdp("eth1", 78, "generic"))
    host.counters["eth0"] = {"rx0_xdp_drop": 5, "rx1_xdp_drop": 2, "rx_xdp_drop": 7}
    watch = host.watch()
    bare = "XDP program id 77 name lb, native on eth0 of namespace b: what it drops before there is a packet"
    assert watch.start() == (bare,)
    assert watch.end() == (bare,)
    host.counters["eth0"] = {"rx0_xdp_drop": 12, "rx1_xdp_drop": 4, "rx_xdp_drop": 16}
    assert watch.end() == (f"{bare}; its driver counted 9 XDP drops meanwhile",)


def test_one_that_came_or_went() -> None:
    host = Host()
    host.there[1] = (xdp("eth0", 77),)
    watch = host.watch()
    watch.start()
    host.there = {1: (), 2: (xdp("vb", 79, "offloaded"),)}
    host.counters["vb"] = {"rx_queue_0_xdp_drops": 9}
    came = "XDP program id 79, offloaded on vb of namespace b: what it drops before there is a packet"
    gone = "XDP program id 77 name lb, native on eth0 of namespace 1: what it drops before there is a packet"
    counted = "; its driver counted 9 XDP drops in all, also before that program was there"
    assert watch.end() == (gone, f"{came}{counted}"), "what it had counted when the program came is not known"


def test_what_is_not_in_view() -> None:
    host = Host()
    host.there[1] = (xdp("eth0", 77),)
    assert host.watch("eth1").start() == ()


def test_without_such_programs_nothing_is_read() -> None:
    host = Host()
    host.loaded = False
    assert (host.watch().start(), host.read) == ((), [])


def test_a_namespace_that_is_gone() -> None:
    host = Host()
    host.there[2] = (xdp("eth0", 77),)

    def read(inode: int) -> tuple[XdpProgram, ...]:
        if inode == 1:
            raise FileNotFoundError
        return host.programs(inode)

    watch = NativeXdp(
        lambda: (1, 2), lambda _: None, read=read, is_any_loaded=lambda: True, count=lambda *_: {}
    )
    assert len(watch.start()) == 1


def test_errors_of_the_program() -> None:
    host = Host()
    host.there[2] = (xdp("eth0", 77),)
    watch = host.watch()
    (bare,) = watch.start()
    errors = {
        XdpError(2, 77, 77, "failed redirect"): 2,
        XdpError(2, 77, 77, "XDP_ABORTED"): 1300,
        XdpError(1, 77, 77, "XDP_ABORTED"): 5,
        XdpError(2, 77, 78, "XDP_ABORTED"): 7,
    }
    assert watch.end(errors) == (f"{bare}; errors of the program: 1,300 XDP_ABORTED, 2 failed redirect",)
