"""The program text: every number found in this kernel's BTF, whatever is missing told, and it compiles."""

import contextlib
import importlib.util
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.probe import program
from dropwatch.probe.attach_drop import COUNTING
from dropwatch.probe.families import FAMILIES, TCP, XFRM, XFRM_OUTPUT
from dropwatch.probe.family import Family, Hook
from dropwatch.probe.program import Program
from dropwatch.resources import resource_dir
from dropwatch.wire.ipsec import XfrmRecord

BPF_STACK = 512  # bytes
BPF_ST, BPF_STX, BPF_ADD_IMMEDIATE, FRAME_POINTER = 2, 3, 0x07, 10  # linux/bpf.h
NAME = re.compile(r"\b((?:OFF|BIT|SIZE|ENUM)_\w+)\b")
pytestmark = pytest.mark.skipif(
    not Path("/sys/kernel/btf/vmlinux").exists(), reason="feature BTF: this kernel has none"
)


def definitions(built: Program) -> dict[str, str]:
    pairs = [flag.removeprefix("-D").partition("=") for flag in built.flags]
    assert len({name for name, _, _ in pairs}) == len(pairs), "something is defined twice"
    return {name: value for name, _, value in pairs}


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
    assert program._path(name) == steps


def test_every_name_in_the_text_is_defined() -> None:
    built = program.build(FAMILIES)
    names = set(NAME.findall(built.text)) | set(NAME.findall((resource_dir("bpf") / "read.h").read_text()))
    assert len(names) > 40
    defined = {name for name in definitions(built) if NAME.fullmatch(name)}
    assert defined == names


def test_the_values_are_this_kernels() -> None:
    kernel, defined = btf.vmlinux(), definitions(program.build(FAMILIES))
    for name, *path in (
        ("OFF_sk_buff__mark", "sk_buff", "mark"),
        ("OFF_sk_buff___skb_refdst", "sk_buff", "_skb_refdst"),
        ("OFF_sock____sk_common__skc_net", "sock", "__sk_common", "skc_net"),
        ("OFF_xfrm_state__id__spi", "xfrm_state", "id", "spi"),
    ):
        assert int(defined[name]) == kernel.offset(path[0], tuple(path[1:])), name
    assert int(defined["SIZE_sk_buff"]) == kernel.size("sk_buff")
    assert int(defined["ENUM_SKB_EXT_SEC_PATH"]) == (kernel.enum("skb_ext_id") or {})["SKB_EXT_SEC_PATH"]


def width(name: str) -> int:
    """Bytes of the member that an OFF_ name is about."""
    kernel = btf.vmlinux()
    struct, *path = program._path(name)
    found = kernel._find(struct, btf._KIND_STRUCT)
    for step in path:
        assert found is not None
        member = kernel._member(found, step)
        assert member is not None, name
        found = member[0]
    assert found is not None
    return 8 if found.kind == btf._KIND_PTR else int(found.size_or_type)


def text_of_all() -> str:
    return program.build(FAMILIES).text + (resource_dir("bpf") / "read.h").read_text()


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
    assert narrower <= {"sec_path__len"}, "told in bpf/xfrm_state.c"


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
    counters = program.xfrm_counters()
    received = {f"LINUX_MIB_{line.split()[0].upper()}" for line in lines if line.startswith("XfrmIn")}
    assert len(received) > 10
    assert received <= counters.keys()
    assert counters["__LINUX_MIB_XFRMMAX"] == len(lines) + 1, "the first one, XFRMNUM, is not shown"


def test_arguments_of_the_tracepoint() -> None:
    """Where the kernel has drop reasons, its tracepoint has an argument for them: the third so far."""
    defined, kernel = definitions(program.build(FAMILIES)), btf.vmlinux()
    assert (defined["KFREE_SKB_REASON_ARGUMENT"] != "0") == (kernel.enum("skb_drop_reason") is not None)
    arguments = kernel.tracepoint_arguments("kfree_skb")
    assert arguments is not None
    for name, type_name in (("REASON", "skb_drop_reason"), ("SOCKET", "sock")):
        number = int(defined[f"KFREE_SKB_{name}_ARGUMENT"])
        assert (number != 0) == (type_name in arguments)
        assert not number or arguments[number] == type_name


