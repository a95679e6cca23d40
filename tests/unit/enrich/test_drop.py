"""Events become Drops: the stack, the place, the layer, the way, the process."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.enrich.answers import Answers, wall_time
from dropwatch.enrich.drop import Enricher
from dropwatch.host.cgroups import Workload
from dropwatch.model.drop import Drop, Event, Frame, Interface, Netns, Process
from dropwatch.model.ipsec import XfrmNote
from dropwatch.names import symbols
from tests.unit.told_host import ToldHost

# A kernel of our own: one function every 4096 bytes, in the order in which the tests name them.
BASE, STEP = 0xFFFFFFFF81000000, 0x1000


class Kernel:
    """Gives addresses to function names, and names to addresses. What it has not named, it does not know."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.asked: list[int] = []
        self.modules = 0

    def at(self, name: str, offset: int = 0x42) -> int:
        if name not in self.names:
            self.names.append(name)
        return BASE + self.names.index(name) * STEP + offset

    def frame(self, address: int) -> Frame:
        self.asked.append(address)
        number, offset = divmod(address - BASE, STEP)
        known = 0 <= number < len(self.names)
        return Frame(self.names[number], offset, None, address) if known else Frame(None, 0, None, address)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def enricher(kernel: Kernel, make_answers: Callable[..., Answers]) -> Enricher:
    return Enricher(
        make_answers(
            frame=kernel.frame,
            modules=lambda: kernel.modules,
            reason={7: "NO_SOCKET", None: None}.get,
            netns={4026532234: "blue"}.get,
            interface=lambda netns, index: {(4026532234, 3): "eth0"}.get((netns, index)),
            time_of=wall_time,
        )
    )


@pytest.fixture
def drop(kernel: Kernel, enricher: Enricher, make_event: Callable[..., Event]) -> Callable[..., Drop]:
    """The Drop of an event whose stack is given by names, the innermost first; `location` is one of them."""

    def make(*names: str, location: str | int, **fields: Any) -> Drop:
        stack = tuple(kernel.at(name) for name in names)
        place = kernel.at(location) if isinstance(location, str) else location
        return enricher.drop(make_event(stack=stack, location=place, **fields))

    return make


def functions(drop: Drop) -> list[str | None]:
    return [frame.function for frame in drop.stack]


RAW_TRACEPOINT = ("bpf_prog_6deef7357e7b4530_on_kfree_skb", "bpf_trace_run4", "__traceiter_kfree_skb")


def test_the_words_that_these_tests_lean_on() -> None:
    """symbols/functions.toml calls these what the tests below expect of them."""
    for name in ("kfree_skb_reason", "kfree_skb_list_reason", "sk_skb_reason_drop", "__traceiter_kfree_skb"):
        assert symbols.functions()[name].free, name
    for name, layer, way in (
        ("xfrm_input", "ipsec", "in"),
        ("__udp4_lib_rcv", "udp", "in"),
        ("ip_local_out", "ip", "out"),
        ("__dev_queue_xmit", "queueing", "out"),
    ):
        known = symbols.functions()[name]
        assert (known.free, known.layer, known.direction) == (False, layer, way), name


def test_the_stack_begins_where_the_packet_died(drop: Callable[..., Drop]) -> None:
    stack = (*RAW_TRACEPOINT, "sk_skb_reason_drop", "__udp4_lib_rcv", "ip_local_deliver_finish")
    found = drop(*stack, location="__udp4_lib_rcv")
    assert functions(found) == ["__udp4_lib_rcv", "ip_local_deliver_finish"]
    assert (found.where.frame.function, found.where.frame.offset) == ("__udp4_lib_rcv", 0x42)


def test_a_function_that_is_on_the_stack_twice(drop: Callable[..., Drop], kernel: Kernel) -> None:
    """A tunnel in a tunnel: the innermost one killed it."""
    stack = ("sk_skb_reason_drop", "ip_rcv", "netif_rx", "ip_rcv", "process_backlog")
    assert functions(drop(*stack, location="ip_rcv")) == list(stack[1:])


