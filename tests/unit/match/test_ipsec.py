"""Which dropped IPsec packets can carry what a filter asks for, situation by situation."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from dropwatch.host.ipsec.config import XfrmConfig
from dropwatch.match.ipsec import TooManyPolicies, match_ipsec
from dropwatch.model.drop import Direction, Drop, Event, Frame, MatchResult, Packet, Where
from dropwatch.model.filter import Filter, Network
from dropwatch.model.ipsec import Selector, XfrmNote, XfrmPolicy, XfrmState, XfrmTemplate

Esp = Callable[..., Drop]

UDP, TCP, ICMP = 17, 6, 1
A, B = "10.9.0.1", "10.9.0.2"
PORT = Filter(dport=((5000, 5000),))
UDP_PORT = Filter(dport=((5000, 5000),), protos=frozenset({UDP}))


def net(text: str) -> tuple[Network, ...]:
    return (ip_network(text),)


def sel(
    src: str = "0.0.0.0/0",
    dst: str = "0.0.0.0/0",
    proto: int = 0,
    sport: int | None = None,
    dport: int | None = None,
    sport_mask: int = 0xFFFF,
    dport_mask: int = 0xFFFF,
) -> Selector:
    source, destination = ip_network(src), ip_network(dst)
    return Selector(
        family=source.version,
        saddr=source.network_address if source.prefixlen else None,
        prefixlen_s=source.prefixlen,
        daddr=destination.network_address if destination.prefixlen else None,
        prefixlen_d=destination.prefixlen,
        proto=proto,
        sport=sport or 0,
        sport_mask=sport_mask if sport is not None else 0,
        dport=dport or 0,
        dport_mask=dport_mask if dport is not None else 0,
    )


def tmpl(
    mode: str = "transport", src: str | None = None, dst: str | None = None, proto: str = "esp", **fields: Any
) -> XfrmTemplate:
    source, destination = (ip_address(end) if end else None for end in (src, dst))
    return XfrmTemplate(proto, mode, source, destination, **fields)


def policy(
    selector: Selector,
    *templates: XfrmTemplate,
    dir: str = "in",
    action: str = "allow",
    priority: int = 0,
    **fields: Any,
) -> XfrmPolicy:
    return XfrmPolicy(selector, dir, action, priority, index=8, templates=templates, **fields)


def sa(
    src: str = A,
    dst: str = B,
    spi: int = 0x1001,
    mode: str = "transport",
    proto: str = "esp",
    reqid: int = 1,
    **fields: Any,
) -> XfrmState:
    source = ip_address(src)
    return XfrmState(source.version, source, ip_address(dst), proto, spi, mode, reqid=reqid, **fields)


def config(*things: XfrmState | XfrmPolicy) -> XfrmConfig:
    states = tuple(thing for thing in things if isinstance(thing, XfrmState))
    policies = tuple(thing for thing in things if isinstance(thing, XfrmPolicy))
    return XfrmConfig(states, policies, 0)


TO_5000 = sel(f"{A}/32", f"{B}/32", UDP, dport=5000)
TRANSPORT = policy(TO_5000, tmpl(reqid=1))
NETS = sel("192.168.1.0/24", "192.168.2.0/24")
TUNNEL = policy(NETS, tmpl("tunnel", A, B, reqid=1))


@pytest.fixture
def esp(
    make_drop: Callable[..., Drop], make_packet: Callable[..., Packet], make_event: Callable[..., Event]
) -> Esp:
    """A dropped ESP packet; `state` is the SA that the probe saw with it, `spi` the one the kernel did not find."""

    def build(
        src: str = A,
        dst: str = B,
        spi: int = 0x1001,
        state: XfrmState | None = None,
        direction: Direction | None = "in",
        proto: str = "esp",
        mark: int = 0,
        note: XfrmNote | None = None,
        **packet: Any,
    ) -> Drop:
        fields = {"family": ip_address(src).version, "sport": None, "dport": None} | packet
        shown = make_packet(proto=proto, saddr=src, daddr=dst, spi=spi, mark=mark, **fields)
        if state is not None:
            note = XfrmNote(state=state)
        where = Where(Frame("xfrm_input", 0, None, 0), "ipsec", direction)
        return make_drop(shown, make_event(xfrm=note), where=where)

    return build


def test_the_policy_that_uses_the_sa_covers_the_port(esp: Esp) -> None:
    found = match_ipsec(esp(state=sa()), PORT, config(sa(), TRANSPORT))
    assert found is not None
    assert found.how == "ipsec"
    assert found.why == f"policy src {A}/32 dst {B}/32 proto udp dport 5000 dir in uses this SA (reqid 1)"


@pytest.mark.parametrize(
    "wanted",
    [
        PORT,
        UDP_PORT,
        Filter(protos=frozenset({UDP})),
        Filter(port=((5000, 5000),)),
        Filter(dport=((4990, 5010),)),
        Filter(sport=((1234, 1234),)),
        Filter(families=frozenset({4}), dport=((5000, 5000),)),
        Filter(saddr=net(f"{A}/32"), dport=((5000, 5000),)),
        Filter(daddr=net("10.9.0.0/24"), dport=((5000, 5000),)),
        Filter(host=net(f"{B}/32"), dport=((5000, 5000),)),
        Filter(host=net(f"{A}/32"), port=((5000, 5000),)),
        Filter(dport=((80, 80), (5000, 5000))),
        Filter(protos=frozenset({TCP, UDP})),
    ],
)
def test_filters_that_the_transport_policy_can_serve(esp: Esp, wanted: Filter) -> None:
    assert match_ipsec(esp(state=sa()), wanted, config(sa(), TRANSPORT)) is not None


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(dport=((5001, 5001),)),
        Filter(dport=((5000, 5000),), protos=frozenset({TCP})),
        Filter(dport=((5000, 5000),), protos=frozenset({ICMP})),
        Filter(protos=frozenset({ICMP})),
        Filter(sport=((5000, 5000),), dport=((80, 80),)),
        Filter(families=frozenset({6}), dport=((5000, 5000),)),
        Filter(saddr=net(f"{B}/32"), dport=((5000, 5000),)),
        Filter(daddr=net("10.9.0.3/32"), dport=((5000, 5000),)),
        Filter(host=net("10.9.0.3/32"), dport=((5000, 5000),)),
        Filter(saddr=net("fc00::/7"), dport=((5000, 5000),)),
    ],
)
def test_filters_that_the_transport_policy_cannot_serve(esp: Esp, wanted: Filter) -> None:
    assert match_ipsec(esp(state=sa()), wanted, config(sa(), TRANSPORT)) is None


def test_in_transport_mode_the_flow_has_the_addresses_of_the_packet(esp: Esp) -> None:
    wide = policy(sel(proto=UDP, dport=5000), tmpl(reqid=1))
    others = Filter(saddr=net("10.9.0.7/32"), dport=((5000, 5000),))
    assert match_ipsec(esp(state=sa()), PORT, config(sa(), wide)) is not None
    assert match_ipsec(esp(state=sa()), others, config(sa(), wide)) is None


def test_in_tunnel_mode_the_flow_has_the_addresses_of_the_selector(esp: Esp) -> None:
    state = sa(mode="tunnel")
    inner = Filter(saddr=net("192.168.1.5/32"), dport=((5000, 5000),))
    outer = Filter(saddr=net(f"{A}/32"), dport=((5000, 5000),))
    found = match_ipsec(esp(state=state), inner, config(state, TUNNEL))
    assert found is not None
    assert found.why == "policy src 192.168.1.0/24 dst 192.168.2.0/24 dir in uses this SA (reqid 1)"
    assert match_ipsec(esp(state=state), outer, config(state, TUNNEL)) is None


def test_a_forward_policy_counts_like_an_incoming_one(esp: Esp) -> None:
    state = sa(mode="tunnel")
    assert match_ipsec(esp(state=state), PORT, config(state, replace(TUNNEL, dir="fwd"))) is not None


def test_the_family_asked_for_is_that_inside_the_tunnel(esp: Esp) -> None:
    state = sa("fc00::1", "fc00::2", mode="tunnel")
    four_in_six = policy(NETS, tmpl("tunnel", "fc00::1", "fc00::2", reqid=1))
    drop = esp("fc00::1", "fc00::2", state=state)
    four = Filter(families=frozenset({4}), dport=((5000, 5000),))
    six = Filter(families=frozenset({6}), dport=((5000, 5000),))
    assert match_ipsec(drop, four, config(state, four_in_six)) is not None
    assert match_ipsec(drop, Filter(daddr=net("192.168.2.0/24")), config(state, four_in_six)) is not None
    assert match_ipsec(drop, six, config(state, four_in_six)) is None


def test_ipv6_in_transport_mode(esp: Esp) -> None:
    state = sa("fc00::1", "fc00::2")
    rule = policy(sel("fc00::/64", "fc00::2/128", TCP, dport=443), tmpl(reqid=1))
    drop = esp("fc00::1", "fc00::2", state=state)
    assert match_ipsec(drop, Filter(dport=((443, 443),)), config(state, rule)) is not None
    assert match_ipsec(drop, Filter(dport=((80, 80),)), config(state, rule)) is None


def test_beet_mode_has_its_addresses_in_the_selector(esp: Esp) -> None:
    state = sa(mode="beet", selector=sel("10.1.0.1/32", "10.1.0.2/32"))
    rule = policy(sel("10.1.0.1/32", "10.1.0.2/32"), tmpl("beet", A, B, reqid=1))
    assert match_ipsec(esp(state=state), Filter(saddr=net("10.1.0.1/32")), config(state, rule)) is not None
    assert match_ipsec(esp(state=state), Filter(saddr=net("10.1.0.3/32")), config(state, rule)) is None


def test_a_port_mask_is_a_range(esp: Esp) -> None:
    rule = policy(sel(proto=UDP, dport=5000, dport_mask=0xFFF8), tmpl(reqid=1))
    assert match_ipsec(esp(state=sa()), Filter(dport=((5007, 5007),)), config(sa(), rule)) is not None
    assert match_ipsec(esp(state=sa()), Filter(dport=((5008, 5008),)), config(sa(), rule)) is None


@pytest.mark.parametrize(
    ("template", "uses"),
    [
        (tmpl(reqid=1), True),
        (tmpl(reqid=0), True),
        (tmpl(reqid=2), False),
        (tmpl(reqid=1, proto="ah"), False),
        (tmpl("tunnel", A, B, reqid=1), False),
        (tmpl(reqid=1, spi=0x1001), True),
        (tmpl(reqid=1, spi=0x1002), False),
        (tmpl(reqid=1, optional=True), True),
        (tmpl(src="10.9.0.7", dst="10.9.0.8", reqid=1), True),
    ],
)
def test_which_templates_accept_a_transport_sa(esp: Esp, template: XfrmTemplate, uses: bool) -> None:
    """The last: the kernel does not look at the addresses of a transport template."""
    found = match_ipsec(esp(state=sa()), PORT, config(sa(), policy(TO_5000, template)))
    assert (found is not None) == uses


@pytest.mark.parametrize(
    ("template", "uses"),
    [
        (tmpl("tunnel", A, B), True),
        (tmpl("tunnel", None, B), True),
        (tmpl("tunnel"), True),
        (tmpl("tunnel", "10.9.0.7", B), False),
        (tmpl("tunnel", A, "10.9.0.7"), False),
        (tmpl("tunnel", B, A), False),
        (tmpl("beet", A, B), False),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_which_templates_accept_a_tunnel_sa(
    esp: Esp, template: XfrmTemplate, uses: bool, known: bool
) -> None:
    """The same by the addresses of the packet when the SA is gone, but then its mode is not known."""
    state = sa(mode="tunnel", reqid=0)
    drop = esp(state=state) if known else esp(note=XfrmNote(frozenset({"notfound"}), spi=0x1001))
    expected = uses or (template.mode == "beet" and not known)
    assert (match_ipsec(drop, PORT, config(policy(NETS, template))) is not None) == expected


def test_compression_inside_a_transport_sa_has_the_tunnel_in_the_other_template(esp: Esp) -> None:
    bundle = policy(NETS, tmpl("tunnel", A, B, proto="comp", reqid=1), tmpl(reqid=1))
    inner = Filter(saddr=net("192.168.1.5/32"), dport=((5000, 5000),))
    elsewhere = policy(NETS, tmpl("tunnel", A, "10.9.0.7", proto="comp", reqid=1), tmpl(reqid=1))
    assert match_ipsec(esp(state=sa()), inner, config(sa(), bundle)) is not None
    assert match_ipsec(esp(state=sa()), inner, config(sa(), elsewhere)) is None


@pytest.mark.parametrize(
    ("policy_if_id", "state_if_id", "uses"),
    [(0, 0, True), (0, 7, True), (7, 7, True), (7, 0, False), (7, 8, False)],
)
def test_the_if_id_of_a_policy_is_that_of_the_sa(
    esp: Esp, policy_if_id: int, state_if_id: int, uses: bool
) -> None:
    state = sa(if_id=state_if_id)
    rule = replace(TRANSPORT, if_id=policy_if_id)
    assert (match_ipsec(esp(state=state), PORT, config(state, rule)) is not None) == uses


@pytest.mark.parametrize(
    ("policy_mark", "state_mark", "uses"),
    [
        ((0, 0), (0, 0), True),
        ((5, 0xFF), (5, 0xFF), True),
        ((5, 0xFF), (0, 0), True),
        ((0, 0), (5, 0xFF), True),
        ((5, 0xFF), (6, 0xFF), False),
        ((0x105, 0xFFF), (5, 0xFF), True),
        ((0x500, 0xF00), (5, 0xFF), True),
    ],
)
def test_marks_of_policy_and_sa_may_not_contradict(
    esp: Esp, policy_mark: tuple[int, int], state_mark: tuple[int, int], uses: bool
) -> None:
    state = sa(mark=state_mark[0], mark_mask=state_mark[1])
    rule = replace(TRANSPORT, mark=policy_mark[0], mark_mask=policy_mark[1])
    assert (match_ipsec(esp(state=state, mark=5), PORT, config(state, rule)) is not None) == uses


def test_the_selector_of_the_sa_restricts_it_further(esp: Esp) -> None:
    state = sa(selector=sel(f"{A}/32", f"{B}/32", UDP, sport=1234))
    drop = esp(state=state)
    assert match_ipsec(drop, Filter(sport=((1234, 1234),)), config(state, TRANSPORT)) is not None
    assert match_ipsec(drop, Filter(sport=((1235, 1235),)), config(state, TRANSPORT)) is None


def test_without_a_probe_the_sa_is_found_in_the_configuration(esp: Esp) -> None:
    other = sa(reqid=2, spi=0x1002)
    rules = (TRANSPORT, policy(sel(f"{A}/32", f"{B}/32", UDP, dport=6000), tmpl(reqid=2)))
    drop = esp(spi=0x1002)
    assert match_ipsec(drop, PORT, config(sa(), other, *rules)) is None
    assert match_ipsec(drop, Filter(dport=((6000, 6000),)), config(sa(), other, *rules)) is not None


def test_the_spi_that_the_kernel_parsed_will_do(esp: Esp) -> None:
    states = (sa(reqid=2, spi=0x1002), sa())
    drop = esp(spi=None, note=XfrmNote(spi=0x1001))
    assert match_ipsec(drop, PORT, config(*states, TRANSPORT)) is not None
    other = esp(spi=None, note=XfrmNote(spi=0x1002))
    assert match_ipsec(other, PORT, config(*states, TRANSPORT)) is None


@pytest.mark.parametrize("stranger", [sa(dst="10.9.0.7", reqid=2), sa(proto="ah", reqid=2)])
def test_an_spi_belongs_to_a_destination_and_a_protocol(esp: Esp, stranger: XfrmState) -> None:
    assert match_ipsec(esp(), PORT, config(stranger, sa(), TRANSPORT)) is not None


def test_the_sa_with_the_packet_mark_comes_first(esp: Esp) -> None:
    marked = [sa(reqid=number, mark=number, mark_mask=0xF) for number in (1, 2)]
    assert match_ipsec(esp(mark=1), PORT, config(*marked, TRANSPORT)) is not None
    assert match_ipsec(esp(mark=2), PORT, config(*marked, TRANSPORT)) is None


def test_an_sa_of_an_outer_header_is_not_taken_for_that_of_the_packet(esp: Esp) -> None:
    """Nested IPsec: the probe's SA is the last that opened, the packet is for the next."""
    opened = sa("10.1.0.1", "10.1.0.2", spi=0x77, mode="tunnel", reqid=7)
    assert match_ipsec(esp(state=opened), PORT, config(sa(), TRANSPORT)) is not None


