"""What the release carries: made of the text of today, fit for every kernel, and proven."""

import importlib.util
import os
import platform
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere, WhydropError
from dropwatch.probe import attach_drop, resent
from dropwatch.probe.families import FAMILIES
from dropwatch.probe.programs import release
from dropwatch.probe.programs.compiled import PLACEHOLDERS, Compiled, immediate, pack, placeholders
from dropwatch.probe.programs.compiler import MACHINES, compile_here
from dropwatch.probe.programs.text import MODES, Mode, join
from dropwatch.resources import resource_dir

BPF_STACK = 512  # bytes
# linux/bpf.h
BPF_JMP, BPF_JMP32, BPF_JA, BPF_CALL, BPF_EXIT = 5, 6, 0x00, 0x80, 0x90
BPF_ST, BPF_STX, BPF_ADD_IMMEDIATE, BPF_MOVE_IMMEDIATE, FRAME_POINTER = 2, 3, 0x07, 0xB7, 10


@pytest.fixture
def bpf(tmp_path: Path) -> Path:
    """A copy of bpf/ to spoil."""
    return Path(shutil.copytree(resource_dir("bpf"), tmp_path / "bpf"))


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


LONGEST = 5500  # instructions: kernels with a ring buffer take a million, but what runs at each death is kept in view
# Beyond the limit clang ends the process, without a word that anybody sees; other compilers need other bytes.
LEFT = {"findings": 56, "summary": 48, "trace": 64}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("mode", MODES)
def test_the_release_carries_programs_that_every_kernel_can_take(mode: Mode, machine: str) -> None:
    """Made of the text of today (`make programs`), short enough, and every one that is attached."""
    carried = release.carried(join(FAMILIES, mode), machine)
    assert carried is not None, "bpf/ or a name has changed: make programs"
    hooks = {name for family in FAMILIES for hook in family.hooks for name in hook.programs}
    calls = {call.program for family in FAMILIES for call in family.tail_calls}
    following = {"tell_probe", "tell_tracepoint", "on_copied", "on_table"} if mode == "trace" else set()
    assert carried.programs.keys() >= {
        "on_kfree_skb",
        "on_kfree_skb_again",
        "on_module",
        "on_near",
        resent.DEATHS,
        *(program for _, program in resent.TRACEPOINTS),
        *resent.RESENDS[0].programs,
        *hooks,
        *calls,
        *following,
    }
    for name, code in carried.programs.items():
        assert 0 < len(code) // 8 < LONGEST, name
        assert stack_bytes(code) <= BPF_STACK - LEFT[mode], name
        assert loop_without_end(code) is None, f"{name}: see end_of_body() in bpf/read.h"
        alike = [at for at in range(0, len(code), 8) if 0 <= immediate(code, at) - PLACEHOLDERS < 0x10000]
        assert alike == list(placeholders(code, carried.names)), name


@pytest.mark.parametrize("mode", MODES)
def test_every_tail_call_has_its_place(mode: Mode) -> None:
    carried = release.carried(join(FAMILIES, mode))
    assert carried is not None
    places = {shape.name: shape.entries for shape in carried.maps}
    calls = [call for family in FAMILIES for call in family.tail_calls] + [
        attach_drop.AGAIN,
        attach_drop.SEGMENT,
        resent.REFUSED_SYN,
    ]
    for call in calls:
        assert call.index < places[call.table], call
        assert call.program in carried.programs


