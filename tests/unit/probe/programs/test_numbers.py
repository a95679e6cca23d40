"""The numbers of the programs: found in this kernel's BTF, what is missing told; and the text that has their names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.probe import resent, xdp
from dropwatch.probe.attach_drop import AGAIN, SEGMENT
from dropwatch.probe.families import (
    ANSWERS,
    CGROUP_CALLS,
    CHANGES,
    FAMILIES,
    IPVS,
    RESENT,
    SENDS,
    SOLICIT,
    TCX_CHANGES,
    WIREGUARD,
    XDP,
    XFRM,
    XFRM_OUTPUT,
)
from dropwatch.probe.family import Family, Hook
from dropwatch.probe.programs import numbers
from dropwatch.probe.programs.text import BASE_FILES, BPF_LOOP, DROP_FILES, HEADERS, MODES, Mode, join
from dropwatch.probe.transport_families import DISCARDS, TCP, TCP_QUEUE
from dropwatch.resources import resource_dir
from dropwatch.wire.ipsec import XfrmRecord

NAME = re.compile(r"\b((?:OFF|BIT|SIZE|ENUM)_\w+)\b")
pytestmark = pytest.mark.skipif(
    not Path("/sys/kernel/btf/vmlinux").exists(), reason="feature BTF: this kernel has none"
)


@pytest.fixture
def bpf(tmp_path: Path) -> Path:
    """A copy of bpf/ to spoil."""
    return Path(shutil.copytree(resource_dir("bpf"), tmp_path / "bpf"))


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("sk_buff__mark", ("sk_buff", "mark")),
        ("sk_buff___skb_refdst", ("sk_buff", "_skb_refdst")),
        ("sock____sk_common__skc_net", ("sock", "__sk_common", "skc_net")),
        ("xfrm_state__props__replay_window", ("xfrm_state", "props", "replay_window")),
        ("net__mib__xfrm_statistics", ("net", "mib", "xfrm_statistics")),
        ("xfrm_state__id", ("xfrm_state", "id")),
    ],
)
def test_a_name_gives_a_path(name: str, steps: tuple[str, ...]) -> None:
    assert numbers._path(name) == steps


@pytest.mark.parametrize("mode", MODES)
def test_every_name_in_the_text_has_a_number(mode: Mode) -> None:
    built = numbers.build(FAMILIES, mode=mode)
    names = set(NAME.findall(built.text.text)) | set(
        NAME.findall((resource_dir("bpf") / "read.h").read_text())
    )
    assert len(names) > 40
    assert {name for name in built.numbers if NAME.fullmatch(name)} == names
    assert set(built.text.names) <= built.numbers.keys()


def test_the_values_are_this_kernels() -> None:
    kernel, found = btf.vmlinux(), numbers.build(FAMILIES).numbers
    for name, *path in (
        ("OFF_sk_buff__mark", "sk_buff", "mark"),
        ("OFF_sk_buff___skb_refdst", "sk_buff", "_skb_refdst"),
        ("OFF_sock____sk_common__skc_net", "sock", "__sk_common", "skc_net"),
        ("OFF_xfrm_state__id__spi", "xfrm_state", "id", "spi"),
    ):
        assert found[name] == kernel.offset(path[0], tuple(path[1:])), name
    assert found["SIZE_sk_buff"] == kernel.size("sk_buff")
    assert found["ENUM_SKB_EXT_SEC_PATH"] == (kernel.enum("skb_ext_id") or {})["SKB_EXT_SEC_PATH"]


@pytest.mark.parametrize("size", [128, 264])
def test_a_packet_that_is_not_read_whole_is_not_read(size: int) -> None:
    with pytest.raises(CannotRunHere, match=f"has {size} bytes"):
        numbers._check_size(size)


def width(name: str) -> int:
    """Bytes of the member that an OFF_ name is about."""
    kernel = btf.vmlinux()
    struct, *path = numbers._path(name)
    found = kernel._find(struct, btf._KIND_STRUCT)
    for step in path:
        assert found is not None
        member = kernel._member(found, step)
        assert member is not None, name
        found = member[0]
    assert found is not None
    return 8 if found.kind == btf._KIND_PTR else int(found.size_or_type)


def text_of_all() -> str:
    return join(FAMILIES, "findings").text + (resource_dir("bpf") / "read.h").read_text()


def test_members_are_read_in_their_full_width() -> None:
    """A member that another kernel has wider or narrower would be read wrongly, and nothing else would tell."""
    text = text_of_all()
    place = r"[\w>.-]+ \+ OFF_(\w+)\)"
    reads = [(int(bits) // 8, name) for bits, name in re.findall(r"member\(copy, u(\d+), OFF_(\w+)\)", text)]
    reads += [(int(bits) // 8, name) for bits, name in re.findall(rf"read_u(\d+)\(&?scratch, {place}", text)]
    reads += [(8, name) for name in re.findall(rf"read_pointer\(&?scratch, {place}", text)]
    assert len(reads) > 25
    wider = {name for size, name in reads if size > width(name)}
    narrower = {name for size, name in reads if size < width(name)}
    assert wider == set()
    told = {"sec_path__len", "sock__sk_cgrp_data", "icmp_bxm__data", "tcp_skb_cb__tcp_flags"}
    assert narrower <= told, "told in bpf/xfrm_state.c, cgroup.c, answers.c and discards.c"


def test_members_are_copied_no_further_than_they_go() -> None:
    copies = re.findall(r"read_member\(record->(\w+), state, OFF_(\w+)\)", text_of_all())
    assert len(copies) > 10
    for field, name in copies:
        assert getattr(XfrmRecord, field).size <= width(name), f"{field} from {name}"


def test_counters_are_as_many_as_the_kernel_lists() -> None:
    try:
        lines = Path("/proc/net/xfrm_stat").read_text().splitlines()
    except OSError:
        pytest.skip("feature XFRM_STATISTICS: /proc/net/xfrm_stat cannot be read")
    counters = numbers.xfrm_counters()
    received = {f"LINUX_MIB_{line.split()[0].upper()}" for line in lines if line.startswith("XfrmIn")}
    assert len(received) > 10
    assert received <= counters.keys()
    assert counters["__LINUX_MIB_XFRMMAX"] == len(lines) + 1, "the first one, XFRMNUM, is not shown"


def test_arguments_of_the_tracepoint() -> None:
    """Where the kernel has drop reasons, its tracepoint has an argument for them: the third so far."""
    found, kernel = numbers.build(FAMILIES).numbers, btf.vmlinux()
    assert (found["KFREE_SKB_REASON_ARGUMENT"] != 0) == (kernel.enum("skb_drop_reason") is not None)
    arguments = kernel.tracepoint_arguments("kfree_skb")
    assert arguments is not None
    for name, type_name in (("REASON", "skb_drop_reason"), ("SOCKET", "sock")):
        number = found[f"KFREE_SKB_{name}_ARGUMENT"]
        assert (number != 0) == (type_name in arguments)
        assert not number or arguments[number] == type_name


@pytest.mark.parametrize("size", [numbers.RING_BYTES, numbers.TRACE_RING_BYTES])
def test_the_ring_has_a_size_that_a_ring_can_have(size: int) -> None:
    assert size.bit_count() == 1
    assert size % (1 << 16) == 0, "pages of arm64 may have 64 KiB"


def test_families_are_switched_off_in_the_same_text() -> None:
    with_all, without = numbers.build(FAMILIES), numbers.build(FAMILIES, without=FAMILIES)
    assert without.families == ()
    assert without.left_out == {}
    assert without.text == with_all.text
    flags = {family.flag for family in FAMILIES}
    switched = set(with_all.numbers.items()) ^ set(without.numbers.items())
    assert switched == {(flag, value) for flag in flags for value in (0, 1)}
    assert flags == set(re.findall(r"\bHAS_\w+", with_all.text.text)) - {BPF_LOOP} | {
        XFRM_OUTPUT.flag,
        CGROUP_CALLS.flag,
        CHANGES.flag,
        DISCARDS.flag,
        TCP_QUEUE.flag,
        WIREGUARD.flag,
        XDP.flag,
    }


def test_a_family_that_this_kernel_cannot_have_is_left_out_and_told(bpf: Path) -> None:
    spoilt = "\nint x = OFF_no_such_struct__member + SIZE_nor_this + ENUM_NOR_THAT + OFF_sk_buff__no_such_member;\n"
    (bpf / "spoilt.c").write_text(spoilt)
    family = Family("a spoilt one", ("xfrm.c", "spoilt.c"), "HAS_SPOILT")
    built = numbers.build((*FAMILIES, family), bpf)
    assert [family.name for family in built.families] == [family.name for family in FAMILIES]
    assert built.left_out == {
        "a spoilt one": "this kernel's BTF has no NOR_THAT, no_such_struct.member, nor_this, sk_buff.no_such_member"
    }
    missing = dict.fromkeys((*NAME.findall(spoilt), "HAS_SPOILT"), 0)
    assert built.numbers == numbers.build(FAMILIES, bpf).numbers | missing


@pytest.mark.parametrize("file", [*HEADERS, *BASE_FILES, *DROP_FILES])
def test_what_every_run_needs_must_be_there(file: str, bpf: Path) -> None:
    with (bpf / file).open("a") as text:
        text.write("\nint x = OFF_sk_buff__no_such_member;\n")
    with pytest.raises(CannotRunHere, match=f"no sk_buff.no_such_member, which bpf/{file} needs"):
        numbers.build(FAMILIES, bpf)


BASE = {"on_table_change"}  # in netfilter.c: for the families of legacy tables


def test_every_tail_call_has_a_place_of_its_own() -> None:
    calls = [AGAIN, SEGMENT, *(call for family in FAMILIES for call in family.tail_calls)]
    assert len({(call.table, call.index) for call in calls}) == len(calls)
    text = (resource_dir("bpf") / "death.c").read_text()
    steps = [int(place) for place in re.findall(r"^\tDETAIL_\w+ = (\d+),$", text, re.M)]
    followed = [note.kind for family in FAMILIES for note in family.notes if note.follows]
    assert sorted([*steps, *followed]) == sorted(c.index for c in calls if c.table == "drop_details")
    assert len(steps) == 5
    assert min(steps) > max(followed)


def test_hooks_and_functions_belong_together() -> None:
    """A hook of the table names a function of its family's files, and no function is forgotten."""
    dying = "".join((resource_dir("bpf") / file).read_text() for file in DROP_FILES)
    for family in FAMILIES:
        text = "".join((resource_dir("bpf") / file).read_text() for file in family.files)
        used = {program for hook in family.hooks for program in hook.programs}
        used |= {call.program for call in family.tail_calls}
        if family is RESENT:  # which has its own way of attaching
            used |= {resent.DEATHS, resent.REFUSED_SYN.program, *resent.RESENDS[0].programs}
            used |= {program for _, program in resent.TRACEPOINTS}
        if family is XDP:  # likewise
            used |= {program for _, program in xdp.TRACEPOINTS}
        if family is TCX_CHANGES:  # more hooks of another family's program
            used -= {program for hook in CHANGES.hooks for program in hook.programs}
        assert set(re.findall(r"^int (\w+)\(struct (?:pt_regs|bpf_raw)", text, re.M)) == used - BASE
        asked_of_a_death = re.search(rf"\b{family.flag}( &&| \?|\))", dying) is not None
        of_others = (CHANGES, IPVS, RESENT, SENDS, SOLICIT, WIREGUARD, XDP)
        assert family.needs or family in of_others or asked_of_a_death


