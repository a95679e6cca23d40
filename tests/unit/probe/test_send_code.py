"""Where the functions are that send: what this kernel does not have is nowhere."""

from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.probe.send_code import read_send_code
from dropwatch.wire.send import CALLERS, PROBED


class Known(Kallsyms):
    def __init__(self) -> None:
        pass

    def extent(self, name: str) -> tuple[int, int]:
        return (16, 32) if name in ("tcp_v4_connect", "udp_sendmsg") else (0, 0)


def test_each_function_has_its_place() -> None:
    found = read_send_code(Known())
    probed = {
        name for name, each in zip(PROBED, found.probed, strict=True) if (each.start, each.end) == (16, 32)
    }
    assert probed == {"tcp_v4_connect", "udp_sendmsg"}
    assert [each.end for each in found.caller] == [32] + [0] * (len(found.caller) - 1)
    assert CALLERS[0] == "udp_sendmsg"
