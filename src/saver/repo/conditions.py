"""Conditions on versions: `auc > 0.8 and not tag = old and (label.team = fraud or time >= 2026-11-20)`.

    condition   = either { "or" either }
    either      = single { "and" single }
    single      = "not" single | "(" condition ")" | name [ operator value ]
    operator    = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"

A name is a field (FIELDS), `metric.NAME`, `label.KEY`, or the bare name of a metric or a label. Names and
values with blanks or signs are quoted. `~` means "contains", whatever the case. A name alone means that the
version has it. A comparison with what a version lacks is false, whatever the operator. Nothing is evaluated:
this is a parser of these words, and of no others.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from saver.repo.refs import BadNameError, period
from saver.repo.version import Version

LENGTH = 2000
"""Characters of a condition."""

DEPTH = 40
"""Parentheses and `not` within one another."""

Holds: TypeAlias = Callable[[Version], bool]


class Condition(msgspec.Struct, frozen=True):
    """`holds` says whether a version satisfies it. `names` are the bare names in it, of metrics or labels,
    each with the value it is compared with if that is not a number (then it must be a label), or else "".
    """

    holds: Holds
    names: frozenset[tuple[str, str]] = frozenset()


NUMBERS: Mapping[str, Callable[[Version], float | None]] = {
    "number": lambda version: version.number,
    "step": lambda version: version.step,
    "size": lambda version: version.bytes,
    "added": lambda version: version.bytes_added,
}
TEXTS: Mapping[str, Callable[[Version], str]] = {
    "author": lambda version: version.author,
    "notes": lambda version: version.notes,
}
FIELDS = (*NUMBERS, "time", *TEXTS, "tag")

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign><=|>=|==|!=|[<>=~()])|(?P<quoted>'[^']*'|"[^"]*")|(?P<word>[^\s<>=!~()'"]+))"""
)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_condition(text: str) -> Condition:
    """The condition that a text states. Raises BadNameError, which says where the text is not a condition."""
    if len(text) > LENGTH:
        raise BadNameError(f"a condition of {len(text):,} characters is longer than {LENGTH:,}")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = self._depth = 0

    def whole(self) -> Condition:
        found = self._either()
        if self._at < len(self._tokens):
            raise self._error("`and`, `or` or the end was expected")
        return found

    def _either(self) -> Condition:
        found = [self._both()]
        while self._takes("or"):
            found.append(self._both())
        return _joined(found, any)

    def _both(self) -> Condition:
        found = [self._single()]
        while self._takes("and"):
            found.append(self._single())
        return _joined(found, all)

    def _single(self) -> Condition:
        if self._depth > DEPTH:
            raise self._error(f"more than {DEPTH} parentheses and `not` within one another")
        self._depth += 1
        try:
            if self._takes("not"):
                inner = self._single()
                return Condition(lambda version: not inner.holds(version), inner.names)
            if self._takes("("):
                found = self._either()
                if not self._takes(")"):
                    raise self._error("`)` was expected")
                return found
        finally:
            self._depth -= 1
        return self._comparison()

    def _comparison(self) -> Condition:
        name = self._next("the name of a metric, a label or a field")
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        sign, value = "", ""
        if token is not None and token.kind == "sign" and token.text not in "()":
            self._at += 1
            sign, value = token.text, self._next("a value").text
        try:
            return _test(name, sign, value)
        except ValueError as error:
            raise BadNameError(f"{self._text[:200]!r}: {error}") from None

    def _takes(self, text: str) -> bool:
        """Whether this word or sign comes next; if so, it is taken."""
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        if token is None or token.kind == "quoted" or token.text.lower() != text:
            return False
        self._at += 1
        return True

    def _next(self, wanted: str) -> _Token:
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        if token is None or token.kind == "sign" or _is_keyword(token):
            raise self._error(f"{wanted} was expected")
        self._at += 1
        return token

    def _error(self, what: str) -> BadNameError:
        at = self._tokens[self._at].at if self._at < len(self._tokens) else len(self._text)
        return BadNameError(
            f"{self._text[:200]!r} is not a condition: {what} at character {at + 1}; write one such as "
            "`auc > 0.8 and not tag = old`"
        )


def _tokens(text: str) -> list[_Token]:
    found, at, end = list[_Token](), 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadNameError(
                f"{text[:200]!r} is not a condition: nothing begins at character {at + 1}; quotes come in "
                "pairs, and not equal is `!=`"
            )
        kind = str(match.lastgroup)
        plain = match[kind][1:-1] if kind == "quoted" else match[kind]
        found.append(_Token(kind, plain, match.start(kind)))
        at = match.end()
    return found


