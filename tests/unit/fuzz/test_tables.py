"""Tables of iptables and ebtables as the kernel gives them, but not whole: read, or refused with an OSError."""

import base64
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.host.xt import blob, ebt_blob
from dropwatch.host.xt.ebt_listing import decide
from dropwatch.host.xt.words import comment, header_words, rule_words, target_name
from dropwatch.model.netfilter import XtFamily
from tests.unit.fuzz.changes import changed

RECORDED = json.loads((Path(__file__).parents[1] / "data/legacy-tables-6.1.json").read_text())
FAMILIES = ("ip", "ip6", "arp")


def unpacked(family: str) -> bytes:
    return zlib.decompress(base64.b64decode(RECORDED[family]["blob"]))


BLOBS = {family: unpacked(family) for family in (*FAMILIES, "bridge")}


@given(st.sampled_from(FAMILIES), st.data())
def test_any_table_is_read_or_refused(family: Any, data: st.DataObject) -> None:
    hooks = {int(hook): tuple(ends) for hook, ends in RECORDED[family]["hooks"].items()}
    raw = bytearray(data.draw(changed([BLOBS[family]])))
    with suppress(OSError):
        table = blob.parse(cast(XtFamily, family), "filter", raw, hooks)
        for offset in table.chain_of:
            assert rule_words(table, offset).isprintable()
            assert (comment(table, offset) or "").isprintable()
            assert (target_name(table, offset) or "").isprintable()


@given(changed([BLOBS["bridge"]]), st.integers(0, 63), st.sets(st.integers(0, 6)))
def test_any_table_of_a_bridge_is_read_or_refused(raw: bytes, hooks: int, counted: set[int]) -> None:
    with suppress(OSError):
        table = ebt_blob.parse("filter", raw, hooks)
        for hook in range(6):
            decide(table, hook, tuple(counted))


@given(st.sampled_from(FAMILIES), st.binary(max_size=300))
def test_any_header_has_words_or_none(family: Any, raw: bytes) -> None:
    assert all(word.isprintable() for word in header_words(family, raw))
