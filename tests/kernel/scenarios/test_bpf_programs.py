"""BPF programs that drop packets: which one, where it is attached, and whose it is; bpftool is the other witness."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from scenarios import bpf_links, traffic
from scenarios.blame import deaths
from scenarios.bpf_links import DROP, EGRESS, INGRESS, PASS
from scenarios.namespaces import Lab, Namespace
from scenarios.outgoing import Losses, by_this_process
from scenarios.outgoing import told as sent
from scenarios.test_cgroups import MOUNT
from scenarios.test_socket_options import refusing
from scenarios.whydrop_process import Line, Whydrop, told

PORT = 5890
SENT = 3
IDS = {INGRESS: "bpf.cgroup-ingress", EGRESS: "bpf.cgroup-egress"}
WAYS = {INGRESS: "ingress", EGRESS: "egress"}
STREAMS = [hook for hook, way in bpf_links.CALLS.items() if not way.startswith("sendmsg")]


@contextmanager
def living_in(path: str) -> Iterator[None]:
    """What this process makes belongs to that cgroup."""
    (MOUNT / path).mkdir(parents=True, exist_ok=True)
    own = Path("/proc/self/cgroup").read_text().splitlines()[-1].partition("::")[2].strip("/")
    (MOUNT / path / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (MOUNT / own / "cgroup.procs").write_text(str(os.getpid()))


@contextmanager
def reader(end: Namespace, path: str, address: str) -> Iterator[socket.socket]:
    with (
        living_in(path),
        traffic.open_socket(end, traffic.family_of(address), socket.SOCK_DGRAM) as made,
    ):
        made.bind((address, PORT))
        yield made


def tag_of(number: int, end: Namespace) -> str:
    return end.run(f"bpftool prog show id {number}").stdout.partition(" tag ")[2].split()[0]


def lost(lab: Lab, whydrop: Whydrop, hook: int, path: str, family: int = 4) -> list[Line]:
    """Datagrams from a to b, of which the cgroup of this path has a socket at the end that the hook is for."""
    address = lab.b.v4 if family == 4 else lab.b.v6
    if hook == EGRESS:
        with living_in(path):
            traffic.datagrams(lab.a, address, [PORT] * SENT)
        return deaths(whydrop, lab.a, SENT, PORT)
    with reader(lab.b, path, address):
        traffic.datagrams(lab.a, address, [PORT] * SENT)
        return deaths(whydrop, lab.b, SENT, PORT)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("hook", IDS, ids=WAYS.values())
def test_a_program_of_a_cgroup_above(lab: Lab, whydrop: Whydrop, hook: int, family: int) -> None:
    above = f"{lab.a.name}-{WAYS[hook]}"
    (MOUNT / above).mkdir()
    number = bpf_links.at_cgroup(MOUNT / above, hook)
    for line in lost(lab, whydrop, hook, f"{above}/inner", family):
        shown, thing = told(line), line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (IDS[hook], "certain"), shown
        assert (thing["kind"], thing["id"], thing["name"]) == ("bpf-program", number, bpf_links.NAME), shown
        assert thing["attached_to"] == f"cgroup /{above} {WAYS[hook]}", shown
        assert thing["tag"] == tag_of(number, lab.b), shown
        assert line["fix"][0]["command"] == f"bpftool prog show id {number}", line["fix"]


@pytest.mark.parametrize("hook", IDS, ids=WAYS.values())
def test_a_program_of_systemd(lab: Lab, whydrop: Whydrop, hook: int) -> None:
    """By its name, and the unit by its cgroup."""
    unit = f"whydrop-{lab.a.name}.service"
    home = f"system.slice/{unit}"
    (MOUNT / home).mkdir(parents=True)
    bpf_links.at_cgroup(MOUNT / home, hook, name=f"sd_fw_{WAYS[hook]}")
    for line in lost(lab, whydrop, hook, home):
        shown = told(line)
        assert (line["cause"]["id"], line["object"]["unit"]) == (IDS[hook], unit), shown
        assert f"systemd makes it of IPAddressDeny= of {unit}" in shown, shown
        wanted = f"systemctl show -p IPAddressAllow,IPAddressDeny {unit}"
        assert line["fix"][0]["command"] == wanted, line["fix"]


@pytest.mark.parametrize("hook", IDS, ids=WAYS.values())
def test_one_of_two_programs(lab: Lab, whydrop: Whydrop, hook: int) -> None:
    """Which of them it was is not known: both are named, none is blamed."""
    above = f"{lab.a.name}-{WAYS[hook]}"
    inner = f"{above}/inner"
    (MOUNT / inner).mkdir(parents=True)
    numbers = (
        bpf_links.at_cgroup(MOUNT / above, hook, DROP, "above"),
        bpf_links.at_cgroup(MOUNT / inner, hook, PASS, "inner"),
    )
    for line in lost(lab, whydrop, hook, inner):
        shown = told(line)
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (IDS[hook], "likely"), shown
        assert line["object"] is None, shown
        listed = [one["text"] for one in line["evidence"] if "one of 2" in one["text"]]
        assert len(listed) == 2, shown
        for number, name, path in zip(numbers, ("above", "inner"), (above, inner), strict=True):
            words = (f"id {number} name {name} ", f"at cgroup /{path} {WAYS[hook]}")
            assert any(all(word in text for word in words) for text in listed), shown


def test_a_filter_of_the_socket_is_no_program_of_its_cgroup(lab: Lab, whydrop: Whydrop) -> None:
    """The kernel says the same of both: the cgroup has a program, which let the packet pass."""
    home = f"{lab.b.name}-passing"
    (MOUNT / home).mkdir()
    bpf_links.at_cgroup(MOUNT / home, INGRESS, PASS)
    with reader(lab.b, home, lab.b.v4) as made:
        refusing(made)
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * SENT)
        for line in deaths(whydrop, lab.b, SENT, PORT):
            assert line["cause"]["id"] == "socket.filter", told(line)


def calling(end: Namespace, hook: str, address: str, kind: socket.SocketKind) -> None:
    """One call that the hook is for: it is refused."""
    with traffic.open_socket(end, traffic.family_of(address), kind) as made:
        calls: dict[str, Callable[[tuple[str, int]], object]] = {
            "bind": made.bind,
            "connect": made.connect,
            "sendmsg": partial(made.sendto, b"datagram"),
        }
        with pytest.raises(PermissionError):
            calls[hook[:-1]]((address, PORT))


@pytest.mark.parametrize(
    ("hook", "kind"),
    [(hook, socket.SOCK_DGRAM) for hook in bpf_links.CALLS]
    + [(hook, socket.SOCK_STREAM) for hook in STREAMS],
)
def test_a_call_that_a_program_of_a_cgroup_refuses(
    lab: Lab, whydrop: Whydrop, hook: int, kind: socket.SocketKind
) -> None:
    way = bpf_links.CALLS[hook]
    unit = f"whydrop-{lab.a.name}.service"
    home = f"system.slice/{unit}"
    (MOUNT / home).mkdir(parents=True)
    number = bpf_links.at_cgroup(MOUNT / home, hook)
    where = lab.a if way.startswith("bind") else lab.b
    address = where.v4 if way.endswith("4") else where.v6
    losses = Losses(lab.a, whydrop)
    with living_in(home):
        for _ in range(SENT):
            calling(lab.a, way, address, kind)
        found = losses.deaths(SENT)
    by_this_process(found)
    for line in found:
        shown, thing, packet = told(line), line["object"], line["packet"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("bpf.cgroup-call", "certain"), shown
        assert line["source"] == line["where"]["function"] == "__cgroup_bpf_run_filter_sock_addr", shown
        assert (thing["kind"], thing["id"], thing["tag"]) == ("bpf-program", number, tag_of(number, lab.a)), (
            shown
        )
        assert thing["attached_to"] == f"cgroup /{home} {way}", shown
        proto = "tcp" if kind == socket.SOCK_STREAM else "udp"
        assert (packet["proto"], packet["daddr"], packet["dport"]) == (proto, address, PORT), shown
        assert line["process"]["unit"] == unit, shown


def test_a_send_after_one_that_a_cgroup_refuses(lab: Lab, whydrop: Whydrop) -> None:
    """Each is told once, by what refused it."""
    home = f"{lab.a.name}-sending"
    (MOUNT / home).mkdir()
    losses = Losses(lab.a, whydrop)
    with living_in(home), traffic.open_socket(lab.a, socket.AF_INET, socket.SOCK_DGRAM) as made:
        bpf_links.at_cgroup(MOUNT / home, 14)
        for _ in range(SENT):
            with pytest.raises(PermissionError):
                made.sendto(b"datagram", (lab.b.v4, PORT))
    assert sent(lab.a, (lab.a.v4, "198.51.100.7"), PORT, 1) == ["ENETUNREACH"]
    found = losses.deaths(SENT + 1)
    assert [line["cause"]["id"] for line in found] == ["bpf.cgroup-call"] * SENT + ["send.no-route"], found


@pytest.mark.parametrize(("mode", "cause"), [("xdpgeneric", "bpf.xdp-generic"), ("xdpdrv", "bpf.xdp-native")])
def test_an_xdp_program(lab: Lab, whydrop: Whydrop, mode: str, cause: str) -> None:
    """The driver of veth has a packet when it runs one."""
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    number = bpf_links.drop_by_xdp(lab.b, mode=mode)
    traffic.datagrams(lab.a, lab.b.v4, [PORT] * SENT)
    for line in deaths(whydrop, lab.b, SENT, PORT):
        shown, thing = told(line), line["object"]
        assert line["cause"]["id"] == cause, shown
        assert line["cause"]["confidence"] == ("certain" if line["reason"] == "XDP" else "likely"), shown
        assert (thing["kind"], thing["id"], thing["tag"]) == ("bpf-program", number, tag_of(number, lab.b)), (
            shown
        )
        assert thing["attached_to"] == f"interface {lab.b.iface} {mode}", shown


@pytest.mark.twice
def test_what_a_driver_drops_before_there_is_a_packet(lab: Lab) -> None:
    """The last line names interface and program, and has what the driver counted."""
    with Whydrop("--netns", lab.b.name) as own:
        there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
        lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
        number = bpf_links.drop_by_xdp(lab.b, mode="xdpdrv")
        traffic.datagrams(lab.a, lab.b.v4, [PORT] * SENT)
        deaths(own, lab.b, SENT, PORT)
        done = own.finish()
    assert done.end is not None
    wanted = (
        f"XDP program id {number} name {bpf_links.NAME}, native on {lab.b.iface} of namespace {lab.b.name}"
    )
    (told_of_it,) = (spot for spot in done.end["blind_spots"] if spot.startswith(wanted))
    assert f"its driver counted {SENT} XDP drops" in told_of_it
    assert told_of_it.endswith(f"; errors of the program: {SENT} XDP_ABORTED"), told_of_it  # r0 = 0


def test_a_program_of_a_route(lab: Lab, whydrop: Whydrop) -> None:
    number = bpf_links.drop_by_route(lab.a, f"10.88.0.0/16 via {lab.b.v4} dev {lab.a.iface}")
    traffic.datagrams(lab.a, "10.88.0.5", [PORT] * SENT)
    for line in deaths(whydrop, lab.a, SENT, PORT):
        shown, thing = told(line), line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("bpf.lwt", "likely"), shown
        assert thing is not None, [shown, line["stack"]]
        assert (thing["kind"], thing["id"]) == ("bpf-program", number), shown
        assert thing["attached_to"] == "route to 10.88.0.5, encap bpf out", shown
        assert thing["pinned"] == f"/sys/fs/bpf/whydrop-{number}", shown


def test_a_program_at_an_interface_that_no_filter_has(lab: Lab, whydrop: Whydrop) -> None:
    there = traffic.hardware_address(lab.b, lab.b.iface).hex(":")
    lab.a.configure(f"neigh replace {lab.b.v4} lladdr {there} dev va nud permanent")
    try:
        with bpf_links.dropping_at_interface(lab.b, lab.b.iface) as number:
            traffic.datagrams(lab.a, lab.b.v4, [PORT] * SENT)
            found = deaths(whydrop, lab.b, SENT, PORT)
    except bpf_links.NoSuchLink as why:
        pytest.skip(f"feature tcx: {why}")
    for line in found:
        shown, thing = told(line), line["object"]
        assert (line["cause"]["id"], line["cause"]["confidence"]) == ("queueing.tc-ingress", "certain"), shown
        assert (thing["kind"], thing["id"]) == ("bpf-program", number), shown
        assert thing["attached_to"] == f"{lab.b.iface} tcx ingress", shown
        assert thing["keeper"]["pid"] == os.getpid(), shown
