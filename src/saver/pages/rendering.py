"""Templates. Whatever they print is escaped, and shows which characters it has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from saver import times
from saver.errors import limited
from saver.human import counted, in_utc, size
from saver.pages.page import model_at, version_at

STATIC = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
"""The kinds of files that pages need."""


FEW = 200
"""Entries of a list on a page; a link leads to all."""

CUT = 1000
"""Characters of a text that is one of many."""


def plain(value: Any) -> Any:
    """What `{{ }}` prints: nothing in it changes the direction of the text around it, or hides."""
    if isinstance(value, Markup):
        return value
    return limited(str(value)) if value is not None else ""


def exact(text: str) -> Markup:
    """A text as it is, escaped alone, for fields in which people edit it."""
    return Markup("\n") + escape(text)  # HTML leaves out a line break at the beginning of a text area


def exactly(text: str) -> Markup:
    """A text as it is, escaped alone, for the value of a field."""
    return escape(text)


def as_json(text: str) -> Markup:
    """A text for scripts, in an attribute: as JSON, of printable ASCII."""
    return escape(json.dumps(text).replace("\x7f", "\\u007f"))


def path(text: str) -> Markup:
    """A name in an address."""
    return escape(quote(text, safe="/@=:"))


def number(value: float | str) -> str:
    """A metric, for a table."""
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)


class Few(NamedTuple):
    """The first of many, and how many others there are."""

    shown: tuple[Any, ...]
    more: int


def few(items: Collection[Any], most: int = FEW) -> Few:
    """The first items of a list that may be long: a page has no more of them."""
    return Few(tuple(islice(items, most)), max(0, len(items) - most))


def cut(text: str) -> str:
    """A text that is one of many on a page."""
    return text if len(text) <= CUT else f"{text[:CUT]}…"


def when(seconds: float) -> Markup:
    """A time: how long ago, and exactly as its title."""
    ago, there = times.age(seconds), in_utc(seconds)
    text = f"{ago} ago" if ago not in ("", "now") else ago or times.local(seconds) or "at an unknown time"
    if there is None:
        return escape(text)
    said = Markup('<time datetime="{}" title="{}">{}</time>')
    return said.format(f"{there:%Y-%m-%dT%H:%M:%SZ}", times.local(seconds), text)


@lru_cache(1)
def assets() -> Mapping[str, bytes]:
    """The files of `static/`, by name."""
    folder = files("saver.pages") / "static"
    return {
        each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in STATIC
    }


@lru_cache(100)
def asset(name: str) -> str:
    """The address of a file; it changes with the file, so browsers keep it."""
    return f"/static/{name}?v={hashlib.sha256(assets()[name]).hexdigest()[:12]}"


@lru_cache(1)
def templates() -> Environment:
    """The templates of this package."""
    made = Environment(
        loader=PackageLoader("saver.pages"), autoescape=True, undefined=StrictUndefined, finalize=plain,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "as_json": as_json, "cut": cut,
        "size": size, "exact": exact, "when": when, "exactly": exactly, "path": path, "number": number,
    }  # fmt: skip
    made.globals |= {
        "asset": asset,
        "model_at": model_at,
        "version_at": version_at,
        "counted": counted,
        "few": few,
    }
    return made


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """A template with its values, as UTF-8."""
    text = templates().get_template(template).render(values)
    return text.encode("utf-8", "backslashreplace")
