"""Reads an expression that libpcap has accepted: what it asks of a flow. What is not understood is UNKNOWN.

The rules are those of grammar.y of libpcap: `and` and `or` bind alike, from the left; `not` binds closest; a value
alone has the qualifiers of the one before it (`port 80 or 443`).
"""

import re
from ipaddress import ip_network

from dropwatch.model.expression import OF_LINK, UNKNOWN, All, Any, Node, Not
from dropwatch.model.pattern import pattern
from dropwatch.pcap import primitives
from dropwatch.pcap.primitives import Qualifiers

_TOKEN = pattern(r"\s*(?:(?P<word>\\?[\w.:][-\w.:]*)|(?P<sign>&&|\|\||[<>=!]=|<<|>>|[()\[\]!<>=/+*&|^%-]))")
_AND, _OR, _NOT = frozenset({"and", "&&"}), frozenset({"or", "||"}), frozenset({"not", "!"})
_WORDS = _AND | _OR | _NOT | {"(", ")"}
_RELATIONS = frozenset({">", "<", ">=", "<=", "=", "==", "!="})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "&", "|", "^", "%", "<<", ">>"})
_DEEPEST = 100


class _NotUnderstood(Exception):
    """The rest of the text is libpcap's alone."""


def tree(text: str) -> Node:
    """UNKNOWN where the text as a whole is not understood."""
    try:
        parser = _Parser(_tokens(text))
        found, _ = parser.either(Qualifiers(), 0)
        return UNKNOWN if parser.rest else found
    except (_NotUnderstood, ValueError):
        return UNKNOWN


def _tokens(text: str) -> list[str]:
    """A bracket with all that is in it is one."""
    tokens: list[str] = []
    at, text = 0, text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _NotUnderstood
        token, at = found["word"] or found["sign"], found.end()
        if token == "[":
            at = _behind_bracket(text, at)
            token = "[]"
        tokens.append(token)
    return tokens


def _behind_bracket(text: str, at: int) -> int:
    depth = 1
    while depth:
        if at >= len(text):
            raise _NotUnderstood
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        at += 1
    return at


class _Parser:
    """Each method takes its tokens, and gives what it read with the qualifiers that a value alone after it has."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def rest(self) -> bool:
        return self._at < len(self._tokens)

    def either(self, before: Qualifiers, depth: int) -> tuple[Node, Qualifiers]:
        """An expression, up to its end or to a closing bracket."""
        if depth > _DEEPEST:
            raise _NotUnderstood
        found, before = self._term(before, depth)
        while self._peek() in _AND | _OR:
            joins = All if self._take() in _AND else Any
            other, before = self._term(before, depth)
            found = joins((*found.parts, other)) if isinstance(found, joins) else joins((found, other))
        return found, before

    def _term(self, before: Qualifiers, depth: int) -> tuple[Node, Qualifiers]:
        if depth > _DEEPEST:
            raise _NotUnderstood
        if self._peek() in _NOT:
            self._take()
            found, before = self._term(before, depth + 1)
            return Not(found), before
        relation = self._relation()
        if relation is not None:
            return relation, Qualifiers()
        if self._peek() == "(":
            return self._bracket(before, depth)
        return self._primitive(before, depth)

    def _bracket(self, before: Qualifiers, depth: int) -> tuple[Node, Qualifiers]:
        self._take()
        found, inside = self.either(before, depth + 1)
        if self._take() != ")":
            raise _NotUnderstood
        return found, inside

    def _primitive(self, before: Qualifiers, depth: int) -> tuple[Node, Qualifiers]:
        if self._peek() == "vlan":
            self._take()
            if self._peek().isdecimal():
                self._take()
            return OF_LINK, Qualifiers()
        mine = self._qualifiers()
        if mine.is_whole:
            return primitives.protocol(mine), mine
        if mine == Qualifiers():
            if before == Qualifiers():
                raise _NotUnderstood
            mine = before
        if self._peek() == "(":
            return self._bracket(mine, depth)
        return self._value(mine), mine

    def _qualifiers(self) -> Qualifiers:
        """`udp`, `src`, `port`: which of them are there."""
        protocol = side = kind = None
        if self._peek() in primitives.PROTOCOLS:
            protocol = self._take()
        if self._peek() in ("src", "dst"):
            side = self._side()
        if self._peek() in primitives.KINDS:
            kind = self._take()
        elif protocol is not None and side is None:
            return Qualifiers(protocol, None, None)
        return Qualifiers(protocol, side, kind)

    def _side(self) -> str:
        first = self._take()
        joint = self._tokens[self._at : self._at + 2]
        if len(joint) == 2 and joint[0] in _AND | _OR and joint[1] in ("src", "dst"):
            self._at += 2
            return "both" if joint[0] in _AND else "either"
        return first

    def _value(self, mine: Qualifiers) -> Node:
        value = self._take().removeprefix("\\")
        is_word = value in _WORDS or value in primitives.PROTOCOLS | primitives.KINDS
        if is_word and mine.kind not in ("proto", "protochain"):
            raise _NotUnderstood
        return primitives.fact(mine, value, self._length_of_network())

    def _length_of_network(self) -> str | None:
        if self._peek() == "/":
            self._take()
            return self._take()
        if self._peek() == "mask":
            self._take()
            mask = self._take()
            return str(ip_network(f"0.0.0.0/{mask}").prefixlen)
        return None

    def _relation(self) -> Node | None:
        """`tcp[13] & 2 != 0`, `len > 100`, `less 100`: None where there is none, and nothing is taken."""
        start = self._at
        if self._peek() in ("less", "greater"):
            self._at += 2
            return UNKNOWN
        protocols = self._arithmetic()
        if protocols is not None and self._peek() in _RELATIONS:
            self._take()
            others = self._arithmetic()
            if others is not None:
                return primitives.accessed(protocols + others)
        self._at = start
        return None

    def _arithmetic(self) -> list[str] | None:
        """Whose bytes are looked at; None where it is no arithmetic."""
        found = self._operand()
        while found is not None and self._peek() in _ARITHMETIC:
            self._take()
            other = self._operand()
            found = None if other is None else found + other
        return found

    def _operand(self) -> list[str] | None:
        token = self._peek()
        if token == "-":
            self._take()
            return self._operand()
        if token == "(":
            self._take()
            found = self._arithmetic()
            return found if found is not None and self._peek() == ")" and self._take() else None
        following = self._tokens[self._at + 1 : self._at + 2]
        if token in primitives.PROTOCOLS | primitives.LINKS and following == ["[]"]:
            self._at += 2
            return [token]
        if re.fullmatch(r"len|0[xX][0-9a-fA-F]+|[0-9]+|(icmp6?|tcp)-?\w*-?\w*", token):
            self._take()
            return []
        return None

    def _peek(self) -> str:
        return self._tokens[self._at] if self.rest else ""

    def _take(self) -> str:
        if not self.rest:
            raise _NotUnderstood
        self._at += 1
        return self._tokens[self._at - 1]