@pytest.mark.parametrize("freeing", ["kfree_skb_list_reason", "kfree_skb_list", "tcp_drop_reason"])
def test_frames_that_only_free_are_not_the_place(drop: Callable[..., Drop], freeing: str) -> None:
    """Before 6.11 the location of a list's death is the list's own freeing function."""
    found = drop(*RAW_TRACEPOINT, freeing, "__dev_queue_xmit", "ip_finish_output2", location=freeing)
    assert functions(found) == ["__dev_queue_xmit", "ip_finish_output2"]
    assert found.where.frame.function == "__dev_queue_xmit"


def test_what_a_compiler_adds_to_a_name_is_no_other_function(drop: Callable[..., Drop]) -> None:
    found = drop("kfree_skb_list.part.0", "__dev_queue_xmit.cold", location="kfree_skb_list.part.0")
    assert functions(found) == ["__dev_queue_xmit.cold"]
    assert found.where.layer == "queueing"


def test_nothing_but_freeing(drop: Callable[..., Drop]) -> None:
    found = drop("kfree_skb_reason", "kfree_skb_list_reason", location="kfree_skb_reason")
    assert functions(found) == ["kfree_skb_reason", "kfree_skb_list_reason"]
    assert (found.where.layer, found.where.direction) == (None, None)


def test_a_deferred_free(drop: Callable[..., Drop], kernel: Kernel) -> None:
    """net_tx_action() gives its own start as the place: that address is no return address on any stack."""
    kernel.at("net_tx_action")
    start = kernel.at("net_tx_action", 0)
    found = drop(*RAW_TRACEPOINT, "net_tx_action", "handle_softirqs", "irq_exit_rcu", location=start)
    assert functions(found)[0] == "net_tx_action"
    assert found.where.frame.offset == 0
    assert not set(functions(found)) & set(RAW_TRACEPOINT)
    assert functions(found)[-2:] == ["handle_softirqs", "irq_exit_rcu"]


def test_no_stack(drop: Callable[..., Drop]) -> None:
    found = drop(location="xfrm_input")
    assert functions(found) == ["xfrm_input"]
    assert (found.where.layer, found.where.direction) == ("ipsec", "in")


def test_neither_stack_nor_place(drop: Callable[..., Drop]) -> None:
    found = drop(location=0)
    assert found.stack == ()
    assert (found.where.frame.function, found.where.layer, found.where.direction) == (None, None, None)


def test_a_place_without_a_name(drop: Callable[..., Drop]) -> None:
    """The layer is then told by the first frame outwards that has one."""
    unknown = BASE - STEP
    found = drop("xfrm_input", "ip_rcv", location=unknown)
    assert found.where.frame == Frame(None, 0, None, unknown)
    assert (found.where.layer, found.where.direction) == ("ipsec", "in")


@pytest.mark.parametrize(
    ("stack", "layer", "direction"),
    [
        (("xfrm_input", "ip_rcv"), "ipsec", "in"),
        (("__udp4_lib_rcv", "ip_local_deliver"), "udp", "in"),
        (("ip_local_out", "udp_send_skb"), "ip", "out"),
        (("a_function_nobody_described", "__udp4_lib_rcv"), "udp", "in"),
        (("a_function_nobody_described",), None, None),
    ],
)
def test_layer_and_direction(
    drop: Callable[..., Drop], stack: tuple[str, ...], layer: str | None, direction: str | None
) -> None:
    where = drop(*stack, location=stack[0]).where
    assert (where.layer, where.direction) == (layer, direction)


def test_the_way_is_told_further_out_where_the_place_does_not_tell(drop: Callable[..., Drop]) -> None:
    both_ways = next(
        name
        for name, known in symbols.functions().items()
        if known.layer and not known.direction and not known.free
    )
    for outer, direction in (("ip_local_out", "out"), ("__udp4_lib_rcv", "in")):
        where = drop(both_ways, outer, location=both_ways).where
        assert (where.layer, where.direction) == (symbols.functions()[both_ways].layer, direction)


