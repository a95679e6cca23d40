"""What is attached where: the table of probe families. A hook that is not there becomes a sentence, not a crash."""

from dataclasses import dataclass

from dropwatch.probe.program import Family


@dataclass(frozen=True, slots=True)
class Hook:
    """One BPF function and the kernel function whose entry it watches."""

    program: str
    function: str


XFRM = Family("ipsec input", "xfrm.c", "FAMILY_XFRM")

FAMILIES = (XFRM,)

# A family works only with its first hook: the others lean on what it notes.
HOOKS = {
    XFRM.name: (
        Hook("on_xfrm_input", "xfrm_input"),
        Hook("on_xfrm_audit_state_icvfail", "xfrm_audit_state_icvfail"),
        Hook("on_xfrm_audit_state_notfound", "xfrm_audit_state_notfound"),
        Hook("on_xfrm_audit_state_replay", "xfrm_audit_state_replay"),
    ),
}