def test_esp_in_udp_is_esp(esp: Esp) -> None:
    drop = esp(proto="udp", sport=4500, dport=4500, state=sa())
    assert match_ipsec(drop, PORT, config(sa(), TRANSPORT)) is not None


def test_ah_and_ipcomp(esp: Esp) -> None:
    ah = sa(proto="ah")
    rule = policy(TO_5000, tmpl(proto="ah", reqid=1))
    assert match_ipsec(esp(proto="ah", state=ah), PORT, config(ah, rule)) is not None
    assert match_ipsec(esp(proto="ah", state=ah), PORT, config(ah, TRANSPORT)) is None


@pytest.mark.parametrize("proto", ["udp", "tcp", None])
def test_what_is_not_ipsec_is_not_asked_about(esp: Esp, proto: str | None) -> None:
    assert match_ipsec(esp(proto=proto, spi=None), PORT, config(sa(), TRANSPORT)) is None


@pytest.mark.parametrize("missing", [{"saddr": None}, {"daddr": None}, {"saddr": None, "daddr": None}])
def test_a_packet_without_addresses_matches_nothing(esp: Esp, missing: dict[str, Any]) -> None:
    drop = esp()
    drop = replace(drop, packet=replace(drop.packet, **missing))
    assert match_ipsec(drop, PORT, config(sa(), TRANSPORT)) is None


