"""The commands of IPsec's advice are ones that `ip` and iptables understand, for either family."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.causes.advice import Step
from dropwatch.causes.ipsec import fixes
from dropwatch.model.drop import Drop, Event, Fix, Packet
from dropwatch.model.ipsec import Selector, XfrmCheck, XfrmNote, XfrmPolicy, XfrmState, XfrmTemplate
from tests.unit.causes.throwaway import namespace

ENDS = {4: ("10.9.0.2", "10.9.0.1"), 6: ("fd09::2", "fd09::1")}


@pytest.fixture(scope="module")
def tried() -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    with namespace() as enter:

        def run(command: str) -> subprocess.CompletedProcess[str]:
            try:
                return subprocess.run(
                    [*enter, *shlex.split(command.partition(" | ")[0])],
                    capture_output=True,
                    text=True,
                    timeout=1,
                )
            except subprocess.TimeoutExpired:  # monitor
                return subprocess.CompletedProcess(command, 0, "", "")

        yield run


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def state(family: int) -> XfrmState:
    saddr, daddr = map(ip_address, ENDS[family])
    return XfrmState(family, saddr, daddr, "esp", 0x1001, "tunnel", reqid=1, mark=5, mark_mask=0xFF, if_id=7)


@pytest.fixture
def drop(
    family: int,
    make_drop: Callable[..., Drop],
    make_packet: Callable[..., Packet],
    make_event: Callable[..., Event],
) -> Drop:
    saddr, daddr = ENDS[family]
    note = XfrmNote(frozenset(), check=XfrmCheck("in", ("XfrmInNoPols",)))
    packet = make_packet(family=family, saddr=saddr, daddr=daddr, proto="tcp")
    return make_drop(packet, make_event(xfrm=note))


@pytest.fixture
def policy(family: int) -> XfrmPolicy:
    return XfrmPolicy(Selector(family=family), "in", "block", 100, 8, mark=5, mark_mask=0xFF)


def all_of(drop: Drop, state: XfrmState, policy: XfrmPolicy) -> list[Fix]:
    transport = replace(state, mode="transport", mark=0, mark_mask=0, if_id=0)
    return [
        *fixes.compare_ends(state),
        *fixes.set_up_again(drop),
        *fixes.fit_the_mark(state),
        *fixes.fit_the_mark(replace(state, proto="ah")),
        *fixes.fit_the_mark(replace(state, proto="comp")),
        *fixes.fit_the_policy_mark(drop, policy),
        *fixes.show_states(state),
        *fixes.show_policies("fwd"),
        *fixes.who_sends_clear(drop, None, None),
        *fixes.who_sends_clear(drop, None, replace(policy, mark=0, mark_mask=0)),
        *fixes.add_policy(drop, "in", state),
        *fixes.add_policy(drop, "fwd", transport),
        *fixes.delete_policy(policy),
        *fixes.change_default("in"),
        *fixes.make_state(),
        *fixes.renew(state),
        *fixes.fit_the_size(drop, 1400),
        *fixes.match_if_id(),
        *fixes.ask_for_the_reqid(with_template(policy, state), state),
    ]


def with_template(policy: XfrmPolicy, state: XfrmState) -> XfrmPolicy:
    length = 32 if state.family == 4 else 128
    selector = Selector(state.family, state.saddr, length, state.daddr, length, 17, 0, 0, 5000, 0xFFFF)
    template = XfrmTemplate("esp", "tunnel", state.saddr, state.daddr)
    return replace(policy, selector=selector, action="allow", mark=0, mark_mask=0, templates=(template,))


def test_each_is_understood(
    drop: Drop, state: XfrmState, policy: XfrmPolicy, tried: Callable[..., Any], family: int
) -> None:
    for fix in all_of(drop, state, policy):
        if fix.command is None:
            continue
        done = tried(fix.command)
        assert done.returncode not in ({255} if fix.command.startswith("ip ") else {2}), (fix, done.stderr)
        assert (family == 6) == ("ip6tables" in fix.command) or "tables" not in fix.command


def test_what_opens_says_so(drop: Drop, state: XfrmState, policy: XfrmPolicy) -> None:
    opens = [fix for fix in all_of(drop, state, policy) if isinstance(fix, Step) and fix.weakens]
    ends = f"src {drop.packet.saddr} dst {drop.packet.daddr}"
    assert [(fix.command or "").split(" dir ")[0] for fix in opens] == [
        "",
        f"ip xfrm policy update {ends} proto tcp dport 5000",
        "ip xfrm policy delete",
        "ip xfrm policy setdefault in accept",
    ]


def test_the_mark_is_put_on_before_it_is_asked_for(drop: Drop, state: XfrmState, policy: XfrmPolicy) -> None:
    saddr, daddr = drop.packet.saddr, drop.packet.daddr
    first = fixes.fit_the_mark(state)[0].command or ""
    assert first.endswith(f"-A PREROUTING -p esp -s {saddr} -d {daddr} -j MARK --set-xmark 0x5/0xff")
    first = fixes.fit_the_policy_mark(drop, policy)[0].command or ""
    assert first.endswith(
        f"-A PREROUTING -m policy --dir in --pol ipsec -s {saddr} -d {daddr} -j MARK --set-xmark 0x5/0xff"
    )
    going_out = replace(drop, event=replace(drop.event, xfrm=None))
    assert fixes.fit_the_policy_mark(going_out, policy)[0].command is None


def test_commands_for_the_sender_are_for_another_host(drop: Drop, state: XfrmState) -> None:
    for given in (fixes.compare_ends(state), fixes.set_up_again(drop), fixes.show_states(state)):
        assert any(isinstance(fix, Step) and fix.elsewhere and "sender" in fix.text for fix in given)


def test_clear_text_is_let_past_a_policy_only_where_something_comes_before_it(
    drop: Drop, policy: XfrmPolicy
) -> None:
    plain = replace(policy, action="allow", mark=0, mark_mask=0)
    command = fixes.who_sends_clear(drop, None, plain)[-1].command
    assert command is not None
    assert command.endswith(f"dst {drop.packet.daddr} proto tcp dport 5000 dir in priority 99")
    for other in (None, policy, replace(plain, if_id=7), replace(plain, priority=0)):
        assert fixes.who_sends_clear(drop, None, other)[-1].command is None
