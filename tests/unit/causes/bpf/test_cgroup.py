"""What a program of a cgroup refuses: which one, of which cgroup, and whose it is."""

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.host.bpf.cgroups import CgroupProgram
from dropwatch.host.bpf.keepers import Keepers
from dropwatch.host.bpf.programs import EGRESS, INGRESS, Program
from dropwatch.host.socket_options import SocketOptions
from dropwatch.host.sockets import PortSocket, PortSockets
from dropwatch.model.culprits import Task
from dropwatch.model.drop import Drop, Process
from dropwatch.model.send import SendNote
from tests.unit.causes.verdicts import Judged, commands, said
from tests.unit.told_host import ToldHost

Died = Callable[..., Drop]
GROUP = 4711
ONE = CgroupProgram(Program(77, "no_dns", "57cd311f2e27366b"), "/app", "/sys/fs/cgroup/app")
OTHER = CgroupProgram(Program(78, None, "00cd311f2e27366b"), "/app/inner", "/sys/fs/cgroup/app/inner")
FIREWALL = CgroupProgram(
    Program(79, "sd_fw_egress", "aa"), "/system.slice/web.service", "/sys/fs/cgroup/system.slice/web.service"
)
KEPT = Keepers(("/sys/fs/bpf/no_dns",), (Process(812, "netpold"),))
NOTE = ("cgroup-refused",)
UNSEEN = ("cgroup-unseen",)


def host(*programs: CgroupProgram, kept: Keepers | None = KEPT, changed: int = 0) -> ToldHost:
    return ToldHost(cgroup_programs=programs, program_keepers=kept, last_change=changed)


def test_what_the_kernel_says_is_certain(died: Died, judged: Judged) -> None:
    drop = died("BPF_CGROUP_EGRESS", "ip_finish_output", direction="out", cgroup=GROUP)
    asked = host(ONE)
    cause, verdict = judged(drop, asked)
    assert (cause, verdict.confidence) == ("bpf.cgroup-egress", "certain")
    thing = verdict.culprit
    assert (thing.id, thing.name, thing.tag) == (77, "no_dns", "57cd311f2e27366b")
    assert thing.attached_to == "cgroup /app egress"
    assert (thing.pinned, thing.keeper) == ("/sys/fs/bpf/no_dns", Task(812, "netpold"))
    assert "is pinned as /sys/fs/bpf/no_dns; is kept open by netpold (pid 812)" in said(verdict)
    assert commands(verdict)[0] == "bpftool prog show id 77"
    assert "bpftool cgroup detach /sys/fs/cgroup/app egress id 77" in commands(verdict)


@pytest.mark.parametrize("reason", ["SOCKET_FILTER", None])
@pytest.mark.parametrize("place", ["udp_queue_rcv_one_skb", "tcp_v4_rcv", "raw_rcv"])
def test_what_a_probe_saw_is_certain(died: Died, judged: Judged, reason: str | None, place: str) -> None:
    cause, verdict = judged(died(reason, place, notes=NOTE, cgroup=GROUP), host(ONE))
    assert (cause, verdict.confidence) == ("bpf.cgroup-ingress", "certain")
    assert verdict.culprit.attached_to == "cgroup /app ingress"


def test_on_the_way_out_without_a_reason(died: Died, judged: Judged) -> None:
    drop = died(None, "ip6_finish_output", direction="out", notes=NOTE, cgroup=GROUP)
    cause, verdict = judged(drop, host(ONE))
    assert (cause, verdict.confidence) == ("bpf.cgroup-egress", "certain")


def test_which_hook_is_asked_for(died: Died, judged: Judged) -> None:
    asked = []

    def programs(netns: int, cgroup: int, hook: int, not_before_ns: int) -> tuple[CgroupProgram, ...]:
        asked.append((cgroup, hook))
        return ()

    told = ToldHost(cgroup_programs=programs)
    judged(died("SOCKET_FILTER", "udp_queue_rcv_one_skb", notes=NOTE, cgroup=GROUP), told)
    judged(died("BPF_CGROUP_EGRESS", "ip_finish_output", cgroup=GROUP), told)
    assert asked == [(GROUP, INGRESS), (GROUP, EGRESS)]


