"""nf_tables: the one rule that killed the packet, by whichever way it was reached."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from scenarios import traffic
from scenarios.blame import blame, blame_policy, deaths
from scenarios.firewalls import Rule, nft, nft_rules, snapshot, the_rule
from scenarios.namespaces import Lab, Namespace, joined_pair
from scenarios.roads import BEYOND4, BEYOND6, turn_around
from scenarios.waiting import eventually
from scenarios.whydrop_process import Whydrop, stopped

TWINS = range(7000, 7060)

# name: destination port, chains on the way after the base chain. The rule to blame has the name as its comment.
WAYS = {
    "plain": (5000, ()),
    "jump": (5001, ("jumped",)),
    "goto": (5002, ("gone",)),
    "nested": (5003, ("outer", "middle", "inner")),
    "anonymous vmap": (5004, ("mapped",)),
    "named vmap": (5005, ("mapped",)),
    "set": (5006, ()),
    "concatenation": (5007, ()),
    "concatenated vmap": (5008, ("mapped",)),
    "limit": (5009, ()),
    "quota": (5010, ()),
    "ct state": (5011, ()),
    "log": (5012, ()),
    "counts by name": (5013, ()),
    "after a return": (5014, ()),
    "interval": (5015, ()),
    "many things": (5016, ()),
    "vmap drops": (5020, ()),
    "named vmap drops": (5021, ()),
    "named vmap, jumped to": (5022, ("judge",)),
    "reject icmp": (5030, ()),
    "reject icmpx": (5031, ()),
    "reject reset": (5032, ()),
    "reject jumped": (5033, ("refuse",)),
}
REJECTS = {name for name in WAYS if name.startswith("reject")}

RULESET = """
table inet ways {
  counter kept { }
  set ports { type inet_service; elements = { 5006, 5106 } }
  set pairs { type ipv4_addr . inet_service; elements = { %(a)s . 5007, 10.1.1.1 . 5000 } }
  map verdicts { type inet_service : verdict; elements = { 5005 : goto mapped, 5021 : drop, 5121 : accept } }
  map judgement { type inet_service : verdict; elements = { 5022 : drop } }
  chain jumped { udp dport 5001 counter drop comment "jump" }
  chain gone { udp dport 5002 counter drop comment "goto" }
  chain inner { udp dport 5003 counter drop comment "nested" }
  chain middle {
    udp dport 5103 drop
    udp dport 5003 counter goto inner
  }
  chain outer { udp dport 5003 jump middle; udp dport 5203 drop; }
  chain passing { udp dport 9 drop; return; }
  chain mapped {
    udp dport 5004 counter drop comment "anonymous vmap"
    udp dport 5005 counter drop comment "named vmap"
    udp dport 5008 counter drop comment "concatenated vmap"
  }
  chain judge { counter udp dport vmap @judgement comment "named vmap, jumped to" }
  chain refuse { udp dport 5033 counter reject with icmpx type no-route comment "reject jumped" }
  chain entrance {
    type filter hook input priority 0; policy accept;
    udp dport 5000 counter drop comment "plain"
    udp dport 5001 jump jumped
    udp dport 5002 goto gone
    udp dport 5003 jump outer
    udp dport vmap { 5004 : jump mapped, 5104 : drop }
    udp dport @ports counter drop comment "set"
    ip saddr . udp dport @pairs counter drop comment "concatenation"
    ip saddr . udp dport vmap { %(a)s . 5008 : goto mapped, 10.1.1.1 . 5000 : drop }
    udp dport 5009 limit rate 100/second burst 100 packets counter drop comment "limit"
    udp dport 5010 quota over 1 bytes counter drop comment "quota"
    udp dport 5011 ct state new counter drop comment "ct state"
    udp dport 5012 log prefix "seen " counter drop comment "log"
    udp dport 5013 counter name kept drop comment "counts by name"
    udp dport 5014 jump passing
    udp dport 5014 counter drop comment "after a return"
    udp dport 5015-5015 ip ttl 2-200 counter drop comment "interval"
    ip saddr %(a)s ip protocol udp meta l4proto udp iifname "vb" udp sport 1-65000 ct state new,established \
      limit rate 500/second burst 50 packets log udp dport 5016 counter drop comment "many things"
    udp dport 5020 counter comment "beside vmap drops"
    udp dport vmap { 5020 : drop, 5120 : accept } comment "vmap drops"
    udp dport 5021 counter comment "beside named vmap drops"
    udp dport 5022 jump judge
    udp dport 5030 counter reject with icmp type admin-prohibited comment "reject icmp"
    udp dport 5031 counter reject with icmpx type admin-prohibited comment "reject icmpx"
    tcp dport 5032 counter reject with tcp reset comment "reject reset"
    udp dport 5033 jump refuse
    udp dport vmap @verdicts comment "named vmap drops"
  }
}
"""
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
FAMILIES = {"ip": 6000, "ip6": 6010, "inet": 6020}


@contextmanager
def unchanged(end: Namespace) -> Iterator[None]:
    before = snapshot(end)
    yield
    assert snapshot(end) == before


@pytest.fixture(scope="module")
def ways(whydrop: Whydrop) -> Iterator[Lab]:
    with joined_pair() as lab:
        nft(lab.b, RULESET % {"a": lab.a.v4})
        with unchanged(lab.b):
            yield lab


@pytest.fixture(scope="module")
def hooked(whydrop: Whydrop) -> Iterator[Lab]:
    """A table for each family, with a chain and a rule in each hook."""
    with joined_pair() as lab:
        turn_around(lab)
        chain = 'chain %s { type filter hook %s priority -5; udp dport %d counter drop comment "%s %s"; }\n'
        tables = [
            f"table {family} h{family} {{\n"
            + "".join(chain % (f"c{hook}", hook, base + n, family, hook) for n, hook in enumerate(HOOKS))
            + "}\n"
            for family, base in FAMILIES.items()
        ]
        nft(lab.b, "".join(tables))
        with unchanged(lab.b):
            yield lab


def counted(end: Namespace, comment: str, count: int) -> None:
    """The kernel's own count of the rule with this comment is, or becomes, `count`."""
    needle = f'comment "{comment}"'
    eventually(lambda: the_rule(nft_rules(end), needle).packets == count, f"{comment} counts {count}")