def _is_keyword(token: _Token) -> bool:
    return token.kind == "word" and token.text.lower() in ("and", "or", "not")


def _joined(conditions: list[Condition], how: Callable[[Any], bool]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    tests = [each.holds for each in conditions]
    names = frozenset().union(*(each.names for each in conditions))
    return Condition(lambda version: how(test(version) for test in tests), names)


# Comparisons


def _test(name: _Token, sign: str, value: str) -> Condition:
    """One comparison, or the question whether a version has something. Raises ValueError."""
    kind, dot, rest = name.text.partition(".")
    known = name.text in FIELDS or (kind in ("metric", "label") and rest)
    if name.kind == "quoted" or not known:
        metric, label = _metric(name.text, sign, value, strict=False), _label(name.text, sign, value)
        text = value if sign and (sign == "~" or _number(value) is None) else ""
        return Condition(lambda version: metric(version) or label(version), frozenset({(name.text, text)}))
    if dot:
        return Condition(_metric(rest, sign, value) if kind == "metric" else _label(rest, sign, value))
    if kind == "tag":
        return Condition(_tagged(sign, value))
    if kind == "time":
        return Condition(_timed(sign, value))
    if kind in TEXTS:
        read = TEXTS[kind]
        return Condition(_text_test(lambda version: read(version) or None, sign, value))
    return Condition(_number_test(NUMBERS[kind], sign, value))


def _metric(name: str, sign: str, value: str, strict: bool = True) -> Holds:
    """A test of a metric. Unless `strict`, the name may be that of a label, and a text matches no metric."""
    try:
        return _number_test(lambda version: version.metrics.get(name), sign, value)
    except ValueError:
        if strict:
            raise
        return lambda version: False


def _label(key: str, sign: str, value: str) -> Holds:
    return _text_test(lambda version: version.labels.get(key), sign, value)


def _number_test(read: Callable[[Version], float | None], sign: str, value: str) -> Holds:
    if not sign:
        return lambda version: read(version) is not None
    if sign == "~":
        raise ValueError(f"`~` compares texts, and {value!r} is compared with a number")
    wanted = _number(value)
    if wanted is None:
        raise ValueError(f"{value!r} is not a number")
    if math.isnan(wanted) and sign in ("=", "==", "!="):
        return lambda version: (found := read(version)) is not None and math.isnan(found) == (sign != "!=")
    compare = _COMPARE[sign]
    return lambda version: (found := read(version)) is not None and compare(found, wanted)


def _text_test(read: Callable[[Version], str | None], sign: str, value: str) -> Holds:
    if not sign:
        return lambda version: read(version) is not None
    if sign == "~":
        part = value.casefold()
        return lambda version: (found := read(version)) is not None and part in found.casefold()
    compare = _COMPARE[sign]
    if sign in ("=", "==", "!="):
        return lambda version: (found := read(version)) is not None and compare(found, value)
    return lambda version: (found := read(version)) is not None and compare(*_comparable(found, value))


def _comparable(found: str, value: str) -> tuple[Any, Any]:
    """Two texts, as numbers if both are some."""
    numbers = _number(found), _number(value)
    return numbers if None not in numbers else (found, value)


def _tagged(sign: str, value: str) -> Holds:
    match sign:
        case "":
            return lambda version: bool(version.tags)
        case "=" | "==":
            return lambda version: value in version.tags
        case "!=":
            return lambda version: value not in version.tags
        case "~":
            return lambda version: any(value.casefold() in tag.casefold() for tag in version.tags)
    raise ValueError("a tag is the same as another or not: write `tag = NAME` or `tag != NAME`")


def _timed(sign: str, value: str) -> Holds:
    """A day is one moment that lasts: `time > 2026-11-20` is after its end, `time = 2026-11-20` within it."""
    if not sign:
        return lambda version: True
    first, last = period(f"time{sign}{value}", value)
    tests: Mapping[str, Holds] = {
        "=": lambda version: first <= version.time <= last,
        "!=": lambda version: not first <= version.time <= last,
        "<": lambda version: version.time < first,
        "<=": lambda version: version.time <= last,
        ">": lambda version: version.time > last,
        ">=": lambda version: version.time >= first,
    }
    found = tests.get("=" if sign == "==" else sign)
    if found is None:
        raise ValueError("a time is before another, after it or the same")
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
