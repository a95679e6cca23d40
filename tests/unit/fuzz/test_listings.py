"""Whatever stands in comments and names: a text that is given to a rule is that rule's."""

from hypothesis import given
from hypothesis import strategies as st

from dropwatch.host.nft.compat import Compat, find_rule, saved
from dropwatch.host.nft.kernel import Chain, Expression, Rule, Table
from dropwatch.host.nft.reading import Reading
from dropwatch.host.nft.text import lines_of, printable
from tests.unit.host.nft.structure import packed

TABLE = Table("inet", "t", 2)
PIECES = (
    *(
        '"',
        "\n",
        "\t\t",
        "\t}\n",
        "}\n",
        " # handle ",
        "2",
        "3",
        "4",
        ' comment "',
        "drop",
        "x",
        " {",
        "\tchain c",
    ),
    *(
        "\t\ttype filter hook input priority 0; policy drop;\n",
        "table inet t {",
        "*filter\n",
        "-A c -j DROP\n",
        ":c DROP\n",
    ),
)
HANDLES = range(1, 12)
FORGED = [
    f"{before} # handle {handle}\n{behind}"
    for handle in HANDLES
    for before in ("", '"', '" comment "x"', "\tchain c {")
    for behind in ("", "\t\tforged", '\t\tforged comment "')
]
WORDS = st.lists(st.sampled_from(PIECES) | st.sampled_from(FORGED), max_size=6).map("".join)


@st.composite
def listings(draw: st.DrawFn) -> tuple[str, list[Chain], list[Rule], dict[int, str]]:
    """As nft writes a table: two chains whose comments, rules whose prefixes and comments are somebody's."""
    handles = iter(draw(st.permutations(HANDLES)))
    chains, rules, truth = [], [], {}
    text = f'table inet t {{ # handle 2\n\tset s {{ # handle {next(handles)}\n\t\tcomment "{draw(WORDS)}"\n\t}}\n\n'
    for name in ("c", draw(st.sampled_from(("d", "c { # handle 3\n\tchain d", "c {")))):
        chain = Chain(
            "inet", "t", name, next(handles), draw(st.sampled_from((None, 1))), None, draw(st.none() | WORDS)
        )
        chains.append(chain)
        text += f"\tchain {name} {{ # handle {chain.handle}\n"
        text += "" if chain.comment is None else f'\t\tcomment "{chain.comment}"\n'
        text += "" if chain.hook is None else "\t\ttype filter hook input priority 0; policy accept;\n"
        for _ in range(draw(st.integers(0, 3))):
            rule = Rule(name, next(handles), comment=draw(st.none() | WORDS))
            body = draw(st.sampled_from(("drop", "accept"))) + draw(st.just("") | WORDS)
            body += "" if rule.comment is None else f' comment "{rule.comment}"'
            rules.append(rule)
            truth[rule.handle] = body
            text += f"\t\t{body} # handle {rule.handle}\n"
        text += "\t}\n\n"
    return f"{text[:-1]}}}\n", chains, rules, truth


@given(listings())
def test_a_rule_has_its_own_text_or_none(made: tuple[str, list[Chain], list[Rule], dict[int, str]]) -> None:
    listing, chains, rules, truth = made
    found = lines_of(listing, TABLE, chains, rules)
    for handle, text in found.rules.items():
        assert text == printable(" ".join(line.strip() for line in truth[handle].split("\n")))
    for handle, definition in found.definitions.items():
        assert definition == "type filter hook input priority 0; policy accept;"
        assert handle in [chain.handle for chain in chains if chain.hook is not None]


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_line_of_iptables_is_that_of_its_rule_or_none(comments: list[str]) -> None:
    lines = [f'-A c -m comment --comment "{comment}" -j DROP' for comment in comments]
    text = "*filter\n:c - [0:0]\n" + "".join(f"{line}\n" for line in lines) + "COMMIT\n"
    steps = packed(Expression("counter", {}), Expression("immediate", {}))
    rules = tuple(Rule("c", handle, steps) for handle in range(len(lines)))
    reading = Reading(0, 1, 1, Table("ip", "filter", 1), (Chain("ip", "filter", "c", 1, None, None),), rules)
    compat: Compat = saved("iptables-nft", "filter", text)
    for rule, line in zip(rules, lines, strict=True):
        found = find_rule(reading, compat, rule)
        assert found is None or printable(line).startswith(found.text)
    assert compat.policies.get("c", "-") == "-"
