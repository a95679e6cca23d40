"""The judge of IPsec: in through xfrm_input, past the policies, out through xfrm_output."""

from dropwatch.causes.family import Family, Judgement, first_of
from dropwatch.causes.ipsec import (
    binding_signs,
    input_signs,
    integrity_signs,
    no_state_signs,
    out_no_state_signs,
    output_signs,
    policy_signs,
    size_signs,
)
from dropwatch.causes.ipsec.case import Case
from dropwatch.causes.ipsec.connection import with_connection
from dropwatch.causes.ipsec.input import INPUT
from dropwatch.causes.ipsec.output import OUTPUT
from dropwatch.causes.ipsec.policy import POLICY
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop

_ORDER = (
    ("ipsec.replay", integrity_signs.old_extended),
    ("ipsec.auth-failed", integrity_signs.auth_failed),
    ("ipsec.auth-failed", integrity_signs.icv_length),
    ("ipsec.no-state", no_state_signs.no_state),
    ("ipsec.replay", input_signs.replay),
    ("ipsec.expired", input_signs.expired),
    ("ipsec.state-invalid", input_signs.state_invalid),
    ("ipsec.state-invalid", output_signs.out_invalid),
    ("ipsec.encap-mismatch", input_signs.encap_mismatch),
    ("ipsec.mode-mismatch", input_signs.mode_mismatch),
    ("ipsec.decrypt-garbage", input_signs.decrypt_garbage),
    ("ipsec.header-error", input_signs.header_error),
    ("ipsec.interface-mismatch", binding_signs.policy_of_other_interface),
    ("ipsec.interface-mismatch", out_no_state_signs.state_of_other_interface),
    ("ipsec.mark-mismatch", no_state_signs.state_of_other_mark),
    ("ipsec.mark-mismatch", binding_signs.policy_of_other_mark),
    ("ipsec.mark-mismatch", out_no_state_signs.state_of_other_mark),
    ("ipsec.selector-mismatch", policy_signs.selector_mismatch),
    ("ipsec.template-mismatch", policy_signs.template_mismatch),
    ("ipsec.no-policy", policy_signs.no_policy),
    ("ipsec.policy-block", policy_signs.policy_block),
    ("ipsec.out-no-state", out_no_state_signs.out_no_state),
    ("ipsec.out-no-state", out_no_state_signs.discarded_while_sending),
    ("ipsec.out-expired", output_signs.out_expired),
    ("ipsec.out-seq-overflow", output_signs.out_overflow),
    ("ipsec.out-mtu", size_signs.out_mtu),
)


def _judge(drop: Drop, host: Host) -> Judgement | None:
    found = first_of(_ORDER, Case(drop, host))
    if found is None:
        return None
    cause_id, verdict = found
    return cause_id, with_connection(verdict, drop, host)


IPSEC = Family("ipsec", (*INPUT, *POLICY, *OUTPUT), _judge)
