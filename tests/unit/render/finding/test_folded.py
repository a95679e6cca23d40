"""Folded stacks, as flame graph tools read them."""

import re
from collections.abc import Callable

import pytest

from dropwatch.model.drop import Drop, Finding, Frame, Totals
from dropwatch.render.finding.folded import FoldedRenderer

NOTHING = Totals({}, 0, 0, {}, {}, ())


@pytest.fixture
def folded(make_finding: Callable[..., Finding], make_drop: Callable[..., Drop]) -> Callable[..., str]:
    def run(*stacks: tuple[Frame, ...]) -> str:
        renderer = FoldedRenderer()
        for stack in stacks:
            assert renderer.finding(make_finding(make_drop(stack=stack)), 0.0) == ""
            assert renderer.tick(0.0) == ""
        return renderer.end(NOTHING, 1.0)

    return run


def frames(*names: str) -> tuple[Frame, ...]:
    return tuple(Frame(name, 16, None, 0xFFFF0000 + at) for at, name in enumerate(names))


def test_outermost_first_the_most_frequent_first(folded: Callable[..., str]) -> None:
    first, second = frames("udp_rcv", "ip_rcv", "main"), frames("tcp_rcv", "ip_rcv", "main")
    assert folded(second, first, first) == "main;ip_rcv;udp_rcv 2\nmain;ip_rcv;tcp_rcv 1\n"


def test_nothing_seen_is_nothing_written(folded: Callable[..., str]) -> None:
    assert folded() == ""


def test_places_without_a_name_and_no_stack_at_all(folded: Callable[..., str]) -> None:
    nameless = (Frame(None, 0, None, 0xC0001234), *frames("main"))
    assert folded(nameless, ()) == "[unknown] 1\nmain;0xc0001234 1\n"


def test_no_name_breaks_the_format(folded: Callable[..., str]) -> None:
    text = folded(frames("bpf_prog;x y\n2", "main"))
    assert re.fullmatch(r"main;\S+ 1\n", text)
    assert text.count(";") == 1