def test_an_unknown_spi_between_the_hosts_of_a_policy(esp: Esp) -> None:
    drop = esp(note=XfrmNote(frozenset({"notfound"}), spi=0x9999), spi=0x9999)
    found = match_ipsec(drop, PORT, config(TRANSPORT))
    assert found is not None
    assert (
        found.why
        == f"policy src {A}/32 dst {B}/32 proto udp dport 5000 dir in asks for esp between these hosts"
    )
    assert match_ipsec(drop, Filter(dport=((80, 80),)), config(TRANSPORT)) is None


def test_an_unknown_spi_between_other_hosts(esp: Esp) -> None:
    drop = esp("10.7.0.1", "10.7.0.2", spi=0x9999)
    assert match_ipsec(drop, PORT, config(sa(), TRANSPORT, TUNNEL)) is None


def test_a_second_tunnel_stays_out(esp: Esp) -> None:
    other = sa("10.7.0.1", "10.7.0.2", spi=0x2002, mode="tunnel", reqid=2)
    rule = policy(
        sel("172.16.0.0/16", "172.17.0.0/16", UDP, dport=6000),
        tmpl("tunnel", "10.7.0.1", "10.7.0.2", reqid=2),
    )
    drop = esp("10.7.0.1", "10.7.0.2", state=other)
    assert match_ipsec(drop, PORT, config(sa(), TRANSPORT, other, rule)) is None


