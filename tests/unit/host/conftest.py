"""A kernel that answers over netlink what a test tells it."""

import pytest

from dropwatch.host import netlink
from tests.unit.host.netlink_socket import Kernel


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(netlink, "_open", found.open)
    return found
