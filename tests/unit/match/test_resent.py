"""Which TCP connections a filter is about."""

from ipaddress import ip_network

import pytest

from dropwatch.match.resent import connections
from dropwatch.model.expression import All, Any, Expression, Fact, Node
from dropwatch.model.filter import Filter, Owner

HOST = (ip_network("10.9.0.1"),)


def expression(tree: Node) -> Filter:
    return Filter(expression=Expression("x", (), tree))


def test_what_a_socket_shows_is_kept_and_the_rest_is_not_asked() -> None:
    wanted = Filter(
        protos=frozenset({6, 17}),
        host=HOST,
        dport=((5000, 5000),),
        netns=(7,),
        ifaces=("va",),
        marks=((1, 1),),
        causes=frozenset({"x"}),
    )
    assert connections(wanted) == Filter(host=HOST, dport=((5000, 5000),), netns=(7,))
    assert connections(Filter()) == Filter()


def test_an_expression_is_asked_where_a_flow_shows_all_of_it() -> None:
    tcp, port = Fact(protos=frozenset({6})), Fact(ports=(5000, 5000), side="dst")
    assert connections(expression(All((tcp, port)))) == Filter(dport=((5000, 5000),))
    for tree in (Any((tcp, port)), Fact(rest=True), All((tcp, Fact(ports=(1, 1), side="both")))):
        assert connections(expression(tree)) is None


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(protos=frozenset({17})),
        Filter(icmp_types=frozenset({(1, 8)})),
        Filter(but=Filter(host=HOST)),
        Filter(owner=Owner(pids=frozenset({1}))),
    ],
)
def test_what_is_about_something_else_has_none(wanted: Filter) -> None:
    assert connections(wanted) is None
