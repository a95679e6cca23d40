"""A kernel that answers over netlink what a test tells it."""

import pytest

from dropwatch.host import netlink
from dropwatch.host.netns import netns
from dropwatch.host.netns.files import NamespaceFiles
from tests.unit.host.netlink_socket import Kernel


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(netlink, "_open", found.open)
    return found


@pytest.fixture(autouse=True)
def time_to_look_for_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own."""
    monkeypatch.setattr(netns, "_FILES", NamespaceFiles())
