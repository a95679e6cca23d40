"""A macvlan interface that has the address of the frame and is down."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dropwatch.causes.diagnose import diagnose
from dropwatch.host.stacked import Stacked
from dropwatch.model.drop import Drop, Frame, Where
from dropwatch.model.forwarding import Device
from tests.unit.told_host import ToldHost

TO = bytes.fromhex("02000000005a")
DOWN = Stacked("mv 0", "macvlan", False, "02:00:00:00:00:5a")
CHANGED = 1 << 62  # after every drop


Died = Callable[..., Drop]


@pytest.fixture
def died(make_drop: Callable[..., Drop], make_event: Callable[..., object]) -> Died:
    def build(place: str, reason: str | None = "NOT_SPECIFIED", to: bytes = TO) -> Drop:
        frame = Frame(place, 1, None, 0)
        event = make_event(link=to + bytes.fromhex("020000000002") + b"\x08\0")
        drop = make_drop(event=event, reason=reason)
        return replace(drop, where=Where(frame, "device", "in"), stack=(frame,))

    return build


def judged(drop: Drop, **told: object) -> tuple[str | None, str]:
    cause, verdict = diagnose(drop, ToldHost(**told))
    return cause.id if cause is not None else None, verdict.confidence


@pytest.mark.parametrize("reason", [None, "OTHERHOST"])
@pytest.mark.parametrize("place", ["ip_rcv_core", "ip6_rcv_core"])
def test_one_that_has_the_address(died: Died, place: str, reason: str | None) -> None:
    drop = died(place, reason)
    cause, verdict = diagnose(drop, ToldHost(stacked=(DOWN,)))
    assert cause is not None
    assert (cause.id, verdict.confidence) == ("device.macvlan-no-match", "certain")
    text = "mv 0 macvlan address 02:00:00:00:00:5a"
    assert verdict.culprit == Device(text, "mv 0", "macvlan", "down")
    assert verdict.fix[0].command == "ip netns exec b ip link set dev 'mv 0' up"
    assert judged(drop, stacked=(DOWN,), last_change=CHANGED) == ("device.macvlan-no-match", "likely")


@pytest.mark.parametrize(
    "there",
    [
        (),
        (replace(DOWN, up=True),),
        (DOWN, replace(DOWN, up=True)),
        (replace(DOWN, mac="02:00:00:00:00:01"),),
        None,
    ],
)
def test_a_frame_of_another_host(died: Died, there: tuple[Stacked, ...] | None) -> None:
    assert judged(died("ip_rcv_core", "OTHERHOST"), stacked=there) == ("routing.not-for-us", "likely")
    assert judged(died("ip_rcv_core", None), stacked=there) == (None, "unknown")


@pytest.mark.parametrize("reason", [None, "NOT_SPECIFIED"])
def test_one_that_gets_all(died: Died, reason: str | None) -> None:
    drop = died("macvlan_handle_frame", reason)
    alone = replace(DOWN, mac="02:00:00:00:00:01")
    assert judged(drop, stacked=(alone,)) == ("device.macvlan-no-match", "certain")
    for there in ((), (replace(DOWN, up=True),), (DOWN, alone)):
        assert judged(drop, stacked=there) == ("device.macvlan-no-match", "likely")


def test_what_may_be_a_copy_or_another_frame(died: Died) -> None:
    drop = died("macvlan_handle_frame")
    assert judged(drop, stacked=(replace(DOWN, by_source=True),)) == (None, "unknown")
    assert judged(drop, stacked=None) == (None, "unknown")
    assert judged(died("macvlan_handle_frame", "NOMEM"), stacked=(DOWN,)) == (None, "unknown")
