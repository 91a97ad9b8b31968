"""OpenAPI 3.1 of what is served: one address for each model, with its schema and an example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver import __version__
from saver.schema import Field, Schema
from saver.schema.fields import Seen

TYPES = {"float": "number", "int": "integer", "bool": "boolean", "str": "string", "time": "string"}


def document(models: Iterable[tuple[str, int, Schema]], protected: bool) -> dict[str, Any]:
    """The document for these names, versions and schemas."""
    paths = {f"/predict/{name}": _path(name, number, schema) for name, number, schema in models}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Saver", "version": __version__},
        "paths": paths,
        "components": {"schemas": {"Refusal": REFUSAL}},
    }
    if protected:
        found["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"bearer": []}]
    return found


def _path(name: str, number: int, schema: Schema) -> dict[str, Any]:
    outputs = {field.name: _value(field) for field in schema.outputs}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    answer = {"application/json": {"schema": _answer(outputs)}}
    only = {
        "name": "outputs", "in": "query", "schema": {"type": "string"},
        "description": f"Which outputs to compute, with commas between them: {', '.join(outputs)}.",
    }  # fmt: skip
    return {
        "post": {
            "summary": f"Predictions of {name}, version {number}",
            "operationId": f"predict {name}",
            "parameters": [only],
            "requestBody": {"required": True, "content": _body(schema)},
            "responses": {
                "200": {"description": "a row for each row", "content": answer},
                "4XX": {"description": "refused", "content": refusal},
                "503": {"description": "too busy; see Retry-After", "content": refusal},
            },
        }
    }


def _body(schema: Schema) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": row_schema(schema)}
    body = {
        "type": "object", "required": ["rows"], "properties": {"rows": rows},
        "additionalProperties": False,
    }  # fmt: skip
    return {
        "application/json": {"schema": body, "example": {"rows": [example(schema)]}},
        "text/csv": {"schema": {"type": "string"}},
    }


def _answer(outputs: dict[str, Any]) -> dict[str, Any]:
    rows = {"type": "array", "items": {"type": "object", "properties": outputs}}
    fields = {"model": {"type": "string"}, "version": {"type": "integer"}, "predictions": rows}
    return {"type": "object", "properties": fields}


REFUSAL = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["row", "column", "wanted", "came"],
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "column": {"type": "string"},
                    "wanted": {"type": "string"},
                    "came": {"type": "string"},
                },
            },
        },
    },
}


def row_schema(schema: Schema) -> dict[str, Any]:
    """One row as JSON Schema: an object by column, or what the only input has in a row."""
    if len(schema.inputs) == 1 and schema.container in ("array", "texts"):
        return _value(schema.inputs[0])
    properties = {field.name: _value(field) for field in schema.inputs}
    return {
        "type": "object", "required": list(properties), "properties": properties,
        "additionalProperties": False,
    }  # fmt: skip


def _value(field: Field) -> dict[str, Any]:
    """The values of a field in one row: without its first axis."""
    found: dict[str, Any] = {"type": TYPES.get(field.kind, "string")}
    if field.kind == "time":
        found["format"] = "date-time"
    if field.categories:
        found = {"enum": list(field.categories)}
    if field.seen.missing:
        found = {"anyOf": [found, {"type": "null"}]}
    for size in reversed(field.shape[1:]):
        found = {"type": "array", "items": found}
        if size is not None:
            found |= {"minItems": size, "maxItems": size}
    texts = [text for text in (field.description, field.unit and f"in {field.unit}") if text]
    return found | {"description": "; ".join(texts)} if texts else found


def example(schema: Schema) -> Any:
    """A row that the model takes: of each number, the middle of what was seen."""
    if len(schema.inputs) == 1 and schema.container in ("array", "texts"):
        return _sample(schema.inputs[0])
    return {field.name: _sample(field) for field in schema.inputs}


def _sample(field: Field) -> Any:
    if len(field.shape) == 2 and field.each:
        return [_middle(field, seen) for seen in field.each]
    found = _middle(field, field.seen)
    for size in reversed(field.shape[1:]):
        found = [found] * (1 if size is None else min(size, 1000))
    return found


def _middle(field: Field, seen: Seen) -> Any:
    if field.categories:
        return field.categories[0]
    if field.kind in ("str", "time", "bool", "other"):
        if field.plain.kind in "Mm":  # what its unit holds exactly
            samples = {"timedelta": "90 seconds", "datetime64[D]": "2026-11-20"}
            return samples.get(field.dtype, samples.get(field.dtype[:9], "2026-11-20T12:00:00"))
        return True if field.kind == "bool" else "text"
    middle = seen.quantiles[len(seen.quantiles) // 2] if seen.quantiles else seen.low or 0.0
    return round(middle) if field.kind == "int" else middle