# Parameters that the programs take, by their place in the registers.
PARAMETERS = {
    "xfrm_input": {"skb": 1},
    "xfrm_audit_state_icvfail": {"skb": 2},
    "xfrm_audit_state_notfound": {"skb": 1, "net_spi": 3, "net_seq": 4},
    "xfrm_audit_state_replay": {"skb": 2, "net_seq": 3},
    "xfrm_audit_state_replay_overflow": {"skb": 2},
    "__xfrm_policy_check": {"dir": 2, "skb": 3},
    "__xfrm_state_delete": {"x": 1},
    "xfrm_policy_lookup_bytype": {},
    "xfrm_sk_policy_lookup": {},
    "tcp_timewait_state_process": {"tw": 1, "skb": 2},
    "tcp_send_dupack": {"sk": 1, "skb": 2},
    "tcp_v4_send_reset": {"skb": 2},
    "tcp_check_req": {"skb": 2},
    "inet_csk_reqsk_queue_drop": {},
    "tcp_rtx_synack": {},
    "tcp_v6_send_reset": {"skb": 2},
    "raw_rcv": {"skb": 2},
    "rawv6_rcv": {"skb": 2},
    "tcp_oow_rate_limited": {"last_oow_ack_time": 4},
    "ndisc_rcv": {"skb": 1},
    "addrconf_prefix_rcv": {},
    "tcp_v6_err": {},
    "__udp6_lib_err": {},
    "icmp_glue_bits": {"from": 1},
    "icmpv6_getfrag": {"from": 1},
    "inet_frag_queue_insert": {},
    "inet_frag_rbtree_purge": {"root": 1},
    "ndisc_send_na": {"solicited_addr": 3},
    "__icmp_send": {"skb_in": 1, "type": 2, "code": 3},
    "icmp6_send": {"skb": 1, "type": 2, "code": 3},
    "tcp_conn_request": {"sk": 3, "skb": 4},
    "tcp_v4_syn_recv_sock": {"sk": 1, "skb": 2},
    "tcp_v6_syn_recv_sock": {"sk": 1, "skb": 2},
    "wg_allowedips_lookup_src": {"skb": 2},
    "tcp_data_queue": {"sk": 1, "skb": 2},
    "tcp_validate_incoming": {"sk": 1, "skb": 2},
    "__kfree_skb": {"skb": 1},
    "loopback_net_init": {"net": 1},
    "nlmsg_notify": {"sk": 1, "skb": 2, "group": 4},
    "__ip_mc_dec_group": {"in_dev": 1, "addr": 2},
    "__ipv6_dev_mc_dec": {"idev": 1, "addr": 2},
    "km_policy_notify": {"xp": 1},
    "xfrm_policy_kill": {"policy": 1},
    "km_state_notify": {"x": 1, "c": 2},
    "km_migrate": {},
    "proc_sys_write": {},
    "rtnetlink_rcv_msg": {"skb": 1, "nlh": 2},
    "cgroup_bpf_prog_attach": {},
    "cgroup_bpf_prog_detach": {},
    "cgroup_bpf_link_attach": {},
    "bpf_cgroup_link_release": {},
    "cgroup_bpf_replace": {},
    "bpf_xdp_link_attach": {},
    "bpf_xdp_link_release": {},
    "bpf_xdp_link_update": {},
}


