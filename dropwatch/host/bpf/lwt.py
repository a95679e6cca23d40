"""The BPF programs of routes (`ip route ... encap bpf`), and those of their kinds that are loaded."""

from dropwatch.host import netlink
from dropwatch.host.bpf.programs import Program, programs_of_type, read_program
from dropwatch.model.dataclass import dataclass
from dropwatch.names.foreign import foreign

_ENCAP_BPF = 6  # LWTUNNEL_ENCAP_BPF
_NAME = 2  # LWT_BPF_PROG_NAME
_HOOKS = {1: "in", 2: "out", 3: "xmit"}  # LWT_BPF_IN, _OUT, _XMIT
_TYPES = {"in": 10, "out": 11, "xmit": 12}  # BPF_PROG_TYPE_LWT_*


@dataclass(frozen=True, slots=True)
class RouteProgram:
    """At the `hook` in, out or xmit. `name` is what whoever made the route called it: the kernel tells no number."""

    hook: str
    name: str | None


def of_route(encap_type: bytes | None, encap: bytes | None) -> tuple[RouteProgram, ...]:
    """From RTA_ENCAP_TYPE and RTA_ENCAP."""
    if netlink.number(encap_type) != _ENCAP_BPF:
        return ()
    found = netlink.attributes(encap or b"")
    return tuple(RouteProgram(hook, _name(found[at])) for at, hook in _HOOKS.items() if at in found)


def read_lwt_programs(hook: str) -> tuple[Program, ...]:
    """All that are loaded for that hook, whatever their routes. Raises OSError."""
    return tuple(read_program(number) for number in programs_of_type(_TYPES[hook]))


def _name(program: bytes) -> str | None:
    name = netlink.attributes(program).get(_NAME)
    return foreign(name.partition(b"\0")[0]) if name is not None else None
