"""Which connection of the IKE daemon a finding names."""

import pytest

from dropwatch.causes.cause import Cause
from dropwatch.causes.ipsec.connection import naming
from dropwatch.host.host import Host
from dropwatch.host.ipsec.vici import Connection, Daemon
from dropwatch.model.drop import Culprit, Verdict

ONE = Connection("gw-gw", "net-net", 7, (0x1001, 0x2002), (0x2A,))
OTHER = Connection("roadwarrior", "all", 8, (0x3003,), ())
STATE = {"spi": "0x00009999", "reqid": 0, "if_id": 0}


def verdict_of(drop, details, connections, tools=("swanctl",)):
    host = Host(
        find_daemons=lambda inode: (Daemon(1, "9"),),
        read_connections=lambda daemon: connections,
        find_tool=lambda name: name if name in tools else None,
    )
    culprit = Culprit("xfrm-state", "an SA", details) if details is not None else None
    (cause,) = naming(
        (Cause("ipsec.x", "t", "w", "c", (), judge=lambda drop, host: Verdict("certain", culprit)),)
    )
    return cause.judge(drop, host)


@pytest.mark.parametrize(
    "details",
    [
        STATE | {"spi": "0x00001001"},
        STATE | {"spi": "0x00002002"},
        STATE | {"reqid": 7},
        STATE | {"if_id": 0x2A},
        {"if_id": 0, "templates": [{"reqid": 7}]},
    ],
)
def test_the_connection_is_found(make_drop, details) -> None:
    verdict = verdict_of(make_drop(), details, (ONE, OTHER))
    assert (verdict.culprit.details["connection"], verdict.culprit.details["child"]) == ("gw-gw", "net-net")
    assert verdict.evidence[-1].text == "strongSwan has this as child net-net of connection gw-gw"


@pytest.mark.parametrize("details", [STATE, {"dir": "out", "default": True}, None])
def test_nothing_else_gets_a_name(make_drop, details) -> None:
    verdict = verdict_of(make_drop(), details, (ONE, OTHER))
    assert verdict.evidence == ()


def test_no_name_where_two_claim_it(make_drop) -> None:
    verdict = verdict_of(make_drop(), STATE | {"reqid": 7}, (ONE, OTHER._replace(reqid=7)))
    assert "connection" not in verdict.culprit.details


def test_nobody_is_asked_where_no_daemon_is_installed(make_drop) -> None:
    assert verdict_of(make_drop(), STATE | {"reqid": 7}, (ONE,), tools=()).evidence == ()
