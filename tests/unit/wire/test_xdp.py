"""Errors of XDP programs, as the kernel's programs count them."""

import pytest

from dropwatch.model.xdp import XdpError
from dropwatch.wire.xdp import FAILED_REDIRECT, XdpException, xdp_error


@pytest.mark.parametrize(
    ("action", "words"),
    [(0, "XDP_ABORTED"), (3, "XDP_TX"), (FAILED_REDIRECT, "failed redirect"), (77, "unknown verdict 77")],
)
def test_what_failed(action: int, words: str) -> None:
    key = bytes(XdpException(4026532234, 12, 7, action))
    assert xdp_error(key) == XdpError(4026532234, 12, 7, words)
