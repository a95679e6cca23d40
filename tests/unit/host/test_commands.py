"""The namespace in the commands that are shown."""

import pytest

from dropwatch.host.commands import ip_command, nft_listing
from dropwatch.model.drop import Netns


@pytest.mark.parametrize(
    ("netns", "command"),
    [
        (None, "ip xfrm state"),
        (Netns(7, None), "ip xfrm state"),
        (Netns(7, "b"), "ip -n b xfrm state"),
        (Netns(7, "a b;reboot"), "ip -n 'a b;reboot' xfrm state"),
        (Netns(7, "a\\x0ab"), "ip -n $'a\\x0ab' xfrm state"),
        (Netns(7, "pid 812 (nginx)"), "nsenter -t 812 -n ip xfrm state"),
        (Netns(7, "pid 812 ($(reboot))"), "nsenter -t 812 -n ip xfrm state"),
    ],
)
def test_a_command_names_the_namespace(netns: Netns | None, command: str) -> None:
    assert ip_command(netns, "xfrm state") == command


@pytest.mark.parametrize(
    ("table", "chain", "command"),
    [
        ("filter", "input", "nft -a list chain inet filter input"),
        ("filter", None, "nft -a list table inet filter"),
        ("io.systemd.nat", "a/b\\c", "nft -a list chain inet io.systemd.nat 'a/b\\c'"),
        ("filter", "c; flush ruleset", "nft -a list table inet filter"),
        ("filter", "-f", "nft -a list table inet filter"),
        ("filter", "half\\xc3", "nft -a list table inet filter"),
        ("a\\x0ab", "input", "nft -a list ruleset inet"),
    ],
)
def test_nft_is_given_nothing_that_it_would_take_for_more_than_a_name(
    table: str, chain: str | None, command: str
) -> None:
    assert nft_listing("inet", table, chain) == command
