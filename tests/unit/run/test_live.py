"""A live run in each of its modes, over probes that are played; what it refuses, and what it cannot see."""

import io
import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dropwatch
from dropwatch.errors import CannotRunHere
from dropwatch.model.change import Change
from dropwatch.model.drop import Event, Frame, Totals
from dropwatch.model.filter import Filter
from dropwatch.model.journey import RawStep
from dropwatch.model.xdp import XdpError
from dropwatch.packet.parse import parse
from dropwatch.probe.resent import RawResent
from dropwatch.probe.tracer import Counts
from dropwatch.render.screen import Screen
from dropwatch.run import live as live_module
from dropwatch.run import pipeline, verdicts
from dropwatch.run.context import Nobody
from dropwatch.run.live import absent_reasons, refuse_reasons_without_names
from dropwatch.run.mode import Mode, Silent
from dropwatch.run.options import Options, View
from dropwatch.run.show import show_live
from dropwatch.run.stop import Stop
from dropwatch.wire.near import RawNear
from tests.unit.aggregate.test_journeys import udp
from tests.unit.told_host import ToldHost

if TYPE_CHECKING:
    from typing_extensions import Self


class Symbols:
    readable = True

    readings = 1

    def frame(self, address: int) -> Frame:
        return Frame("__udp4_lib_rcv", 99, None, address)


class Reasons:
    known = frozenset({"NO_SOCKET"})

    def __call__(self, number: int | None) -> str | None:
        return "NO_SOCKET" if number == 7 else None


class Probes:
    """Three datagrams to a closed port have died when they are attached; `wishes` is what the mode wanted of them."""

    blind_spots = ("probe x: not attached: none",)

    def __init__(self, event: Event, made: "list[Self]", *asked: Any, **wishes: Any) -> None:
        self.events = [replace(event, monotonic_ns=event.monotonic_ns + n) for n in range(3)]
        self.wishes = wishes
        self.read_until_ns = 1 << 62
        self.calls: list[str] = []
        made.append(self)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("closed")

    def read(self, timeout_ms: int) -> list[Event]:
        events, self.events = self.events, []
        return events

    def wake(self, layer: str) -> None:
        self.calls.append(f"{layer} awake")

    def detach(self) -> None:
        self.calls.append("detached")

    def rows(self) -> dict[bytes, int]:
        return {}

    def folded(self, *, anyway: bool) -> dict[bytes, tuple[int, int]] | None:
        return None

    def flows(self) -> list[tuple[bytes, int]]:
        return []

    def last_change(self, kind: Change, inode: int) -> int | None:
        return None

    def resent(self) -> RawResent | None:
        return None

    def xdp_errors(self) -> dict[XdpError, int]:
        return {}

    def take_steps(self) -> list[RawStep]:
        return []

    def near(self) -> tuple[list[RawNear], int]:
        return [RawNear(7, 2, parse(udp(dport=5001), 0x800, 36, 0), 9, 2, "vb")], 0

    def counts(self) -> Counts:
        return Counts({"kfree_skb": 5}, {}, 2)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, make_event: Callable[..., Event]) -> list[Probes]:
    """The probes of each run."""
    probes: list[Probes] = []
    event = make_event(packet=udp(), location=2, stack=(2,), reason=7, netns=9)
    for name, stand_in in {
        "first_obstacle": lambda: None,
        "Kallsyms": Symbols,
        "lacking": lambda user, shows_addresses, processes: (),
        "ReasonNames": Reasons,
        "Host": ToldHost,
        "own_inode": lambda: 1,
        "Tracer": lambda *asked, **wishes: Probes(event, probes, *asked, **wishes),
    }.items():
        monkeypatch.setattr(live_module, name, stand_in)
    return probes


def shown(**options: Any) -> tuple[str, str]:
    """Standard output and standard error of one run."""
    out, err = io.StringIO(), io.StringIO()
    show_live(Options(duration=0.01, **options), Screen(out, err), Stop())
    return out.getvalue(), err.getvalue()


