"""IPsec, both ways: what xfrm_input, the policy check and the search for an SA say of a packet."""

from dropwatch.probe.family import Family, Hook, both
from dropwatch.wire.ipsec import XFRM_NOTE

XFRM = Family(
    name="ipsec",
    file="xfrm.c",
    flag="FAMILY_XFRM",
    hooks=(
        Hook("xfrm_input", "on_xfrm_input"),
        Hook("xfrm_audit_state_icvfail", "on_xfrm_audit_state_icvfail"),
        Hook("xfrm_audit_state_notfound", "on_xfrm_audit_state_notfound"),
        Hook("xfrm_audit_state_replay", "on_xfrm_audit_state_replay"),
        Hook("xfrm_audit_state_replay_overflow", "on_xfrm_audit_state_replay_overflow"),
        Hook("__xfrm_policy_check", "on_policy_check", "on_policy_check_return"),
        Hook("__xfrm_state_delete", "on_state_delete"),
    ),
    notes=(XFRM_NOTE,),
)

# Without an IPsec policy the search for one refuses nothing.
XFRM_OUTPUT = Family(
    name="ipsec output",
    file="xfrm_output.c",
    flag="FAMILY_XFRM_OUTPUT",
    hooks=(
        Hook("xfrm_lookup_with_ifid", "on_xfrm_lookup", "on_xfrm_lookup_return"),
        *both("on_waiting_first", "on_waiting_return", "__xfrm_route_forward"),
        *both("on_waiting_first", "on_waiting_return", "ndisc_send_skb", "mld_sendpack"),
        *both("on_waiting_first", "on_waiting_return", "xfrmi_xmit", "vti_tunnel_xmit", "vti6_tnl_xmit"),
        *both("on_waiting_third", "on_waiting_return", "ip_route_me_harder", "ip6_route_me_harder"),
    ),
    needs=XFRM.name,
    comes_and_goes=True,
    configured_by=(("xfrm_user", "xfrm_add_policy"), ("af_key", "pfkey_spdadd")),
)