def test_an_outgoing_policy_alone_is_read_for_the_way_back(esp: Esp) -> None:
    out = policy(sel(f"{B}/32", f"{A}/32", UDP, sport=5000), tmpl(reqid=1), dir="out")
    found = match_ipsec(esp(state=sa()), PORT, config(sa(), out))
    assert found is not None
    assert found.why == (
        f"policy src {B}/32 dst {A}/32 proto udp sport 5000 dir out is for the way back and fits this SA (reqid 1)"
    )
    assert (
        match_ipsec(esp(state=sa()), Filter(sport=((5000, 5000),), dport=((7, 7),)), config(sa(), out))
        is None
    )


def test_the_way_back_of_a_tunnel_has_its_ends_swapped(esp: Esp) -> None:
    state = sa(mode="tunnel")
    back = sel("192.168.2.0/24", "192.168.1.0/24")
    out = policy(back, tmpl("tunnel", B, A, reqid=1), dir="out")
    inner = Filter(saddr=net("192.168.1.5/32"))
    assert match_ipsec(esp(state=state), inner, config(state, out)) is not None
    wrong = policy(back, tmpl("tunnel", A, B, reqid=1), dir="out")
    assert match_ipsec(esp(state=state), inner, config(state, wrong)) is None


@pytest.mark.parametrize(
    ("template_reqid", "state_reqid", "fits"), [(1, 1, True), (1, 0, True), (0, 1, True), (1, 2, False)]
)
def test_the_sa_of_the_way_back_may_have_no_reqid(
    esp: Esp, template_reqid: int, state_reqid: int, fits: bool
) -> None:
    state = sa(reqid=state_reqid)
    out = policy(sel(f"{B}/32", f"{A}/32"), tmpl(reqid=template_reqid, spi=0x2001), dir="out")
    assert (match_ipsec(esp(state=state), PORT, config(state, out)) is not None) == fits


