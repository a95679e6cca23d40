"""Times of changes are found at their places, and never missed: a neighbour's may count as well."""

from ctypes import c_uint64

from dropwatch.model.change import Change
from dropwatch.wire.changes import CHANGE_KINDS, CHANGE_PLACES, CHANGES_BYTES, KINDS, last_change

INODE = 4026532234


def times(**at: int) -> bytes:
    """`policies_4026532234=7`"""
    made = (c_uint64 * (CHANGE_PLACES * CHANGE_KINDS))()
    for key, time in at.items():
        kind, _, inode = key.rpartition("_")
        made[int(inode) % CHANGE_PLACES * CHANGE_KINDS + [*KINDS].index(_kind(kind))] = time
    return bytes(made)


def _kind(text: str) -> Change:
    return next(kind for kind in KINDS if kind == text)


def test_there_is_room_for_each_kind() -> None:
    assert len(KINDS) <= CHANGE_KINDS
    assert len(times()) == CHANGES_BYTES


def test_a_change_is_of_its_kind_and_its_namespace() -> None:
    seen = times(policies_4026532234=7)
    assert last_change(seen, "policies", INODE) == 7
    assert last_change(seen, "SAs", INODE) == 0
    assert last_change(seen, "policies", INODE + 1) == 0
    assert last_change(seen, "policies", INODE + CHANGE_PLACES) == 7, "it shares the place"


def test_what_changed_for_all_counts_for_each() -> None:
    seen = times(sysctls_0=9, sysctls_4026532234=7)
    assert last_change(seen, "sysctls", INODE) == 9
    assert last_change(times(sysctls_0=5, sysctls_4026532234=7), "sysctls", INODE) == 7
