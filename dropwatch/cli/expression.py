"""The live command with an expression: `whydrop udp port 5000 -c 3`, where options stand before and after the words."""

from collections.abc import Callable
from typing import Any

import click

from dropwatch.cli import arguments

LIVE = "(live)"  # its name among the commands, which nobody types
# What an expression can begin with, beside brackets, numbers and addresses: else the first word was to be a command.
_FIRST_WORDS = frozenset({
    "ip", "ip6", "arp", "rarp", "tcp", "udp", "icmp", "icmp6", "sctp", "esp", "ah", "igmp", "igrp", "pim",
    "vrrp", "carp", "ether", "link", "fddi", "tr", "wlan", "ppp", "slip", "decnet", "atalk", "aarp", "lat",
    "moprc", "mopdl", "stp", "ipx", "netbeui", "iso", "clnp", "esis", "isis", "l1", "l2", "iih", "lsp", "snp",
    "csnp", "host", "net", "port", "portrange", "proto", "protochain", "src", "dst", "gateway", "less",
    "greater", "len", "vlan", "mpls", "pppoed", "pppoes", "geneve", "vxlan", "broadcast", "multicast",
    "inbound", "outbound", "ifname", "not", "rnr", "rset", "on", "type", "subtype", "dir", "vpi", "vci",
    "radio", "ip-broadcast",
})  # fmt: skip


def begins_expression(word: str) -> bool:
    """Whether a first word that is no command can be one of an expression. What was quoted together is one."""
    first = word.split()[0] if word.strip() else ""
    return first != word or first.partition("[")[0] in _FIRST_WORDS or first[:1] in "(!\\-0123456789"


class Live(click.Command):
    """What runs when the first word is no command; its help is that of the whole."""

    def __init__(self, run: Callable[[dict[str, Any]], None], params: list[click.Parameter]) -> None:
        super().__init__(LIVE, callback=self._call, params=[*params, arguments.Expression()], hidden=True)
        self._run = run

    def get_help(self, ctx: click.Context) -> str:
        return ctx.parent.get_help() if ctx.parent is not None else super().get_help(ctx)

    def _call(self, **given: Any) -> None:
        context = click.get_current_context()
        self._run({**given, **_joined(context, given)})


def _joined(context: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """With what stood before the first word of the expression."""
    before = context.parent.params if context.parent is not None else {}
    joined = {}
    for name, value in before.items():
        if name not in given:
            continue
        if isinstance(value, tuple):
            joined[name] = value + given[name]
        elif isinstance(value, int):  # flags are, and how often -v was given
            joined[name] = type(value)(value + given[name])
        elif given[name] is None:
            joined[name] = value
    return joined