def test_without_the_cgroup_there_is_no_object(died: Died, judged: Judged) -> None:
    cause, verdict = judged(died("BPF_CGROUP_EGRESS", "ip_finish_output"), host(ONE))
    assert (cause, verdict.confidence, verdict.culprit) == ("bpf.cgroup-egress", "certain", None)


def test_of_several_none_is_blamed(died: Died, judged: Judged) -> None:
    drop = died("BPF_CGROUP_EGRESS", "ip_finish_output", cgroup=GROUP)
    cause, verdict = judged(drop, host(ONE, OTHER))
    assert (cause, verdict.confidence, verdict.culprit) == ("bpf.cgroup-egress", "likely", None)
    words = said(verdict)
    assert "one of 2 that may have refused it: id 77 name no_dns" in words
    assert "id 78 tag 00cd311f2e27366b at cgroup /app/inner egress" in words
    assert {"bpftool prog show id 77", "bpftool prog show id 78"} <= set(commands(verdict))


def test_a_change_since_is_a_doubt(died: Died, judged: Judged) -> None:
    drop = died("BPF_CGROUP_EGRESS", "ip_finish_output", cgroup=GROUP)
    _, verdict = judged(drop, host(ONE, changed=drop.event.monotonic_ns + 1))
    assert verdict.confidence == "likely"
    assert "BPF programs of cgroups or interfaces changed" in said(verdict)


def test_what_systemd_made(died: Died, judged: Judged) -> None:
    drop = died("BPF_CGROUP_EGRESS", "ip_finish_output", cgroup=GROUP)
    _, verdict = judged(drop, host(FIREWALL))
    assert verdict.culprit.unit == "web.service"
    assert "systemd makes it of IPAddressDeny= of web.service" in said(verdict)
    assert commands(verdict)[0] == "systemctl show -p IPAddressAllow,IPAddressDeny web.service"
    allow = f"systemctl set-property --runtime web.service IPAddressAllow={drop.packet.daddr}"
    assert commands(verdict)[-1] == allow
    _, verdict = judged(drop, host(replace(FIREWALL, path="/", directory="/sys/fs/cgroup")))
    assert verdict.culprit.unit == "-.slice"
    interfaces = replace(FIREWALL, program=Program(80, "sd_restrictif_e"))
    _, verdict = judged(drop, host(interfaces))
    assert commands(verdict)[0] == "systemctl show -p RestrictNetworkInterfaces web.service"


def test_a_program_above_what_is_mounted(died: Died, judged: Judged) -> None:
    drop = died("BPF_CGROUP_EGRESS", "ip_finish_output", cgroup=GROUP)
    _, verdict = judged(drop, host(CgroupProgram(Program(77, "sd_fw_egress"))))
    assert (verdict.culprit.attached_to, verdict.culprit.unit) == ("a cgroup above, egress", None)


def receiving(options: SocketOptions | None, *programs: CgroupProgram) -> ToldHost:
    """No probe tells, and one socket there takes the packet."""
    one = PortSocket(ip_address("0.0.0.0"), None, 0, 0, False, 77, 1, 0, cgroup=GROUP)
    return ToldHost(
        sockets_at=PortSockets((one,), 1),
        socket_holder=Process(812, "named"),
        socket_options=options,
        cgroup_programs=programs,
    )


def test_without_the_probe_it_is_likely(died: Died, judged: Judged) -> None:
    drop = died("SOCKET_FILTER", "udp_queue_rcv_one_skb", notes=UNSEEN)
    cause, verdict = judged(drop, receiving(SocketOptions(), ONE))
    assert (cause, verdict.confidence) == ("bpf.cgroup-ingress", "likely")
    assert verdict.culprit.id == 77
    assert "a filter of the socket may have refused it as well" in said(verdict)


