"""Times of changes are found at their places, and never missed: a neighbour's may count as well."""

from ctypes import c_uint64
from ipaddress import IPv4Address, IPv6Address

import pytest

from dropwatch.model.change import Change
from dropwatch.wire.changes import (
    CHANGE_KINDS,
    CHANGE_PLACES,
    CHANGES_BYTES,
    DEPARTURES_BYTES,
    KINDS,
    last_change,
    last_departure,
)

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


def test_what_went_has_a_place_of_its_own() -> None:
    """That the kernel's side writes there, the scenario shows that takes a group away (test_membership.py)."""
    every = (IPv4Address("224.0.0.18"), IPv6Address("::e000:12"), IPv6Address("ff02::12"), 18, 2)
    for number, what in enumerate(every):
        for place in range(CHANGE_PLACES):
            made = bytearray(DEPARTURES_BYTES)
            made[place * 8] = 7
            seen = [other for other in every if last_departure(bytes(made), INODE, other)]
            if what in seen:
                assert seen == [what], number
                break
        else:
            pytest.fail(f"{what} has no place")
    assert last_departure(bytes(DEPARTURES_BYTES), INODE, 2) == 0
