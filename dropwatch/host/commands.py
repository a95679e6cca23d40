"""How a user runs a tool in the network namespace where something happened. whydrop itself never runs these."""

import re

from dropwatch.model.drop import Netns
from dropwatch.names.foreign import quoted, raw_name

# What nft's scanner takes for a name: another would be read as commands, and can only come from other programs.
_NFT_NAME = re.compile(r"[A-Za-z_.][A-Za-z0-9/_.\\-]*")
_PROCESS = re.compile(r"pid ([0-9]+) \(")


def ip_command(netns: Netns | None, arguments: str) -> str:
    """`ip -n b xfrm state`, `nsenter -t 812 -n ip xfrm state`, or plain `ip ...` where whydrop runs itself."""
    name = netns.name if netns is not None else None
    if name is None:
        return f"ip {arguments}"
    process = _PROCESS.match(name)  # what netns_name says of a namespace without a name
    if process is not None:
        return f"nsenter -t {process[1]} -n ip {arguments}"
    return f"ip -n {quoted(name)} {arguments}"


def nft_takes(name: str) -> bool:
    """Whether nft reads it as one name. What it is told is its own language, whatever a shell makes of quotes."""
    return _NFT_NAME.fullmatch(name) is not None and raw_name(name) == name.encode()


def nft_listing(family: str, table: str, chain: str | None = None) -> str:
    """What lists the chain with handles, or as little around it as nft can be asked for."""
    if not nft_takes(table):
        return f"nft -a list ruleset {family}"
    if chain is None or not nft_takes(chain):
        return f"nft -a list table {family} {quoted(table)}"
    return f"nft -a list chain {family} {quoted(table)} {quoted(chain)}"