def test_an_incoming_policy_is_believed_before_an_outgoing_one(esp: Esp) -> None:
    """The SA is for port 6000 here; that the way back may use all ports proves nothing."""
    into = policy(sel(f"{A}/32", f"{B}/32", UDP, dport=6000), tmpl(reqid=1))
    out = policy(sel(f"{B}/32", f"{A}/32"), tmpl(reqid=1), dir="out")
    assert match_ipsec(esp(state=sa()), PORT, config(sa(), into, out)) is None


def test_an_incoming_policy_for_another_sa_leaves_the_outgoing_one_to_speak(esp: Esp) -> None:
    other = policy(sel("10.7.0.0/16", f"{B}/32"), tmpl(reqid=9))
    out = policy(sel(f"{B}/32", f"{A}/32"), tmpl(reqid=1), dir="out")
    assert match_ipsec(esp(state=sa()), PORT, config(sa(), other, out)) is not None


def test_a_drop_on_the_way_out_asks_the_outgoing_policies(esp: Esp) -> None:
    out = policy(sel(f"{A}/32", f"{B}/32", UDP, dport=5000), tmpl(reqid=1), dir="out")
    assert match_ipsec(esp(direction="out"), PORT, config(sa(), out)) is not None
    assert match_ipsec(esp(direction="out"), PORT, config(sa(), TRANSPORT)) is None
    assert match_ipsec(esp(direction="out"), Filter(dport=((6, 6),)), config(sa(), out)) is None


