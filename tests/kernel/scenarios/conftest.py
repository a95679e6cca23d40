"""What every scenario may ask for. Scenarios run in a guest (`make test`), never on the host."""

import os
from collections.abc import Iterator

import pytest
from scenarios.namespaces import Lab, joined_pair


@pytest.fixture(autouse=True, scope="session")
def in_a_guest() -> None:
    """They load modules, attach probes and write into the tree: not on somebody's machine."""
    if "WHYDROP_GUEST" not in os.environ:
        pytest.exit("scenarios run in a guest: make test ARGS='-k ...'", returncode=2)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two fresh namespaces joined by a veth pair."""
    with joined_pair() as pair:
        yield pair
