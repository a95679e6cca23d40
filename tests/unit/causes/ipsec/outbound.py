"""A packet that is to leave through IPsec, for tests: its SA, its policy, and what the probes noted of it."""

from ipaddress import ip_address
from typing import Any

from dropwatch.model.drop import Verdict
from dropwatch.model.ipsec import (
    Lifetime,
    Selector,
    XfrmPolicy,
    XfrmState,
    XfrmTemplate,
)

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
TIME = 1795205701.5
DROPPED_AT, NETNS = 83521935614, 4026532234
LIFE = Lifetime(add_time=int(TIME) - 60, hard_packets=20, packets=20)
SA = XfrmState(4, A, B, "esp", 0x1001, "tunnel", reqid=1, state="valid", lifetime=LIFE)
POLICY = XfrmPolicy(
    Selector(family=4, daddr=B, prefixlen_d=32),
    "out",
    "allow",
    100,
    9,
    templates=(XfrmTemplate("esp", "tunnel", A, B, reqid=1),),
)
ENCRYPTING = ["xfrm_output_resume", "xfrm_output_one", "xfrm_output"]
DF, NO_DF = bytes((0x45, 0, 0, 0, 0, 0, 0x40)), bytes((0x45, 0, 0, 0, 0, 0, 0))


def through(state: XfrmState = SA, **more: Any) -> Any:
    return {"state": state, "outbound": True} | more


def texts(verdict: Verdict) -> list[str]:
    return [f"{fact.source}: {fact.text}" for fact in verdict.evidence]