def loop_without_end(code: bytes) -> tuple[int, int] | None:
    """A way back that no jump makes: from, to. Kernels before 5.13 refuse it (check_cfg in kernel/bpf/verifier.c)."""
    instructions = [struct.unpack_from("=BBhi", code, at) for at in range(0, len(code), 8)]

    def ways(at: int) -> Iterator[tuple[int, bool]]:
        """Where it goes on, and whether by a jump; deeper first, as the kernel's stack has it."""
        operation, _, offset, _ = instructions[at]
        is_jump = operation & 7 in (BPF_JMP, BPF_JMP32) and operation & 0xF0 != BPF_CALL
        if operation == BPF_JMP | BPF_EXIT:
            return
        if operation != BPF_JMP | BPF_JA:
            yield at + 1, is_jump
        if is_jump:
            yield at + offset + 1, True

    open_ways = {0: ways(0)}
    done: set[int] = set()
    path = [0]
    while path:
        for there, by_jump in open_ways[path[-1]]:
            if there in open_ways and there not in done and not by_jump:
                return path[-1], there
            if there not in open_ways:
                open_ways[there] = ways(there)
                path.append(there)
                break
        else:
            done.add(path.pop())
    return None


@pytest.fixture
def bcc() -> None:
    if importlib.util.find_spec("bcc") is None:
        pytest.skip("feature bcc: not installed for this Python")
    if os.geteuid() != 0:
        pytest.skip("feature root: bcc makes the maps while it compiles")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.usefixtures("bcc")
def test_what_the_release_carries_is_what_the_compiler_makes_of_the_text(machine: str) -> None:
    """Byte for byte with the compiler of the release (Debian 12); and nothing but the placeholders depends on them."""
    if platform.freedesktop_os_release().get("VERSION_CODENAME") != "bookworm":
        pytest.skip(
            "feature bookworm: the release is made with Debian 12's compiler, and this is another one"
        )
    made = release.compile_all(machine)
    for mode in MODES:
        assert made[mode] == release.carried(join(FAMILIES, mode), machine), mode


STRICT = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-sign-compare")


@pytest.mark.usefixtures("bcc")
def test_the_text_compiles_without_a_warning() -> None:
    made = compile_here([join(FAMILIES, mode) for mode in MODES], flags=STRICT)
    assert made.keys() == set(MODES)


@pytest.mark.parametrize("folded", [False, True])
def test_a_number_that_the_compiler_folds_is_found(folded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the programs differ by more than their placeholders."""

    def compiled(_: object, *, machine: str, placeholders: int = PLACEHOLDERS) -> dict[str, Compiled]:
        assert machine == "aarch64"
        numbers = (placeholders + 1, placeholders // 2 if folded else 7)
        code = b"".join(struct.pack("=BBhi", BPF_MOVE_IMMEDIATE, 0, 0, number) for number in numbers)
        return {"findings": Compiled("digest", ("X", "Y"), (), {"on_spoilt": code})}

    monkeypatch.setattr(release, "compile_here", compiled)
    if folded:
        with pytest.raises(WhydropError, match=r"on_spoilt \(findings\) has another shape"):
            release.compile_all("aarch64")
    else:
        assert release.compile_all("aarch64") == compiled(None, machine="aarch64")


@pytest.mark.usefixtures("bcc")
def test_a_text_that_does_not_compile_is_an_error_in_the_compilers_words(bpf: Path) -> None:
    (bpf / "modules.c").write_text("int on_nothing(struct pt_regs *ctx) { return nothing; }\n")
    with pytest.raises(
        CannotRunHere, match=r"do not compile: .*error: use of undeclared identifier 'nothing'"
    ):
        compile_here([join(FAMILIES, "findings", bpf)])


def test_another_text_is_not_what_the_release_carries(bpf: Path) -> None:
    (bpf / "event.h").write_text((bpf / "event.h").read_text() + "/* changed */\n")
    assert release.carried(join(FAMILIES, "findings", bpf)) is None


def test_the_same_text_elsewhere_is(bpf: Path) -> None:
    assert release.carried(join(FAMILIES, "findings", bpf)) is not None


@pytest.mark.parametrize("spoilt", [b"", b"nonsense", pack({})])
def test_a_file_that_is_damaged_is_as_good_as_none(spoilt: bytes, bpf: Path) -> None:
    for carried in bpf.glob("programs.*"):
        carried.write_bytes(spoilt)
    assert release.carried(join(FAMILIES, "findings", bpf)) is None
