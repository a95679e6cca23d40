"""Reads what wraps another packet: IPsec, GRE, VXLAN, Geneve."""

from dropwatch.packet.header_ip import next_kind, protocol_text
from dropwatch.packet.header_link import ethertype_text, kind_of
from dropwatch.packet.header_view import Step, View, cut

_GRE_INSIDE = {"ipv4", "ipv6", "ethernet", "mpls", "arp"}


def esp(view: View) -> Step:
    """RFC 4303: what follows cannot be read, if the kernel has not decrypted it in place by then."""
    if view.room < 8:
        return cut(view, "ESP", 8)
    fields = (("spi", f"0x{view.number(0, 4):08x}"), ("seq", view.number(4, 4)))
    return Step(view.header("ESP", 8, *fields), view.behind(8), data_name="ESP payload")


def ah(view: View) -> Step:
    """RFC 4302: it signs and does not hide, so what follows is read as well."""
    if view.room < 12:
        return cut(view, "AH", 12)
    length = (view.number(1, 1) + 2) * 4
    following = view.number(0, 1)
    fields = (
        ("next", protocol_text(following)),
        ("spi", f"0x{view.number(4, 4):08x}"),
        ("seq", view.number(8, 4)),
        ("icv", view.bytes(12, max(length - 12, 0)).hex()),
    )
    if length < 12 or view.room < length:
        return cut(view, "AH", max(length, 12))
    return Step(view.header("AH", length, *fields), view.behind(length), next_kind(following, ipv6=True))


def ipcomp(view: View) -> Step:
    """RFC 3173."""
    if view.room < 4:
        return cut(view, "IPComp", 4)
    fields = (("next", protocol_text(view.number(0, 1))), ("cpi", f"0x{view.number(2, 2):04x}"))
    return Step(view.header("IPComp", 4, *fields), view.behind(4), data_name="compressed data")


def gre(view: View) -> Step:
    """RFC 2784 and 2890: checksum, key and sequence number each add four bytes. Version 1 is PPTP: not opened."""
    if view.room < 4:
        return cut(view, "GRE", 4)
    flags, kind = view.number(0, 2), view.number(2, 2)
    parts = [name for bit, name in ((0x8000, "checksum"), (0x2000, "key"), (0x1000, "seq")) if flags & bit]
    length = 4 + 4 * len(parts)
    if view.room < length:
        return cut(view, "GRE", length)
    fields: list[tuple[str, str | int]] = [("protocol", ethertype_text(kind))]
    if flags & 7:
        fields.append(("version", flags & 7))
        return Step(view.header("GRE", 4, *fields), view.behind(4))
    for at, name in enumerate(parts):
        size = 2 if name == "checksum" else 4
        value = view.number(4 + 4 * at, size)
        fields.append((name, value if name == "seq" else f"0x{value:0{size * 2}x}"))
    inner = kind_of(kind)
    return Step(
        view.header("GRE", length, *fields), view.inside(length), inner if inner in _GRE_INSIDE else None
    )


def vxlan(view: View) -> Step:
    """RFC 7348; the Linux default port, 8472, carries the same."""
    if view.room < 8:
        return cut(view, "VXLAN", 8)
    fields = (("flags", f"0x{view.number(0, 1):02x}"), ("vni", view.number(4, 3)))
    return Step(view.header("VXLAN", 8, *fields), view.inside(8), "ethernet")


def geneve(view: View) -> Step:
    """RFC 8926."""
    if view.room < 8:
        return cut(view, "Geneve", 8)
    length = 8 + (view.number(0, 1) & 0x3F) * 4
    if view.room < length:
        return cut(view, "Geneve", length)
    kind = view.number(2, 2)
    fields: list[tuple[str, str | int]] = [("vni", view.number(4, 3)), ("protocol", ethertype_text(kind))]
    if length > 8:
        fields.append(("options", view.bytes(8, length - 8).hex(" ")))
    return Step(view.header("Geneve", length, *fields), view.inside(length), kind_of(kind))