@pytest.mark.parametrize("direction", [None, "forward"])
@pytest.mark.parametrize("dir", ["in", "fwd", "out"])
def test_without_a_direction_all_policies_are_asked(esp: Esp, direction: Direction | None, dir: str) -> None:
    rule = replace(TRANSPORT, dir=dir)
    back = policy(sel(f"{B}/32", f"{A}/32", UDP, dport=6000), tmpl(reqid=1), dir="in")
    assert match_ipsec(esp(direction=direction), PORT, config(sa(), rule, back)) is not None


@pytest.mark.parametrize("direction", [None, "forward"])
def test_without_a_direction_the_way_back_is_read_last(esp: Esp, direction: Direction | None) -> None:
    out = policy(sel(f"{B}/32", f"{A}/32"), tmpl(reqid=1), dir="out")
    assert match_ipsec(esp(direction=direction), PORT, config(sa(), out)) is not None


def test_an_exemption_that_comes_first_takes_the_port_away(esp: Esp) -> None:
    state = sa(mode="tunnel")
    exempt = policy(sel("192.168.1.0/24", "192.168.2.0/24", UDP, dport=5000), priority=1)
    use = replace(TUNNEL, priority=2)
    assert match_ipsec(esp(state=state), UDP_PORT, config(state, exempt, use)) is None
    tcp = match_ipsec(esp(state=state), PORT, config(state, exempt, use))
    assert tcp is not None, "TCP to port 5000 still goes through the tunnel"


def test_an_exemption_for_all_marks_takes_from_a_marked_policy(esp: Esp) -> None:
    state = sa(mode="tunnel")
    exempt = policy(sel(proto=UDP, dport=5000), priority=1)
    marked = replace(TUNNEL, priority=2, mark=5, mark_mask=0xFF)
    assert match_ipsec(esp(state=state), UDP_PORT, config(state, exempt, marked)) is None
    same = replace(exempt, mark=5, mark_mask=0xFF)
    assert match_ipsec(esp(state=state), UDP_PORT, config(state, same, marked)) is None


@pytest.mark.parametrize(
    "first",
    [
        policy(sel("192.168.1.0/25", "192.168.2.0/24", UDP, dport=5000), priority=1),
        policy(sel(proto=UDP, dport=5000), priority=3),
        policy(sel(proto=UDP, dport=5000), priority=2),
        policy(sel(proto=UDP, dport=5000), priority=1, dir="out"),
        policy(sel(proto=UDP, dport=5000), priority=1, if_id=7),
        policy(sel(proto=UDP, dport=5000), priority=1, mark=1, mark_mask=1),
    ],
)
def test_what_does_not_come_first_for_every_such_flow_takes_nothing_away(esp: Esp, first: XfrmPolicy) -> None:
    state = sa(mode="tunnel")
    assert (
        match_ipsec(esp(state=state), UDP_PORT, config(state, first, replace(TUNNEL, priority=2))) is not None
    )


