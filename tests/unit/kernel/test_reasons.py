"""Names of drop reasons: what the running kernel says, and the shapes that its enums have had."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dropwatch.kernel import btf
from dropwatch.kernel.reasons import ReasonNames, core_names, subsystem_names
from dropwatch.names import symbols
from dropwatch.resources import resource_dir

VMLINUX = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(scope="module")
def names() -> ReasonNames:
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    return ReasonNames()


@pytest.fixture(scope="module")
def enumerators() -> dict[str, int]:
    """enum skb_drop_reason as bpftool has it."""
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    if shutil.which("bpftool") is None:
        pytest.skip("feature bpftool: not installed")
    command = ["bpftool", "btf", "dump", "file", str(VMLINUX), "format", "raw"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^\[\d+\] ENUM 'skb_drop_reason' .*\n((?:\t.*\n)*)", text, re.M)
    return {name: int(value) for name, value in re.findall(r"'(\w+)' val=(\d+)", found[1])} if found else {}


def test_as_bpftool_has_them(names: ReasonNames, enumerators: dict[str, int]) -> None:
    prefix = "SKB_DROP_REASON_"
    expected = {
        number: name.removeprefix(prefix)
        for name, number in enumerators.items()
        if name.startswith(prefix) and name not in (f"{prefix}MAX", f"{prefix}SUBSYS_MASK")
    }
    assert bool(expected) == bool(names.known), "a kernel has reasons or it has none"
    assert {number: names(number) for number in expected} == expected


def test_names_are_bare(names: ReasonNames) -> None:
    for name in names.known:
        assert not name.startswith(("SKB_DROP_REASON_", "__")), name
        assert not name.endswith("_MAX"), name
        assert re.fullmatch(r"[A-Z0-9_]+", name), name
    assert "SKB_NOT_DROPPED_YET" not in names.known
    assert "SUBSYS_MASK" not in names.known


def test_every_name_has_words(names: ReasonNames) -> None:
    if not (resource_dir("symbols") / "reasons.toml").exists():
        pytest.fail("symbols/reasons.toml is missing")
    assert names.known - set(symbols.reasons()) == set()


def test_unknown_numbers_are_shown_in_hexadecimal(names: ReasonNames) -> None:
    assert names(0x7FFF) == "0x7fff"
    assert names(0x7FFF_0001) == "0x7fff0001"
    assert names(0x7FFF) == "0x7fff", "also when asked again"


def test_no_reason_no_name(names: ReasonNames) -> None:
    assert names(None) is None


def test_the_module_is_asked_only_when_it_is_loaded() -> None:
    """Otherwise its name would have to be guessed: the file in /sys/kernel/btf comes with the module."""
    if not VMLINUX.exists():
        pytest.skip("feature BTF: this kernel has none")
    for module in ("mac80211", "openvswitch"):
        assert (btf.module(module) is not None) == (VMLINUX.parent / module).exists()


# Numbers as three kernels had them: nothing may depend on them.
LINUX_5_15 = {
    "SKB_DROP_REASON_NOT_SPECIFIED": 0,
    "SKB_DROP_REASON_NO_SOCKET": 1,
    "SKB_DROP_REASON_MAX": 12,
}
LINUX_6_1 = {
    "SKB_NOT_DROPPED_YET": 0,
    "SKB_DROP_REASON_NOT_SPECIFIED": 1,
    "SKB_DROP_REASON_NO_SOCKET": 2,
    "SKB_DROP_REASON_MAX": 66,
}
LINUX_7_2 = {
    "SKB_NOT_DROPPED_YET": 0,
    "SKB_CONSUMED": 1,
    "SKB_DROP_REASON_NOT_SPECIFIED": 2,
    "SKB_DROP_REASON_NO_SOCKET": 3,
    "SKB_DROP_REASON_MAX": 130,
    "SKB_DROP_REASON_SUBSYS_MASK": 0xFFFF0000,
}


@pytest.mark.parametrize(
    ("enumerators", "expected"),
    [
        ({}, {}),
        (LINUX_5_15, {0: "NOT_SPECIFIED", 1: "NO_SOCKET"}),
        (LINUX_6_1, {1: "NOT_SPECIFIED", 2: "NO_SOCKET"}),
        (LINUX_7_2, {1: "SKB_CONSUMED", 2: "NOT_SPECIFIED", 3: "NO_SOCKET"}),
    ],
)
def test_core_names(enumerators: dict[str, int], expected: dict[int, str]) -> None:
    assert core_names(enumerators) == expected


@pytest.mark.parametrize(
    ("enumerators", "expected"),
    [
        ({}, {}),
        (
            {"RX_CONTINUE": 1, "RX_QUEUED": 0, "RX_DROP_U_MIC_FAIL": 0x10001, "RX_DROP_U_REPLAY": 0x10002},
            {0x10001: "RX_DROP_U_MIC_FAIL", 0x10002: "RX_DROP_U_REPLAY"},
        ),
        (
            {"__OVS_DROP_REASON": 0x20000, "OVS_DROP_LAST_ACTION": 0x20001, "OVS_DROP_MAX": 0x2000C},
            {0x20001: "OVS_DROP_LAST_ACTION"},
        ),
        (
            {"QDISC_DROP_UNSPEC": 0, "__QDISC_DROP_REASON": 0x30000, "QDISC_DROP_GENERIC": 0x30001},
            {0x30001: "QDISC_DROP_GENERIC"},
        ),
    ],
    ids=["none", "mac80211", "openvswitch", "qdisc"],
)
def test_subsystem_names_do_not_touch_the_core(enumerators: dict[str, int], expected: dict[int, str]) -> None:
    assert subsystem_names(enumerators, LINUX_7_2["SKB_DROP_REASON_SUBSYS_MASK"]) == expected


def test_without_subsystems_in_the_core_there_are_none() -> None:
    assert subsystem_names({"RX_DROP_U_MIC_FAIL": 0x10001}, 0) == {}
