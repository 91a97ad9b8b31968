"""The form in which a model is tried: a field for each input, with what goes in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from saver.schema import Field, Schema
from saver.serve.openapi import example

MOST = 60
"""Fields of a form; a model with more takes its row as JSON."""


class Blank(msgspec.Struct, frozen=True):
    """A field of the form: how its text becomes a value (`number`, `text`, `truth`, `json`); an example."""

    name: str
    kind: str
    example: str
    choices: tuple[str, ...] = ()
    hint: str = ""


class Form(msgspec.Struct, frozen=True):
    """How a row is made of the fields: an object by name, a list, or the only value."""

    shape: str
    blanks: tuple[Blank, ...]


def form_of(schema: Schema) -> Form:
    """The form of a schema."""
    row = example(schema)
    if isinstance(row, dict) and len(row) <= MOST:
        return Form("object", tuple(_blank(field, row[field.name]) for field in schema.inputs))
    if isinstance(row, list) and len(row) <= MOST and not any(isinstance(each, list) for each in row):
        names = (f"{schema.inputs[0].name}[{at}]" for at in range(len(row)))
        kind = "number" if schema.inputs[0].kind in ("float", "int") else "text"
        blanks = (Blank(name, kind, _text(each)) for name, each in zip(names, row, strict=True))
        return Form("list", tuple(blanks))
    return Form("json", (Blank("row", "json", json.dumps(row)[:100_000]),))


def _blank(field: Field, value: Any) -> Blank:
    if len(field.shape) > 1:
        return Blank(field.name, "json", json.dumps(value)[:10_000], (), field.text())
    kind = {"float": "number", "int": "number", "bool": "truth"}.get(field.kind, "text")
    choices = tuple(map(str, field.categories)) if kind == "text" and len(field.categories) <= 1000 else ()
    return Blank(field.name, kind, _text(value), choices, field.seen_text() if not choices else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