def test_two_sas_between_the_same_hosts_are_told_apart(esp: Esp) -> None:
    voice = policy(sel(f"{A}/32", f"{B}/32", UDP, dport=5000), tmpl(reqid=1), priority=1)
    rest = policy(sel(f"{A}/32", f"{B}/32"), tmpl(reqid=2), priority=2)
    states = (sa(reqid=1, spi=0x1001), sa(reqid=2, spi=0x1002))
    everything = config(*states, voice, rest)
    assert match_ipsec(esp(spi=0x1001), UDP_PORT, everything) is not None
    assert match_ipsec(esp(spi=0x1002), UDP_PORT, everything) is None
    assert match_ipsec(esp(spi=0x1002), Filter(dport=((80, 80),)), everything) is not None


def test_without_any_ipsec_policy_a_transport_sa_speaks_for_itself(esp: Esp) -> None:
    exempt = policy(sel(proto=UDP, dport=500))
    for things in ((sa(),), (sa(), exempt)):
        found = match_ipsec(esp(), PORT, config(*things))
        assert found is not None
        assert found.why == (
            "no policy here asks for IPsec, but esp 0x00001001 may: it connects the hosts of the filter"
        )
    assert match_ipsec(esp(), Filter(saddr=net("10.9.0.7/32"), dport=((5000, 5000),)), config(sa())) is None


def test_without_any_policy_the_selector_of_the_sa_still_excludes(esp: Esp) -> None:
    state = sa(selector=sel(f"{A}/32", f"{B}/32", TCP))
    assert match_ipsec(esp(), UDP_PORT, config(state)) is None
    found = match_ipsec(esp(), PORT, config(state))
    assert found is not None
    assert found.why is not None
    assert found.why.endswith("its selector covers the filter")


def test_without_any_policy_a_tunnel_could_carry_anything_and_says_nothing(esp: Esp) -> None:
    assert match_ipsec(esp(), PORT, config(sa(mode="tunnel"))) is None
    assert match_ipsec(esp(), PORT, config(sa(mode="tunnel", selector=sel()))) is None
    told = sa(mode="tunnel", selector=sel("192.168.1.0/24", "192.168.2.0/24", UDP))
    assert match_ipsec(esp(), PORT, config(told)) is not None
    assert match_ipsec(esp(), Filter(saddr=net("10.0.0.0/24")), config(told)) is None


def test_nothing_configured_matches_nothing(esp: Esp) -> None:
    assert match_ipsec(esp(), PORT, config()) is None


def test_when_nothing_could_be_read_the_probe_is_all_there_is(esp: Esp) -> None:
    found = match_ipsec(esp(state=sa()), PORT, None)
    assert found is not None
    assert found.why == (
        "the policies could not be read, but esp 0x00001001 may: it connects the hosts of the filter"
    )
    assert match_ipsec(esp(), PORT, None) is None


def test_policies_of_single_sockets_say_nothing(esp: Esp) -> None:
    own = replace(TRANSPORT, dir="socket in")
    assert match_ipsec(esp(state=sa()), PORT, config(sa(), own)) is None


def test_a_batch_of_one_sa_is_judged_once(esp: Esp, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SA has counted does not make it another question; a new reading does."""
    from dropwatch.match import ipsec

    judged = []
    judge = ipsec._match

    def counted(*question: Any) -> MatchResult | None:
        judged.append(question)
        return judge(*question)

    monkeypatch.setattr(ipsec, "_match", counted)
    first = config(sa(), TRANSPORT)
    for number in range(5):
        assert match_ipsec(esp(state=sa(seq=number, stat_integrity_failed=number)), PORT, first) is not None
    assert len(judged) == 1
    assert match_ipsec(esp(state=sa()), UDP_PORT, first) is not None
    assert match_ipsec(esp(state=sa()), PORT, config(sa())) is not None
    assert len(judged) == 3


def test_policies_that_would_take_hours_are_refused(esp: Esp) -> None:
    """Anybody can have them in a namespace of his own: half of them before one that takes all away, half behind it."""
    tunnel = tmpl("tunnel")
    first = [policy(sel(f"10.1.{n >> 8}.{n & 255}/32"), tunnel, priority=1) for n in range(2000)]
    others = [policy(sel(f"10.2.{n >> 8}.{n & 255}/32", proto=UDP), tunnel, priority=3) for n in range(2000)]
    drop, wanted = esp(), replace(UDP_PORT, saddr=net("10.2.0.0/16"))
    given = config(*first, policy(sel(), priority=2), *others)
    for _ in range(2):
        with pytest.raises(TooManyPolicies):
            match_ipsec(drop, wanted, given)
    few = config(*first[:100], policy(sel(), priority=2), *others[:100])
    assert match_ipsec(drop, wanted, few) is None