def test_the_ring_has_a_size_that_a_ring_can_have() -> None:
    pages = int(definitions(program.build(FAMILIES))["RING_PAGES"])
    assert pages * resource.getpagesize() == program.RING_BYTES
    assert pages.bit_count() == 1


def test_families_are_switched_off_in_the_same_text() -> None:
    with_all, without = program.build(FAMILIES), program.build(FAMILIES, without=FAMILIES)
    assert without.families == ()
    assert without.left_out == {}
    assert without.text == with_all.text
    flags = {family.flag for family in FAMILIES}
    switched = set(definitions(with_all).items()) ^ set(definitions(without).items())
    assert switched == {(flag, value) for flag in flags for value in "01"}
    assert flags == set(re.findall(r"\bHAS_\w+", with_all.text)) | {XFRM_OUTPUT.flag}


def test_a_family_that_this_kernel_cannot_have_is_left_out_and_told(bpf: Path) -> None:
    spoilt = "\nint x = OFF_no_such_struct__member + SIZE_nor_this + ENUM_NOR_THAT + OFF_sk_buff__no_such_member;\n"
    (bpf / "spoilt.c").write_text(spoilt)
    family = Family("a spoilt one", ("xfrm.c", "spoilt.c"), "HAS_SPOILT")
    built = program.build((*FAMILIES, family), bpf)
    assert [family.name for family in built.families] == [family.name for family in FAMILIES]
    assert built.left_out == {
        "a spoilt one": "this kernel's BTF has no NOR_THAT, no_such_struct.member, nor_this, sk_buff.no_such_member"
    }
    missing = dict.fromkeys((*NAME.findall(spoilt), "HAS_SPOILT"), "0")
    assert definitions(built) == definitions(program.build(FAMILIES, bpf)) | missing


@pytest.mark.parametrize("file", [*program.HEADERS, *program.BASE_FILES, *program.DROP_FILES])
def test_what_every_run_needs_must_be_there(file: str, bpf: Path) -> None:
    with (bpf / file).open("a") as text:
        text.write("\nint x = OFF_sk_buff__no_such_member;\n")
    with pytest.raises(CannotRunHere, match=f"no sk_buff.no_such_member, which bpf/{file} needs"):
        program.build(FAMILIES, bpf)


BASE = {"on_table_change"}  # in netfilter.c: for the families of legacy tables


def test_every_tail_call_has_a_place_of_its_own() -> None:
    calls = [COUNTING, *(call for family in FAMILIES for call in family.tail_calls)]
    assert len({(call.table, call.index) for call in calls}) == len(calls)
    text = (resource_dir("bpf") / "death.c").read_text()
    steps = [int(place) for place in re.findall(r"^\tDETAIL_\w+ = (\d+),$", text, re.M)]
    followed = [note.kind for family in FAMILIES for note in family.notes if note.follows]
    assert sorted([*steps, *followed]) == sorted(c.index for c in calls if c.table == "drop_details")
    assert len(steps) == 3
    assert min(steps) > max(followed)


def test_hooks_and_functions_belong_together() -> None:
    """A hook of the table names a function of its family's files, and no function is forgotten."""
    dying = "".join((resource_dir("bpf") / file).read_text() for file in program.DROP_FILES)
    for family in FAMILIES:
        text = "".join((resource_dir("bpf") / file).read_text() for file in family.files)
        used = {program for hook in family.hooks for program in hook.programs}
        used |= {call.program for call in family.tail_calls}
        assert set(re.findall(r"^int (\w+)\(struct (?:pt_regs|bpf_raw)", text, re.M)) == used - BASE
        assert family.needs or f"{family.flag} &&" in dying or f"({family.flag})" in dying


# Parameters that the programs take, by their place in the registers.
PARAMETERS = {
    "xfrm_input": {"skb": 1},
    "xfrm_audit_state_icvfail": {"skb": 2},
    "xfrm_audit_state_notfound": {"skb": 1, "net_spi": 3, "net_seq": 4},
    "xfrm_audit_state_replay": {"skb": 2, "net_seq": 3},
    "xfrm_audit_state_replay_overflow": {"skb": 2},
    "__xfrm_policy_check": {"dir": 2, "skb": 3},
    "__xfrm_state_delete": {"x": 1},
    "tcp_timewait_state_process": {"skb": 2},
}


