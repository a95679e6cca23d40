"""What a packet carried beside what an SA or a policy wants, field by field, with the differing ones marked."""

from collections.abc import Iterable

from dropwatch.host.ipsec.policy_search import Fit, Flow, port_names, selector_fit
from dropwatch.host.ipsec.text import spi_text
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Address, Difference, Evidence
from dropwatch.model.ipsec import Selector, XfrmPolicy, XfrmState, XfrmTemplate
from dropwatch.names import protocols

_ANY = "any"


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what came, what is wanted, and whether that is not the same. `field` is a name in `differs`."""

    field: str
    came: str
    wanted: str
    differs: bool


def evidence(sides: str, rows: Iterable[Row]) -> tuple[Evidence, ...]:
    """`sides` says what stands left and right: `packet / SA`."""
    return tuple(_evidence(sides, row) for row in rows)


def _evidence(sides: str, row: Row) -> Evidence:
    text = f"{row.field} {row.came} / {row.wanted}"
    if not row.differs:
        return Evidence(sides, text)
    came, _, wanted = sides.partition(" / ")
    return Difference(
        sides,
        f"{text}  <- differs",
        "proof",
        sides=(came, wanted),
        name=row.field,
        came=row.came,
        wanted=row.wanted,
    )


def differing(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.field for row in rows if row.differs)


def with_state(
    saddr: Address, daddr: Address, proto: str, spi: int, mark: int, state: XfrmState
) -> tuple[Row, ...]:
    """What the kernel looks an SA up by (destination, protocol, SPI, mark), and the source."""
    rows = [
        _equal("spi", spi_text(spi), spi_text(state.spi)),
        _equal("dst", daddr, state.daddr),
        _equal("proto", proto, state.proto),
    ]
    if state.mark or state.mark_mask:
        wanted = mark_text(state.mark, state.mark_mask)
        rows.append(Row("mark", f"{mark:#x}", wanted, mark & state.mark_mask != state.mark))
    if state.direction == "out":
        rows.append(Row("dir", "in", "out", True))
    rows.append(_equal("src", saddr, state.saddr))
    return tuple(rows)


def with_template(state: XfrmState, template: XfrmTemplate) -> tuple[Row, ...]:
    """How xfrm_state_ok compares the SA that a packet came through with what a policy asks for."""
    rows = [_equal("proto", state.proto, template.proto), _equal("mode", state.mode, template.mode)]
    if template.reqid:
        rows.append(_equal("reqid", state.reqid, template.reqid))
    if template.spi:
        rows.append(_equal("spi", spi_text(state.spi), spi_text(template.spi)))
    if template.mode != "transport" and template.saddr is not None:
        rows.append(_equal("src", state.saddr, template.saddr))
    return tuple(rows)


def with_outbound_template(
    state: XfrmState, template: XfrmTemplate, policy: XfrmPolicy, flow: Flow
) -> tuple[Row, ...]:
    """How xfrm_state_find compares an SA with what an outbound policy asks for: SA left, template right.

    The end points of transport mode are those of the flow; the policy's mark and if_id count for the SA too.
    """
    ends = (template.saddr, template.daddr) if template.mode != "transport" else (flow.saddr, flow.daddr)
    rows = [
        _equal("proto", state.proto, template.proto),
        _equal("mode", state.mode, template.mode),
        _equal("reqid", state.reqid, template.reqid),
        Row("src", str(state.saddr), str(ends[0] or _ANY), ends[0] not in (None, state.saddr)),
        Row("dst", str(state.daddr), str(ends[1] or _ANY), ends[1] not in (None, state.daddr)),
    ]
    if template.spi:
        rows.append(_equal("spi", spi_text(state.spi), spi_text(template.spi)))
    if state.if_id or policy.if_id:
        rows.append(_equal("if_id", f"{state.if_id:#x}", f"{policy.if_id:#x}"))
    if state.mark or state.mark_mask:
        own, mark = mark_text(state.mark, state.mark_mask), policy.mark & policy.mark_mask
        rows.append(Row("mark", own, f"{mark:#x}", mark & state.mark_mask != state.mark))
    if state.direction == "in":
        rows.append(Row("dir", "in", "out", True))
    if state.selector is not None and selector_fit(state.selector, flow).differs:
        rows.append(Row("sel", "other traffic", "this flow", True))
    return tuple(rows)


def with_selector(flow: Flow, selector: Selector) -> tuple[Row, ...]:
    """The flow beside a selector of its family; only what the selector asks for."""
    return tuple(_selector_rows(flow, selector, selector_fit(selector, flow)))


def with_policy(flow: Flow, policy: XfrmPolicy, fit: Fit) -> tuple[Row, ...]:
    """The flow beside all that a policy asks for; `fit` is policy_fit's answer."""
    rows = _selector_rows(flow, policy.selector, fit)
    if "if_id" in fit.differs or policy.if_id:
        came = _ANY if flow.if_id is None else f"{flow.if_id:#x}"
        rows.append(Row("if_id", came, f"{policy.if_id:#x}", "if_id" in fit.differs))
    if policy.mark or policy.mark_mask:
        came = "unknown" if flow.mark is None else f"{flow.mark:#x}"
        rows.append(Row("mark", came, mark_text(policy.mark, policy.mark_mask), "mark" in fit.differs))
    return tuple(rows)


def mark_text(mark: int, mask: int) -> str:
    return f"{mark:#x}/{mask:#x}"


def _selector_rows(flow: Flow, selector: Selector, fit: Fit) -> list[Row]:
    if "family" in fit.differs:
        return [Row("family", f"IPv{flow.family}", f"IPv{selector.family}", True)]
    rows = []
    if selector.saddr is not None:
        rows.append(_row("src", flow.saddr, f"{selector.saddr}/{selector.prefixlen_s}", fit))
    if selector.daddr is not None:
        rows.append(_row("dst", flow.daddr, f"{selector.daddr}/{selector.prefixlen_d}", fit))
    if selector.proto:
        rows.append(_row("proto", protocols.name(flow.proto), protocols.name(selector.proto), fit))
    first, second = port_names(flow.proto)
    for name, port, wanted, mask in (
        (first, flow.sport, selector.sport, selector.sport_mask),
        (second, flow.dport, selector.dport, selector.dport_mask),
    ):
        if mask:
            text = str(wanted) if mask == 0xFFFF else f"{wanted}/{mask:#x}"
            rows.append(_row(name, "unknown" if port is None else port, text, fit))
    return rows


def _row(name: str, came: object, wanted: object, fit: Fit) -> Row:
    return Row(name, str(came), str(wanted), name in fit.differs)


def _equal(name: str, came: object, wanted: object) -> Row:
    return Row(name, str(came), str(wanted), came != wanted)
