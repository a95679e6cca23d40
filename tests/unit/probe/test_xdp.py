"""What counts the errors of XDP programs: both tracepoints, or a sentence why not."""

from collections.abc import Iterator
from typing import Any

from dropwatch.model.xdp import XdpError
from dropwatch.probe.xdp import TRACEPOINTS, attach_xdp, read_xdp
from dropwatch.wire.xdp import FAILED_REDIRECT, XdpException


class Probes:
    """Of a kernel that refuses for this reason, or not."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.attached: list[tuple[str, str]] = []

    def attach_tracepoint(self, tracepoint: str, program: str) -> str | None:
        self.attached.append((tracepoint, program))
        return self.refusal


class Loader:
    def items(self, table: str) -> Iterator[tuple[bytes, int]]:
        assert table == "xdp_exceptions"
        yield bytes(XdpException(1, 12, 77, 0)), 5
        yield bytes(XdpException(1, 12, 77, FAILED_REDIRECT)), 2


def test_both_tracepoints() -> None:
    probes: Any = Probes()
    said: list[str] = []
    attach_xdp(probes, said.append)
    assert (tuple(probes.attached), said) == (TRACEPOINTS, [])


def test_a_refusal_is_one_sentence() -> None:
    probes: Any = Probes("this kernel has no such tracepoint")
    said: list[str] = []
    attach_xdp(probes, said.append)
    assert said == ["errors of XDP programs are not counted: this kernel has no such tracepoint"]


def test_what_was_counted() -> None:
    loader: Any = Loader()
    assert read_xdp(loader) == {
        XdpError(1, 12, 77, "XDP_ABORTED"): 5,
        XdpError(1, 12, 77, "failed redirect"): 2,
    }