def body_of(function: str) -> str:
    found = re.search(rf"^int {function}\(.*?^}}", program.build(FAMILIES).text, re.M | re.S)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("hook", [*XFRM.hooks, *TCP.hooks], ids=lambda hook: hook.function)
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
    code = "from dropwatch.probe import families, program; print(program.build(families.FAMILIES).text)"
    environment = {**os.environ, "PYTHONPATH": str(resource_dir("bpf").parent), "PYTHONSAFEPATH": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.rstrip("\n") == program.build(FAMILIES).text.rstrip("\n")


def with_arguments(flags: tuple[str, ...], reason: int, socket: int) -> list[str]:
    others = [flag for flag in flags if not flag.startswith("-DKFREE_SKB_")]
    return [*others, f"-DKFREE_SKB_REASON_ARGUMENT={reason}", f"-DKFREE_SKB_SOCKET_ARGUMENT={socket}"]


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As probe/tracer.py does it."""
    if importlib.util.find_spec("bcc") is None:
        pytest.skip("feature bcc: not installed for this Python")
    if os.geteuid() != 0:
        pytest.skip("feature root: bcc makes the maps while it compiles")
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(resource_dir("bpf")))
    with contextlib.chdir(resource_dir("bpf")):
        yield


def stack_bytes(code: bytes) -> int:
    """The deepest place below the frame pointer that instructions write to, or take the address of."""
    deepest = 0
    for at in range(0, len(code), 8):
        operation, registers, offset, immediate = struct.unpack_from("=BBhi", code, at)
        if operation & 7 in (BPF_ST, BPF_STX) and registers & 15 == FRAME_POINTER:
            deepest = min(deepest, offset)
        if operation == BPF_ADD_IMMEDIATE and immediate < 0:
            deepest = min(deepest, max(immediate, -BPF_STACK))
    return -deepest


ARGUMENTS = {
    "5.10": (0, 0),
    "6.1": (2, 0),
    "6.12": (2, 3),
}  # of skb:kfree_skb: the reason, the receiving socket


@pytest.mark.usefixtures("compiling")
@pytest.mark.parametrize(
    ("without", "arguments", "kind"),
    [
        *(pytest.param(FAMILIES, words, "", id=f"alone-{name}") for name, words in ARGUMENTS.items()),
        *(pytest.param((), words, "", id=f"all-{name}") for name, words in ARGUMENTS.items()),
        *(pytest.param((one,), ARGUMENTS["6.12"], "", id=f"but-{one.name}") for one in FAMILIES),
        *(pytest.param((), words, "summary", id=f"summary-{name}") for name, words in ARGUMENTS.items()),
        pytest.param(FAMILIES, ARGUMENTS["6.12"], "trace", id="trace-alone"),
        *(pytest.param((), words, "trace", id=f"trace-{name}") for name, words in ARGUMENTS.items()),
    ],
)
def test_it_compiles(without: tuple[Family, ...], arguments: tuple[int, int], kind: str) -> None:
    """For every shape that the tracepoint has had, without a warning; loading it needs another kernel than most."""
    from bcc import BPF

    built = program.build(FAMILIES, without=without, summary=kind == "summary", trace=kind == "trace")
    strict = (
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-function",
        "-Wno-unused-parameter",
        "-Wno-sign-compare",
    )
    flags = [f"-I{resource_dir('bpf')}", *with_arguments(built.flags, *arguments), *strict]
    compiled = BPF(text=built.text.encode(), cflags=flags)
    try:
        hooks = [name for family in built.families for hook in family.hooks for name in hook.programs]
        following = (
            ("tell_probe", "tell_tracepoint", "on_copied", "on_table", "on_bridge_table")
            if kind == "trace"
            else ()
        )
        for function in ("on_kfree_skb", *hooks, *following):
            code = compiled.dump_func(function.encode())
            assert code, f"{function} is not in the object"
            assert len(code) // 8 < 4096, f"{function} is longer than kernels before 5.2 would take"
            # beyond the limit clang ends the process, without a word that anybody sees; other kernels need other bytes
            assert stack_bytes(code) <= BPF_STACK - (48 if kind == "summary" else 64), function
    finally:
        compiled.cleanup()
