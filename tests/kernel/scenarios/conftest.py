"""What every scenario may ask for. Scenarios run in a guest (`make test`), never on the host."""

import os
from collections.abc import Iterator

import pytest
from scenarios.firewalls import load_modules
from scenarios.namespaces import Lab, joined_pair
from scenarios.test_drops import kernel_gives_reasons
from scenarios.whydrop_process import Whydrop, keep, recordings_are_wanted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with a whydrop of their own come first: the one that many share would look at their floods as well."""
    items.sort(
        key=lambda item: not {"whydrop", "filtered", "watchers"}.isdisjoint(getattr(item, "fixturenames", ()))
    )


@pytest.fixture(autouse=True, scope="session")
def in_a_guest() -> None:
    """They load modules, attach probes and write into the tree: not on somebody's machine."""
    if "WHYDROP_GUEST" not in os.environ:
        pytest.exit("scenarios run in a guest: make test ARGS='-k ...'", returncode=2)


@pytest.fixture
def reasons() -> None:
    """For what TCP itself discards."""
    if not kernel_gives_reasons():
        pytest.skip("feature reasons: what TCP itself discards passes no kfree_skb there")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two fresh namespaces joined by a veth pair."""
    with joined_pair() as pair:
        yield pair


@pytest.fixture(scope="session")
def whydrop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whydrop]:
    """One process without a filter, for many scenarios: each tells its findings by the namespace and the port.

    The modules are there before it starts: what dies in the moment after a module came has no probe yet.
    """
    load_modules()
    if not recordings_are_wanted():
        with Whydrop() as running:
            yield running
        return
    recording = tmp_path_factory.mktemp("recording") / "scenarios.whydrop"
    with Whydrop("--write", str(recording)) as running:
        yield running
        keep(recording, running.finish())


@pytest.fixture(scope="session")
def filtered() -> Iterator[Whydrop]:
    """Another one, `--dport 5000`: the same for all who try the filter."""
    load_modules()
    with Whydrop("--dport", "5000") as running:
        yield running
