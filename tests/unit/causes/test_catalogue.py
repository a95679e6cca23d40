"""Every cause keeps the rules of the catalogue."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import dropwatch.causes as causes
from dropwatch.causes import CATALOGUE, by_id
from dropwatch.causes.cause import Cause
from dropwatch.causes.family import Family
from dropwatch.causes.precedence import FAMILIES
from dropwatch.names import symbols

each = pytest.mark.parametrize("cause", CATALOGUE, ids=lambda cause: cause.id)
ROOM = Path(causes.__file__).parent
ROOMS = {path.stem for path in ROOM.iterdir()}


def paragraphs(text: str) -> list[str]:
    return [line for line in text.strip().split("\n") if not line.startswith("$ ")]


def commands(text: str) -> list[str]:
    return [line[2:] for line in text.split("\n") if line.startswith("$ ")]


def test_ids_are_unique() -> None:
    assert [name for name, count in Counter(cause.id for cause in CATALOGUE).items() if count > 1] == []
    assert len(CATALOGUE) > 140


def test_what_is_harmless_is_asked_first() -> None:
    assert FAMILIES[0].name == "benign"


def test_causes_are_found_by_id() -> None:
    assert (
        by_id("IPsec.Auth-Failed") is CATALOGUE[[cause.id for cause in CATALOGUE].index("ipsec.auth-failed")]
    )
    assert by_id("ipsec.no-such-thing") is None


@each
def test_the_id_names_a_family_that_has_a_room(cause: Cause) -> None:
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+(-[a-z0-9]+)*", cause.id)
    assert cause.family in {family.name for family in FAMILIES}
    assert cause.family in ROOMS


@each
def test_the_words_say_enough_and_not_too_much(cause: Cause) -> None:
    assert 10 < len(cause.title) <= 80
    assert not cause.title.endswith(".")
    assert len(" ".join(paragraphs(cause.why))) >= 200
    assert not commands(cause.why), "commands belong into confirm and fix"
    assert commands(cause.confirm), "how to see it with a standard tool"


@each
def test_there_is_something_to_do_unless_nothing_is_wrong(cause: Cause) -> None:
    assert bool(cause.fix) == (cause.family != "benign")
    for fix in cause.fix:
        assert fix.text
        assert not fix.text.endswith(".")
        assert fix.command is None or (fix.command.strip() == fix.command and "\n" not in fix.command)


@each
def test_commands_are_balanced_and_use_known_tools(cause: Cause) -> None:
    shown = [*commands(cause.confirm), *(fix.command for fix in cause.fix if fix.command)]
    for command in shown:
        assert command.count("'") % 2 == 0, command
        assert command.split()[0] in TOOLS, command


TOOLS = {
    *(
        "arping",
        "arptables",
        "arptables-legacy",
        "ausearch",
        "bpftool",
        "bridge",
        "cat",
        "cilium-dbg",
        "conntrack",
    ),
    *("dmesg", "ebtables-legacy", "echo", "ethtool", "firewall-cmd", "grep", "ip", "ip6tables-legacy-save"),
    *(
        "iptables",
        "iptables-legacy",
        "iptables-legacy-save",
        "iptables-save",
        "ipvsadm",
        "journalctl",
        "lsmod",
    ),
    *("lsof", "modprobe", "mpstat", "nft", "nstat", "perf", "ping", "setenforce", "ss", "swanctl", "sysctl"),
    *("systemctl", "systemd-cgtop", "tc", "tcpdump", "top", "traceroute", "virsh", "watch", "wg", "whydrop"),
}


@each
def test_everything_it_refers_to_has_words(cause: Cause) -> None:
    assert set(cause.reasons) <= set(symbols.reasons())
    assert set(cause.seen_as) <= set(symbols.reasons())
    assert set(cause.seen_at) <= set(symbols.functions())
    assert not set(cause.reasons) & set(cause.seen_as)


def test_every_family_has_words() -> None:
    assert set(symbols.families()) == {family.name for family in FAMILIES}


@pytest.mark.parametrize("kind", symbols.COUNTER_KINDS)
def test_counters_rise_with_causes_that_there_are(kind: str) -> None:
    assert {name for words in symbols.counters(kind).values() for name in words.causes} <= set(causes.BY_ID)


def test_no_reason_settles_two_causes() -> None:
    settled = Counter(reason for cause in CATALOGUE for reason in cause.reasons)
    assert [reason for reason, count in settled.items() if count > 1] == []


def test_reasons_with_several_meanings_settle_nothing() -> None:
    """Each of these is given for things that a user would fix differently (dropreason-core.h and its users)."""
    ambiguous = {
        "DEV_READY",
        "FULL_RING",
        "IP_INADDRERRORS",
        "IP_INHDR",
        "IP_INNOROUTES",
        "IP_LOCALNET",
        "IP_OUTNOROUTES",
        "NEIGH_CREATEFAIL",
        "NETFILTER_DROP",
        "NOMEM",
        "NOT_SPECIFIED",
        "NO_SOCKET",
        "NO_TX_TARGET",
        "OTHERHOST",
        "PKT_TOO_BIG",
        "PROTO_MEM",
        "QDISC_DROP",
        "QUEUE_PURGE",
        "SOCKET_FILTER",
        "SOCKET_RCVBUFF",
        "UNHANDLED_PROTO",
        "XFRM_POLICY",
    }
    assert not ambiguous & {reason for cause in CATALOGUE for reason in cause.reasons}


def named_by(family: Family) -> set[str]:
    """Ids of causes that stand in the code of a family, beside those that are its causes' own names."""
    found = set()
    path = ROOM / family.name
    for module in sorted(path.glob("*.py")) or [path.with_suffix(".py")]:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        own = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "id"
        }
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in own)
        found |= {
            str(text.value) for text in texts if re.fullmatch(rf"{family.name}\.[a-z0-9-]+", str(text.value))
        }
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_names_its_own_causes_only(family: Family) -> None:
    own = {cause.id for cause in family.causes}
    assert all(cause.family == family.name for cause in family.causes)
    assert named_by(family) <= own


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_cause_that_nothing_tells_apart_says_where_it_hides(family: Family) -> None:
    told = named_by(family)
    assert all(cause.seen_at for cause in family.causes if not cause.reasons and cause.id not in told)
