"""The YAML that MLflow writes: nested mappings and lists of scalars.

Tags, anchors, flow collections with content and block scalars are refused, so nothing can be more than text.
"""

from __future__ import annotations

import json
import re
from typing import Any

_LIMIT = 4 << 20
_DEPTH = 30
_KEY = re.compile(r"""('(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s'"\[\]{}#&*!|>%@`,?-][^#]*?)\s*:(?:\s+(.*))?""")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,4})?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False, "[]": [], "{}": {}}


class NotReadError(ValueError):
    """Why a text is not read."""


def parse(text: str) -> dict[str, Any]:
    """The mapping that a text describes. Raises NotReadError."""
    if len(text) > _LIMIT:
        raise NotReadError(f"it has {len(text):,} characters")
    if {"\x85", "\u2028", "\u2029"} & {*text}:
        raise NotReadError("it has line breaks that other readers do not see")
    found = _Text(text).whole()
    if type(found) is not dict:
        raise NotReadError("it is not a mapping")
    return found


class _Text:
    def __init__(self, text: str) -> None:
        self._lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
        self._at = int(self._lines[0] == "---")

    def whole(self) -> Any:
        found = self._block(0, 0) if self._next() is not None else {}
        if self._next() is not None:
            raise NotReadError(f"line {self._at + 1} has another indentation than those before it")
        return found

    def _next(self) -> int | None:
        """The indentation of the next line that is neither blank nor a comment; None at the end."""
        while self._at < len(self._lines) and self._lines[self._at].lstrip()[:1] in ("", "#"):
            self._at += 1
        if self._at == len(self._lines):
            return None
        line = self._lines[self._at]
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise NotReadError(f"line {self._at + 1} begins with a tabulator")
        return len(line) - len(line.lstrip(" "))

    def _block(self, indent: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise NotReadError(f"it is nested more than {_DEPTH} deep")
        return self._list(indent, depth) if self._is_item(indent) else self._mapping(indent, depth)

    def _is_item(self, indent: int) -> bool:
        return self._lines[self._at][indent : indent + 2] in ("- ", "-")

    def _list(self, indent: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while self._next() == indent and self._is_item(indent):
            line = self._lines[self._at]
            rest = line[indent + 2 :]
            if _KEY.fullmatch(rest) or rest.startswith("- ") or rest == "-":
                self._lines[self._at] = f"{' ' * (indent + 2)}{rest}"
                found.append(self._block(indent + 2, depth + 1))
            else:
                self._at += 1
                found.append(self._scalar(rest, indent))
        return found

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._next() == indent and not self._is_item(indent):
            match = _KEY.fullmatch(self._lines[self._at][indent:])
            if match is None:
                raise NotReadError(f"line {self._at + 1} is not a key with a value")
            self._at += 1
            key = str(_quoted(match[1]) if match[1][0] in "'\"" else match[1])
            if key in found:
                raise NotReadError(f"{key[:80]!r} stands there twice")
            found[key] = self._scalar(match[2], indent) if match[2] else self._below(indent, depth)
        return found

    def _below(self, indent: int, depth: int) -> Any:
        inner = self._next()
        if inner is None or inner < indent or (inner == indent and not self._is_item(indent)):
            return None
        return self._block(inner, depth + 1)

    def _scalar(self, first: str, indent: int) -> Any:
        """A scalar that begins so; its other lines are indented further."""
        pieces = [first]
        if first[:1] in ("'", '"'):
            while not _is_closed(pieces):
                if self._at == len(self._lines):
                    raise NotReadError("a text has no end")
                pieces.append(self._lines[self._at].strip())
                self._at += 1
            return _quoted(_folded(pieces))
        while self._at < len(self._lines) and self._lines[self._at]:
            line = self._lines[self._at]
            if len(line) - len(line.lstrip(" ")) <= indent or line.lstrip().startswith("#"):
                break
            pieces.append(line.strip())
            self._at += 1
        return _plain(" ".join(pieces))


def _is_closed(pieces: list[str]) -> bool:
    last, quote = pieces[-1], pieces[0][0]
    body = last[1:] if len(pieces) == 1 else last
    if quote == "'":
        return len(body) - len(body.rstrip("'")) & 1 == 1
    ends = body.endswith('"')
    return ends and (len(body[:-1]) - len(body[:-1].rstrip("\\"))) % 2 == 0


def _folded(pieces: list[str]) -> str:
    """Lines as one: a break is a blank, an empty line a break; a backslash joins without either."""
    found = pieces[0]
    for piece in pieces[1:]:
        if pieces[0][0] == '"' and found.endswith("\\"):
            found = found[:-1] + piece
        elif not piece:
            found += "\n"
        else:
            found += piece if found.endswith("\n") else f" {piece}"
    return found


def _quoted(text: str) -> str:
    if len(text) < 2 or text[0] != text[-1]:
        raise NotReadError("a text is not closed where it ends")
    if text[0] == "'":
        if "'" in text[1:-1].replace("''", ""):
            raise NotReadError("a text goes on after its end")
        return text[1:-1].replace("''", "'")
    try:
        plain = re.sub(r"\\(x[0-9A-Fa-f]{2}|U[0-9A-Fa-f]{8}|.)", _escape, text[1:-1].replace("\n", "\\n"))
        found = json.loads(f'"{plain}"')
    except (ValueError, OverflowError) as error:
        raise NotReadError(f"a text is not written as one: {error}") from None
    return str(found)


def _escape(match: re.Match[str]) -> str:
    """An escape of YAML as JSON has it."""
    what = match[1]
    if what[0] in "xU":
        return json.dumps(chr(int(what[1:], 16)))[1:-1]
    other = {" ": " ", "0": "\\u0000", "e": "\\u001b", "a": "\\u0007", "v": "\\u000b", "_": "\\u00a0"}
    other |= {"N": "\\u0085", "L": "\\u2028", "P": "\\u2029"}
    return other.get(what, match[0])


def _plain(text: str) -> Any:
    if text in _WORDS:
        found = _WORDS[text]
        return found.copy() if type(found) in (list, dict) else found
    if text[:1] in "&*!|>%@`[{" or text[:2] in ("? ", "- ") or re.search(r":( |$)| #", text):
        raise NotReadError(f"{text[:80]!r} is not a plain value")
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