def test_what_has_been_counted_can_be_asked_for_meanwhile(made: list[Probes]) -> None:
    asked: list[Totals] = []

    class Asking(Mode):
        def tick(self, now: float) -> str:
            asked.append(run.so_far())
            return ""

    run = live_module.Live(
        Options(duration=0.01), lambda symbols, listener: Asking(Silent()), Nobody(), Stop()
    )
    with run:
        deque(run, maxlen=0)
    (probes,) = made
    assert asked[-1].seen_by == {"kfree_skb": 5}
    assert (asked[-1].matched, asked[-1].lost) == (3, {})
    assert asked[-1].suppressed == {pipeline.NOT_PACKETS: 2}
    assert set(probes.blind_spots) <= set(asked[-1].blind_spots) <= set(run.totals.blind_spots)


def test_light_wakes_the_layer_that_a_packet_died_in(made: list[Probes]) -> None:
    shown(light=True)
    (probes,) = made
    assert probes.wishes["light"]
    assert "udp awake" in probes.calls


def test_findings_and_the_closing_statement(made: list[Probes], tmp_path: Path) -> None:
    out, err = shown(write=tmp_path / "x.whydrop")
    assert "Probably no UDP socket is bound" in out, "its namespace is gone: no sockets can be asked for"
    assert "... 2 more" in out
    starting, watching = err.splitlines()[:2]
    assert starting == "whydrop: starting: attaching probes to the kernel ..."
    assert watching == "whydrop: watching: dropped packets, in every network namespace; Ctrl-C ends"
    assert "3 dropped packets matched; 5 drops seen in all" in err
    assert "benign.unix-socket 2" in err
    (probes,) = made
    assert probes.calls == ["detached", "closed"]
    assert probes.wishes == {
        "summary": False,
        "first_of_a_sort": 0,
        "light": False,
        "follow": None,
        "near": None,
        "resent": Filter(),
    }
    with dropwatch.replay(tmp_path / "x.whydrop") as run:
        assert len(list(run)) == 3
    assert run.totals.seen_by == {"kfree_skb": 5}


def test_a_page_is_written_at_the_end_and_needs_no_packet_by_itself(
    made: list[Probes], tmp_path: Path
) -> None:
    shown(write=tmp_path / "x.html", asked="--dport 5000")
    page = (tmp_path / "x.html").read_text()
    assert "<h1>3 dropped packets of one sort</h1>" in page
    assert "whydrop --dport 5000" in page
    assert '<th scope="row">watched for</th><td>not known' not in page
    (probes,) = made
    assert probes.wishes["first_of_a_sort"] == 1, "equal ones are told together, as without a file"


