"""The namespace in the commands that are shown."""

import pytest

from dropwatch.host.commands import ip_command
from dropwatch.model.drop import Netns


@pytest.mark.parametrize(
    ("netns", "command"),
    [
        (None, "ip xfrm state"),
        (Netns(7, None), "ip xfrm state"),
        (Netns(7, "b"), "ip -n b xfrm state"),
        (Netns(7, "a b;reboot"), "ip -n 'a b;reboot' xfrm state"),
        (Netns(7, "pid 812 (nginx)"), "nsenter -t 812 -n ip xfrm state"),
        (Netns(7, "pid 812 ($(reboot))"), "nsenter -t 812 -n ip xfrm state"),
    ],
)
def test_a_command_names_the_namespace(netns: Netns | None, command: str) -> None:
    assert ip_command(netns, "xfrm state") == command
