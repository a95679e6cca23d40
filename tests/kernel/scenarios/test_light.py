"""--light: what costs an accepted packet something is attached when a drop needs it, and taken off again."""

import pytest
from scenarios.blame import blame, deaths
from scenarios.firewalls import load_modules, nft, nft_rules, the_rule
from scenarios.namespaces import Lab
from scenarios.outgoing import probed
from scenarios.traffic import datagrams
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop

PORT = 7500
ON_THE_WAY = {
    "nft_do_chain",
    "nft_immediate_eval",
    "nf_conntrack_in",
    "xfrm_input",
    "tcp_timewait_state_process",
}


@pytest.mark.once
def test_probes_come_with_the_first_drop_and_go_after_a_quiet_minute(lab: Lab) -> None:
    load_modules()
    nft(
        lab.b,
        f"table inet t {{ chain c {{ type filter hook input priority 0;\nudp dport {PORT} counter drop\n}} }}",
    )
    with Whydrop("--light", "--netns", lab.b.name, "--dport", str(PORT)) as whydrop:
        assert not probed() & ON_THE_WAY
        datagrams(lab.a, lab.b.v4, [PORT])
        (first,) = deaths(whydrop, lab.b, 1)
        assert "--light" in [evidence["source"] for evidence in first["evidence"]], first
        assert first["cause"]["confidence"] != "certain", first
        eventually(lambda: "nft_do_chain" in probed(), "the probes of netfilter come")
        assert not probed() & {"xfrm_input", "tcp_timewait_state_process"}
        datagrams(lab.a, lab.b.v4, [PORT] * 3)
        blame(deaths(whydrop, lab.b, 4)[1:], the_rule(nft_rules(lab.b), "udp dport"))
        eventually(lambda: not probed() & ON_THE_WAY, "a minute later they go")
        datagrams(lab.a, lab.b.v4, [PORT])
        (last,) = deaths(whydrop, lab.b, 5)[4:]
        assert last["cause"]["confidence"] != "certain", last
        done = whydrop.finish()
    assert done.end is not None
    assert [spot for spot in done.end["blind_spots"] if spot.startswith("--light")], done.end
