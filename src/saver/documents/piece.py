"""What every document is made of, and how one is made from what a command works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, TypeVar

import msgspec

from saver.human import in_utc

Number: TypeAlias = float | Literal["nan", "inf", "-inf"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document."""


class Whole(Piece, frozen=True, kw_only=True, tag_field="schema", tag="saver.document.1"):
    """A whole document; `schema` says which."""


D = TypeVar("D", bound=Piece)


def document(kind: type[D], source: object = None, **given: object) -> D:
    """A document or a piece of one: its fields come from `given`, or else from the attributes of `source`."""
    names = [field.name for field in msgspec.structs.fields(kind)]
    values: Mapping[str, object] = {
        name: given[name] if name in given else getattr(source, name) for name in names
    }
    return msgspec.convert(values, kind, from_attributes=True)


def utc(seconds: float) -> str | None:
    """`2026-11-21T06:49:14Z`; None for a time outside the calendar."""
    found = in_utc(seconds)
    return None if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"
