"""Whose packet it is: by number, name, unit and container; of whom nobody knows is nobody's."""

import pytest

from dropwatch.match.owner import excludes, fits
from dropwatch.model.drop import Process
from dropwatch.model.filter import Owner

NGINX = Process(812, "nginx")
DOCKER = "/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"


@pytest.mark.parametrize(
    ("owner", "group", "expected"),
    [
        (Owner(pids=frozenset({812})), "", True),
        (Owner(pids=frozenset({813})), "", False),
        (Owner(comms=frozenset({"nginx"})), "", True),
        (Owner(pids=frozenset({812}), comms=frozenset({"sshd"})), "", False),
        (Owner(units=frozenset({"nginx.service"})), "/system.slice/nginx.service", True),
        (Owner(units=frozenset({"nginx.service"})), "/system.slice/nginx.service/worker", True),
        (Owner(units=frozenset({"nginx.service"})), "/system.slice/sshd.service", False),
        (Owner(containers=frozenset({"01234567"})), DOCKER, True),
        (Owner(containers=frozenset({"12345678"})), DOCKER, False),
        (Owner(containers=frozenset({"01234567"})), "/system.slice/nginx.service", False),
    ],
)
def test_it_fits(owner: Owner, group: str, expected: bool) -> None:
    assert fits(owner, NGINX, lambda pid: group) is expected
    assert excludes(owner, NGINX, lambda pid: group) is (expected or owner.pids == {812})
    assert not fits(owner, None, lambda pid: group)
    assert not excludes(owner, None, lambda pid: group)


def test_a_container_by_its_name() -> None:
    """The whole of it."""
    web = Process(812, "nginx", None, "3f" * 32, container_name="shop-web-1")
    assert fits(Owner(containers=frozenset({"shop-web-1"})), web, lambda pid: "")
    assert not fits(Owner(containers=frozenset({"shop-web"})), web, lambda pid: "")
    assert not fits(Owner(containers=frozenset({"shop-web-1"})), NGINX, lambda pid: DOCKER)
