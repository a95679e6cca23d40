"""How a socket is written, as ss(8) does."""

from dropwatch.model.drop import Address


def end(address: Address | None, port: int | None) -> str:
    """One end; None: any."""
    if address is None:
        return "*:*"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