def body_of(function: str) -> str:
    found = re.search(rf"^int {function}\(.*?^}}", join(FAMILIES, "findings").text, re.M | re.S)
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    "hook",
    [*XFRM.hooks, *TCP.hooks, *DISCARDS.hooks, *ANSWERS.hooks, *CHANGES.hooks],
    ids=lambda hook: hook.function,
)
def test_parameters_are_where_the_program_takes_them(hook: Hook) -> None:
    for name in hook.programs:
        body = body_of(name)
        taken = {int(number) for number in re.findall(r"PT_REGS_PARM(\d)\(ctx\)", body)}
        assert taken == (set() if name == hook.back else set(PARAMETERS[hook.function].values()))
        assert ("PT_REGS_RC(ctx)" in body) <= (name == hook.back), "only a return has a value"
    kernel = btf.vmlinux()
    function = kernel._find(hook.function, 12)  # BTF_KIND_FUNC
    if function is None:
        pytest.skip(f"feature {hook.function}: this kernel has no such function")
    prototype = kernel._by_id(function.size_or_type)
    assert prototype is not None
    names = [kernel._name(name) for name, _ in prototype.words(2)]
    for name, number in PARAMETERS[hook.function].items():
        assert names[number - 1] == name


def test_the_current_directory_is_of_no_account(tmp_path: Path) -> None:
    """It may belong to anybody, and the program runs as root."""
    for name in ("bpf", "symbols", "dropwatch", "linux", "bcc"):
        (tmp_path / name).mkdir()
    for name in ("bpf/maps.c", "bpf/drop.c", "event.h", "read.h", "symbols/reasons.toml", "linux/types.h"):
        (tmp_path / name).write_text("#error from the current directory\n")
    code = (
        "from dropwatch.probe import families; from dropwatch.probe.programs import text; "
        "print(text.join(families.FAMILIES, 'findings').text)"
    )
    environment = {**os.environ, "PYTHONPATH": str(resource_dir("bpf").parent), "PYTHONSAFEPATH": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.rstrip("\n") == join(FAMILIES, "findings").text.rstrip("\n")
