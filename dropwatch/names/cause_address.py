"""Where the page of a cause is to be read in a browser, where somebody has said so."""

import os
from functools import lru_cache

from dropwatch.errors import WrongUsage
from dropwatch.model.pattern import pattern

VARIABLE = "WHYDROP_CAUSE_URL"
_ID = "{id}"
_EXAMPLE = f"{VARIABLE}='https://docs.example/causes/{_ID}.html'"
_ADDRESS = pattern(r"(?:https?://[^/\s]+/|file:///)[!-~]*")
_UNKNOWN = "unknown"


def refuse_bad_address() -> None:
    """Raises WrongUsage where the environment has an address that cannot be one of pages of causes."""
    address = os.environ.get(VARIABLE, "")
    if address and not _ADDRESS.fullmatch(address):
        raise WrongUsage(f"{VARIABLE} is no address: {address!r}", f"for example: {_EXAMPLE}")
    if address and _ID not in address:
        raise WrongUsage(
            f"{VARIABLE} does not say where the cause's name stands: {address!r}", f"for example: {_EXAMPLE}"
        )


@lru_cache(maxsize=512)
def cause_url(cause_id: str) -> str | None:
    """The address of the page; None for `unknown`, and where the environment has none."""
    address = os.environ.get(VARIABLE, "")
    if cause_id == _UNKNOWN or _ID not in address:
        return None
    return address.replace(_ID, cause_id)
