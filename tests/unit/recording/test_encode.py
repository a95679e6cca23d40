"""What a person finds in a file: named fields, and only those that say something."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

import pytest

from dropwatch.host.netfilter.questions import Firewalls
from dropwatch.model.address import KernelAddress
from dropwatch.model.drop import Frame
from dropwatch.recording.encode import encode


@dataclass(frozen=True)
class Record:
    kind: ClassVar[str] = "record"
    at: KernelAddress = 0
    stack: tuple[KernelAddress, ...] = ()
    number: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    inner: "Record | None" = None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (b"\x00\xff", "00ff"),
        (ip_address("fd00::2"), "fd00::2"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (frozenset("fedcba"), list("abcdef")),
        ({1: b"a", 20: None}, {"1": "61", "20": None}),
        (Firewalls(("inet t",), ()), {"nft": ["inet t"], "legacy": []}),
        (
            Frame("udp_rcv", 31, None, 0xFFFFFFFF81000010),
            {"function": "udp_rcv", "offset": 31, "module": None, "address": "0xffffffff81000010"},
        ),
        (Record(), {"kind": "record"}),
        (
            Record(at=16, stack=(0, 255), number=7, parts={"a": 1}, inner=Record(number=8)),
            {
                "kind": "record",
                "at": "0x10",
                "stack": ["0x0", "0xff"],
                "number": 7,
                "parts": {"a": 1},
                "inner": {"kind": "record", "number": 8},
            },
        ),
    ],
)
def test_what_is_written(value: Any, written: Any) -> None:
    assert encode(value) == written


def test_the_order_of_keys_is_that_of_the_fields() -> None:
    assert [*encode(Record(parts={"z": 1, "a": 2}, number=3, at=4))] == ["kind", "at", "number", "parts"]