@pytest.mark.parametrize("softirq", ["__do_softirq", "handle_softirqs", "__softirqentry_text_start"])
def test_who_was_interrupted_says_nothing_of_the_packet(drop: Callable[..., Drop], softirq: str) -> None:
    """On loopback and veth the receiver runs on top of the sender, in a softirq of the sender's call."""
    stack = (
        "unknown_function",
        softirq,
        "do_softirq",
        "__local_bh_enable_ip",
        "ip_local_out",
        "__x64_sys_sendto",
    )
    found = drop(*stack, location="unknown_function", pid=812, comm="nginx")
    assert (found.where.layer, found.where.direction) == (None, None)
    assert found.process is None


@pytest.mark.parametrize(
    "entry",
    [
        ("__x64_sys_sendto", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"),
        ("entry_SYSCALL_64_after_hwframe",),
        ("do_syscall_64",),
        ("__arm64_sys_sendto", "invoke_syscall", "el0_svc_common.constprop.0", "do_el0_svc", "el0_svc"),
        ("__ia32_compat_sys_socketcall", "__do_fast_syscall_32", "do_SYSENTER_32"),
    ],
)
def test_a_packet_that_dies_in_a_system_call(drop: Callable[..., Drop], entry: tuple[str, ...]) -> None:
    found = drop("ip_local_out", "udp_sendmsg", *entry, location="ip_local_out", pid=812, comm="nginx")
    assert found.process == Process(812, "nginx")


@pytest.mark.parametrize(
    "outer",
    [
        ("ret_from_fork", "kthread"),
        ("process_one_work", "worker_thread", "kthread"),
        ("run_ksoftirqd", "smpboot_thread_fn", "kthread"),
        ("do_idle", "cpu_startup_entry"),
        (),
    ],
)
def test_a_packet_that_dies_in_nobodys_call(drop: Callable[..., Drop], outer: tuple[str, ...]) -> None:
    found = drop("__udp4_lib_rcv", "napi_poll", *outer, location="__udp4_lib_rcv", pid=15, comm="ksoftirqd/0")
    assert found.process is None


def test_names_and_numbers(drop: Callable[..., Drop]) -> None:
    found = drop("xfrm_input", location="xfrm_input", reason=7, ifindex=3, ifname="vb", netns=4026532234)
    assert (found.reason, found.iface, found.netns) == (
        "NO_SOCKET",
        Interface(3, "vb"),
        Netns(4026532234, "blue"),
    )


def test_what_is_not_known_is_none(drop: Callable[..., Drop]) -> None:
    found = drop("xfrm_input", location="xfrm_input", reason=None, ifindex=0, ifname="", netns=0)
    assert (found.reason, found.iface, found.netns) == (None, None, None)
    found = drop("xfrm_input", location="xfrm_input", ifindex=9, ifname="", netns=4026531840)
    assert (found.iface, found.netns) == (Interface(9, None), Netns(4026531840, None))


def test_the_packet_is_read(drop: Callable[..., Drop]) -> None:
    header = bytes.fromhex("4500001c00004000401100000a0900010a090002") + bytes.fromhex("9c40138800080000")
    packet = drop(
        "xfrm_input", location="xfrm_input", packet=header, protocol=0x0800, length=28, mark=5
    ).packet
    assert (packet.proto, packet.sport, packet.dport, packet.mark) == ("udp", 40000, 5000, 5)


def test_what_ipsec_has_half_unpacked_is_read_as_its_bytes_say(drop: Callable[..., Drop]) -> None:
    """Garbage that says to be IPv6 inside: skb->protocol is set, the header is still the outer one."""
    header = bytes.fromhex("4500001c00004000403200000a0900010a090002") + bytes.fromhex("0000100100000007")
    dead = drop(
        "xfrm_input", location="xfrm_input", packet=header, protocol=0x86DD, length=28, xfrm=XfrmNote()
    )
    assert (dead.packet.proto, dead.packet.spi, dead.packet.header_error) == ("esp", 0x1001, None)


def test_the_time_of_death(drop: Callable[..., Drop]) -> None:
    """Of the wall clock, although the kernel only gives the monotonic one."""
    before = time.time()
    found = drop("xfrm_input", location="xfrm_input", monotonic_ns=time.monotonic_ns() - 3_000_000_000)
    assert before - 3.1 < found.time < time.time() - 2.9


def test_an_address_is_looked_up_once(drop: Callable[..., Drop], kernel: Kernel) -> None:
    for _ in range(3):
        drop("xfrm_input", "ip_rcv", location="xfrm_input")
    assert len(kernel.asked) == len(set(kernel.asked)) == 2


def test_an_address_without_a_name_is_asked_again(drop: Callable[..., Drop], kernel: Kernel) -> None:
    """Its module may have been loaded since."""
    late = BASE + STEP
    kernel.at("ip_rcv")
    assert drop("ip_rcv", location=late).where.frame.function is None
    assert kernel.at("late_function", 0) == late
    assert drop("ip_rcv", location=late).where.frame.function == "late_function"


def test_after_modules_came_and_went_an_address_is_somebody_elses(
    drop: Callable[..., Drop], kernel: Kernel
) -> None:
    assert drop("nft_do_chain", location="nft_do_chain").where.frame.function == "nft_do_chain"
    kernel.names[:] = ["ipt_do_table"]
    assert drop("ipt_do_table", location="ipt_do_table").where.frame.function == "nft_do_chain"
    kernel.modules += 1
    assert drop("ipt_do_table", location="ipt_do_table").where.frame.function == "ipt_do_table"


def test_the_sender_is_known_where_the_stack_ends_early(drop: Callable[..., Drop]) -> None:
    """Linux 5.10 cannot look through the return of a probed function; the probe has seen whose stack it was."""
    stack = ("xfrm_lookup_with_ifid", "kretprobe_trampoline")
    assert drop(*stack, location=stack[0]).process is None
    told = drop(*stack, location=stack[0], notes=frozenset({"task-stack"}))
    assert told.process is not None
    assert told.process.pid == told.event.pid


def test_an_interface_of_which_only_the_index_was_seen(drop: Callable[..., Drop]) -> None:
    """tcp_v4_rcv takes the device out of the packet."""
    found = drop("tcp_rcv_established", location="tcp_rcv_established", ifindex=3, ifname="")
    assert found.iface == Interface(3, "eth0")


@pytest.mark.parametrize(("began", "name"), [(None, "blue"), (0, "blue"), (7_000, "blue"), (7_001, None)])
def test_a_name_is_not_that_of_the_next_namespace(
    kernel: Kernel,
    make_answers: Callable[..., Answers],
    make_event: Callable[..., Event],
    began: int | None,
    name: str | None,
) -> None:
    """The kernel gives the number of one that is gone to the next."""
    answers = make_answers(
        frame=kernel.frame,
        netns={4026532234: "blue"}.get,
        interface=lambda netns, index: "eth0",
        time_of=wall_time,
        host=ToldHost(last_change=began, container_of_namespace=Workload("x.scope", "web")),
    )
    event = make_event(netns=4026532234, monotonic_ns=7_000, ifindex=3, ifname="")
    found = Enricher(answers).drop(event)
    assert found.netns == Netns(4026532234, name)
    assert found.netns.tenant == (Process(None, None, container="web") if name else None)
    assert found.iface == Interface(3, "eth0" if name else None)


def test_the_packet_of_another_has_no_process(drop: Callable[..., Drop]) -> None:
    """A sender pushes the oldest packet out of a neighbour's queue, whoever sent that."""
    stack = ("__neigh_event_send", "ip_finish_output2", "udp_sendmsg", "__x64_sys_sendto", "do_syscall_64")
    task = Process(812, "nginx")
    found = drop(*stack, location="__neigh_event_send", pid=812, comm="nginx")
    assert (found.process, found.task) == (task, task)
    notes = frozenset({"not-own"})
    found = drop(*stack, location="__neigh_event_send", pid=812, comm="nginx", notes=notes)
    assert (found.process, found.task) == (None, task)
