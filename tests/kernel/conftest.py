"""Host side of the kernel tests: starts the guests before the first test and makes the waiting for them the last."""

import os

import pytest
from lab.farm import Farm
from lab.matrix import Kernel

collect_ignore = ["scenarios"]
FARM = pytest.StashKey[Farm]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else first: the guests need minutes."""
    items.sort(key=lambda item: "kernel" in getattr(item, "fixturenames", ()))


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted: dict[Kernel, list[str]] = {}
    for item in session.items:
        match item.callspec.params if hasattr(item, "callspec") else {}:
            case {"kernel": Kernel() as kernel, "scenario": str(scenario)}:
                wanted.setdefault(kernel, []).append(scenario)
    if session.config.option.collectonly:
        return
    stderr = os.fdopen(os.dup(2), "w", buffering=1)  # here pytest does not capture
    farm = Farm(wanted, lambda line: print(f"\nlab: {line}", file=stderr))
    session.config.stash[FARM] = farm
    session.config.add_cleanup(stderr.close)
    session.config.add_cleanup(farm.close)
    farm.start()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """An attempt that failed is told, whatever became of the second one."""
    farm = config.stash.get(FARM, None)
    for label, scenario, text in farm.unsteady() if farm else ():
        terminalreporter.section(f"unsteady on {label}: {scenario}")
        terminalreporter.line(text)


@pytest.fixture(scope="session")
def farm(request: pytest.FixtureRequest) -> Farm:
    return request.config.stash[FARM]