def test_without_the_probe_a_filter_of_the_socket_comes_first(died: Died, judged: Judged) -> None:
    drop = died("SOCKET_FILTER", "udp_queue_rcv_one_skb", notes=UNSEEN)
    cause, _ = judged(drop, receiving(SocketOptions(3), ONE))
    assert cause == "socket.filter"


@pytest.mark.parametrize(
    ("reason", "place", "notes", "programs"),
    [
        ("SOCKET_FILTER", "udp_queue_rcv_one_skb", UNSEEN, ()),
        ("SOCKET_FILTER", "udp_queue_rcv_one_skb", (), (ONE,)),
        (None, "udp_queue_rcv_one_skb", UNSEEN, (ONE,)),
        (None, "ip_finish_output", UNSEEN, (ONE,)),
    ],
    ids=["no program", "the probe was there", "silent on the way in", "silent on the way out"],
)
def test_what_it_is_not(
    died: Died,
    judged: Judged,
    reason: str | None,
    place: str,
    notes: tuple[str, ...],
    programs: tuple[CgroupProgram, ...],
) -> None:
    """What a silent kernel drops there may be anything."""
    cause, _ = judged(died(reason, place, notes=notes, cgroup=GROUP), receiving(SocketOptions(), *programs))
    assert cause is None or not cause.startswith("bpf."), cause


CALLS = {8: "bind4", 9: "bind6", 10: "connect4", 11: "connect6", 14: "sendmsg4", 15: "sendmsg6"}


def refusing(died: Died, hook: int | None, error: int = errno.EPERM, **event: Any) -> Drop:
    function = "__cgroup_bpf_run_filter_sock_addr"
    note = SendNote(error, 1000, hook=hook)
    return died(None, function, source=function, send=note, direction="out", cgroup=GROUP, **event)


@pytest.mark.parametrize("hook", CALLS)
@pytest.mark.parametrize("error", [errno.EPERM, errno.EMSGSIZE, errno.EACCES])
def test_a_call_that_it_refuses(died: Died, judged: Judged, hook: int, error: int) -> None:
    """Whatever error it chooses."""
    asked = []

    def programs(netns: int, cgroup: int, hook: int, not_before_ns: int) -> tuple[CgroupProgram, ...]:
        asked.append((cgroup, hook))
        return (ONE,)

    told = ToldHost(cgroup_programs=programs, program_keepers=KEPT, last_change=0)
    cause, verdict = judged(refusing(died, hook, error), told)
    assert (cause, verdict.confidence) == ("bpf.cgroup-call", "certain")
    assert asked == [(GROUP, hook)]
    assert verdict.culprit.attached_to == f"cgroup /app {CALLS[hook]}"
    assert f"it returned {errno.errorcode[error]}: no packet was created" in said(verdict)
    assert f"bpftool cgroup detach /sys/fs/cgroup/app {CALLS[hook]} id 77" in commands(verdict)


def test_a_call_by_one_of_two(died: Died, judged: Judged) -> None:
    cause, verdict = judged(refusing(died, 10), host(ONE, OTHER))
    assert (cause, verdict.confidence, verdict.culprit) == ("bpf.cgroup-call", "likely", None)


def test_a_hook_that_is_not_known_is_not_explained(died: Died, judged: Judged) -> None:
    cause, _ = judged(refusing(died, 99), host(ONE))
    assert cause is None


def test_what_systemd_made_of_a_port(died: Died, judged: Judged) -> None:
    binding = replace(FIREWALL, program=Program(81, "sd_bind4"))
    _, verdict = judged(refusing(died, 8), host(binding))
    assert verdict.culprit.unit == "web.service"
    assert "systemd makes it of SocketBindDeny= of web.service" in said(verdict)
    assert commands(verdict)[0] == "systemctl show -p SocketBindAllow,SocketBindDeny web.service"
