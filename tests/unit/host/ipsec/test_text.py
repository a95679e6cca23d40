"""The lines of `ip xfrm`; what Linux and `ip` say of real SAs and policies is compared in test_xfrm.py too."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dropwatch.host.ipsec.text import policy_line, selector_text, state_line
from dropwatch.model.ipsec import Encap, Selector, XfrmPolicy, XfrmState, XfrmTemplate

A, B = ip_address("10.9.0.1"), ip_address("10.9.0.2")
GCM = ("aead", "rfc4106(gcm(aes))", 160, 128)
SA = XfrmState(4, A, B, "esp", 0x1001, "transport", reqid=1)


@pytest.mark.parametrize(
    ("fields", "tail"),
    [
        ({}, ""),
        ({"algorithms": (GCM,)}, " aead rfc4106(gcm(aes)) 160-bit key 128-bit ICV"),
        (
            {"algorithms": (("enc", "cbc(aes)", 128, 0), ("auth", "hmac(sha256)", 256, 128))},
            " auth-trunc hmac(sha256) 256-bit key 128-bit ICV enc cbc(aes) 128-bit key",
        ),
        ({"algorithms": (("auth", "digest_null", 0, 0),)}, " auth digest_null"),
        ({"replay_window": 32, "esn": True}, " replay-window 32 flag esn"),
        ({"mark": 5, "mark_mask": 0xFF, "if_id": 7}, " mark 0x5/0xff if_id 0x7"),
        ({"mark": 0, "mark_mask": 0xFF}, " mark 0x0/0xff"),
        ({"encap": Encap("espinudp", 4500, 4501)}, " encap type espinudp sport 4500 dport 4501"),
        ({"direction": "in"}, " dir in"),
        ({"selector": Selector(4)}, ""),
        ({"selector": Selector(4, A, 32, None, 0, 17)}, " sel src 10.9.0.1/32 dst 0.0.0.0/0 proto udp"),
        ({"selector": Selector(4, daddr=B, prefixlen_d=32)}, " sel src 0.0.0.0/0 dst 10.9.0.2/32"),
        ({"selector": Selector(4, dport=7, dport_mask=0xFFFF)}, " sel src 0.0.0.0/0 dst 0.0.0.0/0 dport 7"),
        ({"selector": Selector(4, sport=7, sport_mask=0xFFFF)}, " sel src 0.0.0.0/0 dst 0.0.0.0/0 sport 7"),
        ({"selector": Selector(4, proto=6)}, " sel src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp"),
        ({"state": "valid"}, ""),
    ],
)
def test_an_sa_on_one_line(fields: dict[str, Any], tail: str) -> None:
    head = "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x00001001 reqid 1 mode transport"
    assert state_line(replace(SA, **fields)) == head + tail


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (Selector(4), "src 0.0.0.0/0 dst 0.0.0.0/0"),
        (Selector(6), "src ::/0 dst ::/0"),
        (Selector(0), "src any dst any"),
        (Selector(0, A, 32), "src 10.9.0.1/32 dst 0.0.0.0/0"),
        (
            Selector(4, A, 24, B, 32, 6, 80, 0xFFFF, 443, 0xFFFF),
            "src 10.9.0.1/24 dst 10.9.0.2/32 proto tcp sport 80 dport 443",
        ),
        (
            Selector(4, proto=17, dport=5000, dport_mask=0xFFF8),
            "src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 5000/0xfff8",
        ),
        (
            Selector(4, proto=1, sport=8, sport_mask=0xFFFF, dport=0, dport_mask=0xFFFF),
            "src 0.0.0.0/0 dst 0.0.0.0/0 proto icmp type 8 code 0",
        ),
        (Selector(6, proto=58), "src ::/0 dst ::/0 proto icmp6"),
        (Selector(4, ifindex=3), "src 0.0.0.0/0 dst 0.0.0.0/0 dev 3"),
    ],
)
def test_a_selector(selector: Selector, text: str) -> None:
    assert selector_text(selector) == text


def test_a_policy_on_one_line() -> None:
    tunnel = XfrmTemplate("esp", "tunnel", ip_address("fc00::1"), ip_address("fc00::2"), 0x99, 3, True)
    policy = XfrmPolicy(Selector(4, A, 32), "out", "allow", 7, 9, 2, 5, 0xFF, (tunnel,))
    assert policy_line(policy) == (
        "src 10.9.0.1/32 dst 0.0.0.0/0 dir out priority 7 mark 0x5/0xff "
        "tmpl src fc00::1 dst fc00::2 proto esp spi 0x00000099 reqid 3 mode tunnel level use if_id 0x2"
    )
    half_open = replace(tunnel, saddr=None, spi=0, optional=False)
    assert "tmpl src :: dst fc00::2 proto esp reqid 3 mode tunnel if_id" in policy_line(
        replace(policy, templates=(half_open,))
    )
    blocked = replace(policy, action="block", templates=(), if_id=0, mark=0, mark_mask=0)
    assert policy_line(blocked) == "src 10.9.0.1/32 dst 0.0.0.0/0 dir out action block priority 7"
