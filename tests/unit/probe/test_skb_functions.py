"""Which functions a trace watches, on a kernel of our own; the table against the BTF of the one that runs."""

import re
from pathlib import Path

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.kernel.btf_functions import SkbFunction, functions_taking
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.names.symbols import landmarks
from dropwatch.probe import skb_functions
from dropwatch.probe.skb_functions import Chosen, ListedFunction, chosen, listing

KNOWN = {
    name: SkbFunction(name, argument, module)
    for name, argument, module in (
        *(
            ("ip_rcv", 1, None),
            ("ip_output", 4, None),
            ("vxlan_rcv", 2, "vxlan"),
            ("skb_consume_udp", 3, None),
        ),
        *(("ip_own", 2, None), ("ip_module", 5, "mod"), ("ip_twice", 1, None), ("ip_inlined", 1, None)),
        *(("__traceiter_ip", 2, None), ("nf_send_reset", 3, None)),
    )
}


@pytest.fixture
def symbols(tmp_path: Path) -> Kallsyms:
    core = (
        *(
            "_stext",
            "ip_rcv",
            "ip_output",
            "esp_input.cold",
            "ip_own",
            "ip_twice",
            "ip_twice",
            "__traceiter_ip",
        ),
        *(
            "skb_consume_udp",
            "ip6_output",
            "do_xdp_generic",
            "nf_send_reset",
            "tcp_v4_rcv",
            "tcp_v4_rcv",
            "_etext",
        ),
    )
    modules = (("vxlan_rcv", "vxlan"), ("ip_module", "mod"), ("esp_input", "esp4"))
    base = 0xFFFFFFFF81000000
    lines = [f"{base + at * 16:016x} T {name}\n" for at, name in enumerate(core)]
    lines += [
        f"{0xFFFFFFFFC0000000 + at * 4096:016x} t {name}\t[{module}]\n"
        for at, (name, module) in enumerate(modules)
    ]
    (tmp_path / "kallsyms").write_text("".join(lines))
    (tmp_path / "modules").write_text(
        "".join(
            f"{module} 4096 0 - Live 0x{0xFFFFFFFFC0000000 + at * 4096:x}\n"
            for at, (_, module) in enumerate(modules)
        )
    )
    return Kallsyms(tmp_path / "kallsyms", tmp_path / "modules")


def test_the_landmarks_that_are_here(symbols: Kallsyms) -> None:
    """BTF knows better than the table; what it must tell and does not, and what is there twice, is left out."""
    found = {one.name: (one.argument, one.socket, one.module) for one in chosen(None, symbols, KNOWN)}
    assert found == {
        "ip_rcv": (1, False, None),
        "ip_output": (4, False, None),
        "ip6_output": (3, False, None),
        "vxlan_rcv": (2, True, "vxlan"),
        "skb_consume_udp": (3, False, None),
        "esp_input": (2, False, "esp4"),
        "nf_send_reset": (3, False, None),
    }


def test_without_btf(symbols: Kallsyms) -> None:
    found = {one.name: one[1:3] for one in chosen(None, symbols, {})}
    assert (found["ip_output"], found["skb_consume_udp"]) == ((3, False), (2, True))
    assert not {"nf_send_reset", "do_xdp_generic"} & found.keys()
    assert {one.name for one in listing(None, symbols, {})} == set(found)
    with pytest.raises(CannotRunHere):
        chosen(re.compile("ip"), symbols, {})


def test_a_pattern_adds(symbols: Kallsyms) -> None:
    few, more = chosen(None, symbols, KNOWN), chosen(re.compile("^ip_|traceiter"), symbols, KNOWN)
    assert more[: len(few)] == few
    assert more[len(few) :] == (
        Chosen("ip_module", 5, False, "mod"),
        Chosen("ip_own", 2, False, None),
    )


def test_the_list(symbols: Kallsyms) -> None:
    found = listing(None, symbols, KNOWN)
    assert found == sorted(found)
    assert ListedFunction("ip_rcv", 1, None, True) in found
    assert ListedFunction("ip_own", 2, None, False) in found
    assert [one.name for one in listing(re.compile("^ip_o"), symbols, KNOWN)] == ["ip_output", "ip_own"]


def test_btf_of_an_unknown_kind(symbols: Kallsyms, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> dict[str, SkbFunction]:
        raise ValueError("a kind of the future")

    monkeypatch.setattr(skb_functions, "functions_taking", unknown)
    assert "ip_output" in {one.name for one in chosen(None, symbols)}


def test_the_table() -> None:
    for landmark in landmarks():
        assert len(landmark.arguments) <= 5, landmark.name
        assert not landmark.arguments or landmark.arguments[-1] == "skb", landmark.name


def test_the_table_against_this_kernel() -> None:
    known = functions_taking()
    if not known:
        pytest.skip("feature BTF: this kernel has none")
    described = [landmark for landmark in landmarks() if landmark.arguments and landmark.name in known]
    assert len(described) > 60
    for landmark in described:
        assert known[landmark.name].argument == landmark.arguments.index("skb") + 1, landmark.name


def test_how_often_a_name_is_there(symbols: Kallsyms) -> None:
    """And what is counted is found afterwards as without."""
    wanted = {"ip_twice", "ip_rcv", "vxlan_rcv", "not_there", "rcv"}
    before = {name: symbols.address(name) or symbols.find(name) for name in sorted(wanted)}
    assert symbols.occurrences(wanted) == {"ip_twice": 2, "ip_rcv": 1, "vxlan_rcv": 1}
    assert {name: symbols.find(name) for name in sorted(wanted)} == before
