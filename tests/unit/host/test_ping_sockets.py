"""The identifiers of ping sockets, from the listings of the kernel."""

from pathlib import Path

import pytest

from dropwatch.host import ping_sockets
from dropwatch.host.netns.netns import own_inode

LISTING = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   77: 00000000:004D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711
  300: 0200090A:012C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712
"""


def test_they_stand_where_others_have_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "icmp").write_text(LISTING)
    monkeypatch.setattr(ping_sockets, "_LISTINGS", (tmp_path / "icmp", tmp_path / "not there"))
    assert ping_sockets.read_ping_sockets(own_inode()) == (77, 300)
