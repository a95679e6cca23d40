"""What is attached where: the table of probe families. A hook that is not there becomes a sentence, not a crash."""

from dataclasses import dataclass

from dropwatch.probe.program import Family


@dataclass(frozen=True, slots=True)
class Hook:
    """One BPF function and the kernel function whose entry or return it watches."""

    program: str
    function: str
    at_return: bool = False


XFRM = Family("ipsec input", "xfrm.c", "FAMILY_XFRM")

TCP = Family("tcp", "tcp.c", "FAMILY_TCP")

FAMILIES = (XFRM, TCP)

# A family works only with its first hook: the others lean on what it notes.
HOOKS = {
    XFRM.name: (
        Hook("on_xfrm_input", "xfrm_input"),
        Hook("on_xfrm_audit_state_icvfail", "xfrm_audit_state_icvfail"),
        Hook("on_xfrm_audit_state_notfound", "xfrm_audit_state_notfound"),
        Hook("on_xfrm_audit_state_replay", "xfrm_audit_state_replay"),
    ),
    TCP.name: (
        Hook("on_tcp_timewait_return", "tcp_timewait_state_process", at_return=True),
        Hook("on_tcp_timewait", "tcp_timewait_state_process"),
    ),
}
