"""How a user runs a tool in the network namespace where something happened. whydrop itself never runs these."""

import re
import shlex

from dropwatch.model.drop import Netns

_PROCESS = re.compile(r"pid ([0-9]+) \(")


def ip_command(netns: Netns | None, arguments: str) -> str:
    """`ip -n b xfrm state`, `nsenter -t 812 -n ip xfrm state`, or plain `ip ...` where whydrop runs itself."""
    name = netns.name if netns is not None else None
    if name is None:
        return f"ip {arguments}"
    process = _PROCESS.match(name)  # what netns_name says of a namespace without a name
    if process is not None:
        return f"nsenter -t {process[1]} -n ip {arguments}"
    return f"ip -n {shlex.quote(name)} {arguments}"
