"""How a socket is written, as ss(8) does."""

from ipaddress import IPv6Address

from dropwatch.model.drop import Address


def end(address: Address | None, port: int | None) -> str:
    """One end; None: any."""
    if address is None:
        return "*:*"
    if not isinstance(address, IPv6Address):
        return f"{address}:{port}"
    mapped = address.ipv4_mapped
    return f"[::ffff:{mapped}]:{port}" if mapped is not None else f"[{address}]:{port}"