@pytest.mark.twice
@pytest.mark.parametrize("name", WAYS)
def test_ways_to_a_rule(ways: Lab, whydrop: Whydrop, name: str) -> None:
    port, chains = WAYS[name]
    if name == "reject reset":
        traffic.segments(ways.a, (ways.a.v4, ways.b.v4), (40000, port), count=5)
    else:
        traffic.datagrams(ways.a, ways.b.v4, [port] * 5)
    rule = the_rule(nft_rules(ways.b), f'comment "{name}"')
    if "vmap drops" in name:
        counted(ways.b, f"beside {name}", 5)
    elif name == "counts by name":
        assert "packets 5 " in ways.b.run("nft list counter inet ways kept").stdout
    else:
        counted(ways.b, name, 5)
    found = deaths(whydrop, ways.b, 5, port)
    cause = "netfilter.nft-reject" if name in REJECTS else "netfilter.nft-rule"
    blame(found, rule, cause, way=("entrance", *chains))


@pytest.mark.twice
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(("family", "version"), [("ip", 4), ("ip6", 6), ("inet", 4), ("inet", 6)])
def test_every_hook(hooked: Lab, whydrop: Whydrop, family: str, version: int, hook: str) -> None:
    port = FAMILIES[family] + HOOKS.index(hook)
    start, end = (hooked.b, hooked.a) if hook in ("output", "postrouting") else (hooked.a, hooked.b)
    v4, v6 = (BEYOND4, BEYOND6) if hook == "forward" else (end.v4, end.v6)
    address = v4 if version == 4 else v6
    comment = f'comment "{family} {hook}"'
    before = the_rule(nft_rules(hooked.b), comment).packets or 0
    traffic.datagrams(start, address, [port] * 3)
    counted(hooked.b, f"{family} {hook}", before + 3)
    found = deaths(whydrop, hooked.b, 3, port, lambda line: line["packet"]["family"] == version)
    blame(found, the_rule(nft_rules(hooked.b), comment))


def test_near_twins(lab: Lab, whydrop: Whydrop) -> None:
    """Sixty rules that differ in one port, thirty more that differ in one address: each is blamed for its own."""
    sources = [f"10.66.0.{host}" for host in range(1, 31)]
    lab.a.run("ip route add local 10.66.0.0/24 dev lo")
    twins = [f"udp dport {port} counter drop" for port in TWINS]
    twins += [f"ip saddr {source} udp dport 7777 counter drop" for source in sources]
    nft(lab.b, "table ip t {\nchain c { type filter hook input priority 0;\n" + "\n".join(twins) + "\n} }")
    traffic.datagrams(lab.a, lab.b.v4, TWINS)
    for source in sources:
        traffic.datagrams(lab.a, lab.b.v4, [7777], source=source)
    rules = nft_rules(lab.b)
    assert [rule.packets for rule in rules] == [1] * len(twins)
    for port in TWINS:
        blame(deaths(whydrop, lab.b, 1, port), the_rule(rules, f"dport {port}"))
    for line in deaths(whydrop, lab.b, len(sources), 7777):
        blame([line], the_rule(rules, f"saddr {line['packet']['saddr']}"))


def test_two_rules_alternate_at_speed(lab: Lab, whydrop: Whydrop) -> None:
    rules = 'udp dport 7100 counter drop comment "even"\nudp dport 7101 counter jump odd'
    odd = 'chain odd { counter drop comment "odd"; }'
    nft(lab.b, f"table inet t {{ {odd}\nchain c {{ type filter hook input priority 0;\n{rules}\n}} }}")
    traffic.datagrams(lab.a, lab.b.v4, [7100, 7101] * 500)
    for name, port in (("even", 7100), ("odd", 7101)):
        counted(lab.b, name, 500)
        rule = the_rule(nft_rules(lab.b), f'comment "{name}"')
        blame(deaths(whydrop, lab.b, 500, port), rule)


