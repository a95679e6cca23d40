"""The words of symbols/*.toml: complete for every kernel we have seen, consistent, and free of numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropwatch.names import symbols, toml
from dropwatch.resources import resource_dir

CAPTURED = sorted((Path(__file__).parents[1] / "data").glob("reasons-*.txt"))
# Enumerators that are no reasons: bounds, masks, the base values of subsystems, results of mac80211's handlers.
NOT_REASONS = {"MAX", "SUBSYS_MASK", "OVS_DROP_MAX", "QDISC_DROP_MAX", "RX_CONTINUE", "RX_QUEUED"}
LONGEST_PHRASE = 70


def reasons_of(captured: Path) -> set[str]:
    lines = captured.read_text(encoding="utf-8").splitlines()
    names = {line.removeprefix("SKB_DROP_REASON_") for line in lines if not line.startswith("#")}
    return {name for name in names if not name.startswith("__")} - NOT_REASONS


def test_the_captured_lists_are_what_they_should_be() -> None:
    assert [path.stem for path in CAPTURED] == [
        "reasons-5.15",
        "reasons-6.1",
        "reasons-6.12",
        "reasons-6.18",
        "reasons-7.2",
    ]
    assert [len(reasons_of(path)) for path in CAPTURED] == [12, 66, 165, 128, 238]


@pytest.mark.parametrize("captured", CAPTURED, ids=lambda path: path.stem)
def test_every_reason_of_a_kernel_has_words(captured: Path) -> None:
    assert not reasons_of(captured) - set(symbols.reasons())


def test_reasons_are_described_properly() -> None:
    for name, reason in symbols.reasons().items():
        assert 0 < len(reason.words) <= LONGEST_PHRASE, name
        assert not reason.words.endswith("."), name
        assert reason.layer is None or reason.layer in symbols.layers(), name
        first = reason.text.split("\n")[0]
        assert not first.startswith("$ "), f"{name}: begins with a sentence"
        assert len(reason.text) > 60, name


def test_functions_are_described_properly() -> None:
    for name, function in symbols.functions().items():
        assert symbols.base_name(name) == name
        assert function.layer is None or function.layer in symbols.layers(), name
        assert function.direction in {None, "in", "out", "forward"}, name
        assert function.text.endswith("."), name
        assert "\n" not in function.text, name


def test_the_landmarks_of_a_trace() -> None:
    """Their words are short phrases: a line of a trace has room for little."""
    assert len(symbols.landmarks()) > 150
    for landmark in symbols.landmarks():
        assert landmark.step is not None
        assert re.fullmatch(r"[a-z].*[^.]", landmark.step), landmark.step
        assert len(landmark.step) < 60, landmark.step
    assert {
        name for name, known in symbols.functions().items() if known.arguments and known.step is None
    } == set()


def test_every_layer_is_used() -> None:
    used = {reason.layer for reason in symbols.reasons().values()}
    used |= {function.layer for function in symbols.functions().values()}
    assert used == {*symbols.layers(), None}


@pytest.mark.parametrize(
    "name", ["kfree_skb", "kfree_skb_reason", "sk_skb_reason_drop", "kfree_skb_list_reason"]
)
def test_freeing_functions_are_never_the_place(name: str) -> None:
    assert symbols.functions()[name].free


@pytest.mark.parametrize(
    "name", ["skb_queue_purge", "skb_release_data", "nf_hook_slow", "xfrm_input", "net_tx_action"]
)
def test_places_are_no_freeing_functions(name: str) -> None:
    assert not symbols.functions()[name].free


@pytest.mark.parametrize(
    ("spelling", "base"),
    [
        ("xfrm_input", "xfrm_input"),
        ("ip_rcv_finish_core.isra.0", "ip_rcv_finish_core"),
        ("ip_rcv_finish_core.constprop.0.isra.0.cold", "ip_rcv_finish_core"),
        ("do_xdp_generic.part.0", "do_xdp_generic"),
        ("tcp_v4_rcv.llvm.10815318127315403891", "tcp_v4_rcv"),
        ("__netif_receive_skb_core.constprop.12", "__netif_receive_skb_core"),
    ],
)
def test_what_compilers_add_to_a_name_is_taken_off(spelling: str, base: str) -> None:
    assert symbols.base_name(spelling) == base


def test_a_name_of_somebody_elses_takes_no_time() -> None:
    """In a recording anything may stand for a function's name."""
    for name in ("a" + ".isra" * 5000 + "!", "a" + ".isra.0" * 5000 + ".!", "." * 5000):
        assert symbols.base_name(name) == name


def test_a_function_is_found_by_any_spelling() -> None:
    function = symbols.function("ip_rcv_finish_core.isra.0")
    assert function is not None
    assert (function.layer, function.direction) == ("routing", "in")
    assert symbols.function(None) is None
    assert symbols.function("bpf_prog_0123456789abcdef_on_kfree_skb") is None


def test_a_reason_without_a_name_or_words_is_none() -> None:
    assert symbols.reason(None) is None
    assert symbols.reason("0x30007") is None
    found = symbols.reason("IP_RPFILTER")
    assert found is not None
    assert found.layer == "routing"


def test_symbols_hold_no_numbers() -> None:
    def values(table: dict[str, Any]) -> Iterator[object]:
        for value in table.values():
            yield from (
                values(value) if isinstance(value, dict) else value if isinstance(value, list) else (value,)
            )

    for path in resource_dir("symbols").glob("*.toml"):
        found = list(values(toml.loads(path.read_text(encoding="utf-8"))))
        assert found
        assert {type(value) for value in found} <= {str, bool}, path.name


@pytest.mark.parametrize(
    ("file", "table"), [("reasons", symbols.reasons()), ("functions", symbols.functions())]
)
def test_every_table_of_a_file_is_found_by_itself(file: str, table: dict[str, Any]) -> None:
    whole = toml.loads((resource_dir("symbols") / f"{file}.toml").read_text(encoding="utf-8"))
    assert list(table) == list(whole)
    assert [words.text for words in table.values()] == [entry["text"] for entry in whole.values()]
