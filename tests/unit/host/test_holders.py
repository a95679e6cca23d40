"""Who holds a socket."""

import os
import socket

from dropwatch.host.holders import read_holders


def test_a_socket_of_this_process_and_one_of_nobody() -> None:
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        found = read_holders({inode, 1})
    assert found.keys() == {inode}
    assert found[inode].pid == os.getpid()


def test_nothing_is_looked_for() -> None:
    assert read_holders(set()) == {}