@pytest.mark.parametrize("view", ["stack", "summary", "trace"])
def test_every_mode_has_a_page(view: View, made: list[Probes], tmp_path: Path) -> None:
    shown(view=view, write=tmp_path / "x.html")
    assert "<h1>3 dropped packets of one sort</h1>" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("view", "kinds"),
    [
        ("findings", ["drop"] * 3 + ["end"]),
        ("stack", ["drop"] * 3 + ["end"]),
        ("summary", ["summary", "end"]),
        ("trace", ["journey"] * 3 + ["end"]),
        ("tree", ["journey"] * 3 + ["end"]),
    ],
)
def test_each_mode(view: View, kinds: list[str], made: list[Probes]) -> None:
    out, err = shown(view=view, json=True)
    lines = [json.loads(line) for line in out.splitlines()]
    assert ([line["type"] for line in lines], err) == (kinds, "")
    assert (lines[-1]["drops_matched"], lines[-1]["drops_reported"]) == (3, 3)
    assert ("journeys" in lines[-1]) == (view in ("trace", "tree"))
    wishes = made[0].wishes
    assert wishes["summary"] == (view == "summary")
    assert (wishes["follow"] is not None) == (view in ("trace", "tree"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_first_line_becomes_the_second(
    made: list[Probes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    err = Terminal()
    show_live(Options(duration=0.01, json=True), Screen(io.StringIO(), err), Stop())
    starting, watching = err.getvalue().split("\r\x1b[K")
    assert starting == "whydrop: starting: attaching probes to the kernel ..."
    assert watching == "whydrop: watching: dropped packets, in every network namespace; Ctrl-C ends\n"


def test_on_a_terminal_nothing_starts_any_more_where_it_cannot(
    made: list[Probes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(live_module, "first_obstacle", lambda: CannotRunHere("no BTF", "boot another kernel"))
    err = Terminal()
    with pytest.raises(CannotRunHere):
        show_live(Options(), Screen(io.StringIO(), err), Stop())
    assert err.getvalue().endswith("...\r\x1b[K")


def test_quiet_says_nothing_until_it_is_over(made: list[Probes]) -> None:
    _, err = shown(quiet=True)
    assert err.startswith("whydrop: 3 dropped packets matched")


def test_where_nothing_matched_it_says_what_was_nearest_and_what_arrived(made: list[Probes]) -> None:
    wanted = Filter(dport=((4999, 4999),))
    out, err = shown(wanted=wanted)
    assert out == ""
    told = " ".join(err.partition("0 dropped packets matched")[2].split())
    assert "nearest: 3 udp packets to port 5000, not 4999" in told, "which were read, and refused"
    assert "7 udp packets to port 5001, not 4999" in told, "which the kernel kept"
    assert "not seen: what a NIC, a driver or another host loses" in told
    assert shown(wanted=wanted, json=True)[1] == shown(wanted=wanted, view="folded", json=True)[1] == ""
    assert "nearest" not in shown(wanted=wanted, quiet=True)[1]
    assert [probes.wishes["near"] for probes in made] == [wanted, None, None, None]


def test_what_matched_needs_no_other_words(made: list[Probes]) -> None:
    assert "nearest" not in shown()[1]


def test_folded_stacks_stand_at_the_end(made: list[Probes]) -> None:
    assert shown(view="folded")[0] == "__udp4_lib_rcv 3\n"


def test_a_program_gets_objects_and_a_block_that_is_left_ends_the_run(made: list[Probes]) -> None:
    with dropwatch.live(dport=5000) as run:
        finding = next(iter(run))
        assert made[-1].calls == []
    assert finding.cause_id == "socket.udp-no-listener"
    assert made[-1].calls == ["detached", "closed"]
    assert run.totals.matched == 3
    with pytest.raises(KeyError), dropwatch.live() as run:
        raise KeyError
    assert made[-1].calls == ["closed"]
    assert not run.is_over


def test_what_could_not_be_read_any_more_is_a_blind_spot(made: list[Probes]) -> None:
    with dropwatch.live() as run:
        pass
    assert (
        "3 events that had come were not looked at: whydrop was told to stop at once"
        in run.totals.blind_spots
    )


def test_without_reasons_in_the_kernel_a_filter_by_reason_cannot_run() -> None:
    wanted = Filter(reasons=frozenset({"NO_SOCKET"}))
    with pytest.raises(CannotRunHere, match="gives no drop reasons") as error:
        refuse_reasons_without_names(wanted, frozenset())
    assert "--cause" in error.value.hint
    refuse_reasons_without_names(wanted, frozenset({"NO_SOCKET"}))
    refuse_reasons_without_names(Filter(not_reasons=frozenset({"NO_SOCKET"})), frozenset())


def test_a_reason_that_this_kernel_lacks_is_a_blind_spot() -> None:
    wanted = Filter(reasons=frozenset({"NO_SOCKET", "OVS_DROP_METER", "TC_EGRESS"}))
    found = absent_reasons(wanted, frozenset({"NO_SOCKET", "ovs_drop_meter"}))
    assert found == ("drop reason TC_EGRESS: this kernel has none of that name, unless a module brings it",)


def test_a_drop_that_cannot_be_judged_costs_a_sentence(
    made: list[Probes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, or with us: the others are told, and so is the end."""
    diagnose, left = pipeline.judge(), iter((KeyError("\x1b]0;"),))

    def judge(*given: Any) -> verdicts.Diagnosis:
        for error in left:
            raise error
        return diagnose(*given)

    monkeypatch.setattr(pipeline, "judge", lambda: judge)
    out, err = shown(json=True)
    *told, end = [json.loads(line) for line in out.splitlines()]
    assert (len(told), end["drops_matched"], err) == (2, 2, "")
    (spot,) = [spot for spot in end["blind_spots"] if "not judged" in spot]
    assert spot.startswith(
        "1 drop was not judged: this should not have happened, please report it (KeyError: "
    )