@pytest.mark.parametrize(
    "rules",
    ["", 'udp dport 7200 counter comment "counts"\nudp dport 7300 accept\n'],
    ids=["bare", "with rules"],
)
def test_policy(lab: Lab, whydrop: Whydrop, rules: str) -> None:
    """An earlier chain counts what comes to the chain whose policy drops it."""
    lines = f"type filter hook input priority 10; policy drop;\n{rules}"
    witness = 'type filter hook input priority -10;\nudp dport 7200 counter comment "witness"\n'
    nft(lab.b, f"table inet t {{ chain first {{ {witness} }}\nchain last {{ {lines} }} }}")
    traffic.datagrams(lab.a, lab.b.v4, [7200] * 7)
    counted(lab.b, "witness", 7)
    blame_policy(deaths(whydrop, lab.b, 7, 7200), "t", "last")


def test_policy_after_a_chain_that_returned(lab: Lab, whydrop: Whydrop) -> None:
    nft(
        lab.b,
        """table ip t {
          chain away { udp dport 1 drop; counter comment "witness"; return; }
          chain c { type filter hook input priority 0; policy drop; udp dport 7200 jump away; } }""",
    )
    traffic.datagrams(lab.a, lab.b.v4, [7200] * 3)
    counted(lab.b, "witness", 3)
    blame_policy(deaths(whydrop, lab.b, 3, 7200), "t", "c")


def test_a_rule_goes_and_another_comes(lab: Lab, whydrop: Whydrop) -> None:
    chain = "table inet t {{ chain c {{ type filter hook input priority 0;\n{} }} }}"
    nft(lab.b, chain.format('udp dport 7400 counter drop comment "first"'))
    first = the_rule(nft_rules(lab.b), 'comment "first"')
    traffic.datagrams(lab.a, lab.b.v4, [7400] * 3)
    counted(lab.b, "first", 3)
    early = deaths(whydrop, lab.b, 3, 7400)
    nft(
        lab.b,
        f"delete rule inet t c handle {first.handle}\n"
        'insert rule inet t c udp dport 7400 counter drop comment "second"',
    )
    traffic.datagrams(lab.a, lab.b.v4, [7400] * 5)
    counted(lab.b, "second", 5)
    both = deaths(whydrop, lab.b, 8, 7400)
    blame(early, first)
    blame(both[3:], the_rule(nft_rules(lab.b), 'comment "second"'))


@pytest.mark.parametrize("what", ["the rule", "the table"])
def test_gone_before_anybody_looked(lab: Lab, whydrop: Whydrop, what: str) -> None:
    """What has taken the place of the rule, in the second case with all its names and numbers, is never shown."""
    table = (
        'table inet t {{ chain c {{ type filter hook input priority 0;\n{} counter drop comment "{}"; }} }}'
    )
    nft(lab.b, table.format("udp dport 7500", "old"))
    old = the_rule(nft_rules(lab.b), 'comment "old"')
    with stopped(whydrop):
        traffic.datagrams(lab.a, lab.b.v4, [7500] * 3)
        counted(lab.b, "old", 3)
        if what == "the rule":
            nft(
                lab.b,
                f"delete rule inet t c handle {old.handle}\n"
                'add rule inet t c udp dport 7500 counter drop comment "new"',
            )
        else:
            nft(lab.b, "delete table inet t\n" + table.format("meta l4proto udp", "new"))
            assert the_rule(nft_rules(lab.b), 'comment "new"').handle == old.handle
    not_blamed_on_another(deaths(whydrop, lab.b, 3, 7500), old)


def not_blamed_on_another(found: list[dict[str, object]], old: Rule) -> None:
    for line in found:
        thing = line["object"]
        assert "new" not in str(thing), line
        if isinstance(thing, dict) and thing.get("handle") is not None:
            assert (thing["table"], thing["handle"]) == (old.table, old.handle), line


def test_equal_names_and_handles_in_several_namespaces(whydrop: Whydrop) -> None:
    with ExitStack() as stack:
        labs = [stack.enter_context(joined_pair()) for _ in range(3)]
        for number, each in enumerate(labs):
            rules = "".join(f'udp dport {7600 + n} counter drop comment "in {number}"\n' for n in range(3))
            nft(each.b, f"table inet t {{ chain c {{ type filter hook input priority 0;\n{rules} }} }}")
        for _ in range(5):
            for each in labs:
                traffic.datagrams(each.a, each.b.v4, [7601])
        handles = set()
        for each in labs:
            rule = the_rule(nft_rules(each.b), "dport 7601")
            assert rule.packets == 5
            handles.add(rule.handle)
            blame(deaths(whydrop, each.b, 5, 7601), rule)
        assert len(handles) == 1
