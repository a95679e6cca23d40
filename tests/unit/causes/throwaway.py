"""A network namespace for commands that can only be tried by running them: nothing that they do gets out of it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

# Devices of the kinds that commands are about; to be made again after a command that takes them away. What this
# kernel lacks is not made, and is no error of a command.
DEVICES = """
ip link set lo up
ip link add va type veth peer name vb
ip addr add 10.9.0.1/24 dev va
ip link set va up
ip link set vb up
ip link add br0 type bridge
ip link add pa type veth peer name pb
ip link set pa master br0
ip link add vxlan9 type vxlan id 9 dstport 4789 dev va
ip link add mv9 link va type macvlan mode bridge
ip link add gre9 type gre local 10.9.0.1 remote 10.9.0.2
tc qdisc add dev va root fq
tc qdisc add dev va clsact
nft add table inet filter
nft add chain inet filter INPUT
"""


@contextlib.contextmanager
def namespace(setup: str = DEVICES) -> Iterator[list[str]]:
    """The words with which a command is run there, after the commands of `setup`. It is gone afterwards, with all
    that is in it: what `ip netns` makes there as well, whose names nobody else sees.

    Skips the test where this user or machine may not make one.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("feature root: a network namespace is made to try commands in")
    enter = ["unshare", "--net", "--mount", "--propagation", "private"]
    shell = f"mount -t tmpfs none /run\n{setup}echo ready\nexec cat"
    holder = subprocess.Popen(
        [*enter, "sh", "-c", shell],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("feature namespaces: none can be made here")
        yield ["nsenter", "-t", str(holder.pid), "-n", "-m"]
    finally:
        holder.kill()
        holder.communicate()
