"""`POST /predict/NAME`: rows of JSON or CSV in, rows out; for people and `curl`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from saver.errors import BadInputError
from saver.schema import Schema, to_rows
from saver.serve.channel import Arrays
from saver.serve.decoding import decode_csv, decode_json
from saver.serve.door import Answer, Ask
from saver.serve.drift import Drift
from saver.serve.generation import Generation
from saver.serve.limits import Limits
from saver.serve.refusals import Refusal, shown
from saver.serve.served import Served

JSON = ("application/json", "text/json", "")
CSV = ("text/csv", "application/csv")
FORM = "application/x-www-form-urlencoded"
"""What `curl -d` says unless it is given another type: read as JSON, as nothing else was meant."""


HEAVY = 256 * 1024
"""Bytes of a body that is decoded in a thread, so that others are answered meanwhile."""

T = TypeVar("T")
Act = Callable[[bytes, Generation], Awaitable[Answer]]


async def apart(size: int, act: Callable[[], T]) -> T:
    """The result of decoding so many bytes."""
    return act() if size < HEAVY else await asyncio.to_thread(act)


def bad_rows(error: BadInputError) -> Refusal:
    """What does not fit the schema, as an answer."""
    return Refusal("bad-rows", str(error), error.problems)


class Predictions:
    """Answers requests for predictions of served models."""

    def __init__(self, limits: Limits, drift: Drift) -> None:
        self._limits, self._drift = limits, drift

    async def rows(self, ask: Ask, served: Served) -> Answer:
        """The answer to rows of JSON or CSV."""
        return await self.answered(ask, served, partial(self._rows, ask, served))

    async def answered(self, ask: Ask, served: Served, act: Act) -> Answer:
        """What `act` makes of the body with the generation whose turn it is, or with the current one where
        that one cannot. The version that an address names answers, or nobody does."""
        number = version_of(ask)
        by = served.pick(number)
        body = await ask.body()
        while True:
            try:
                return await act(body, by)
            except Refusal as refusal:
                other = served.instead(by, refusal) if number is None else None
                if other is None:
                    raise
                by = other

    async def _rows(self, ask: Ask, served: Served, data: bytes, by: Generation) -> Answer:
        begin = time.perf_counter()
        schema = schema_of(by)
        kind = ask.headers.get("content-type", "")
        arrays = await apart(len(data), partial(self._decoded, data, kind, schema))
        only = outputs_of(ask, schema)
        ask.stages["decode"] = time.perf_counter() - begin
        outputs = await self.predict(ask, served, by, arrays, only)
        begin = time.perf_counter()
        body = msgspec.json.encode(
            {"model": served.name, "version": by.number, "predictions": to_rows(outputs)}
        )
        ask.stages["encode"] = time.perf_counter() - begin
        return Answer(body)

    def _decoded(self, data: bytes, type: str, schema: Schema) -> Arrays:
        kind = type.partition(";")[0].strip().lower()
        try:
            if kind in CSV:
                return schema.from_csv(decode_csv(data, self._limits.rows))
            if kind not in JSON and kind != FORM:
                raise Refusal("bad-type", f"send application/json or text/csv, not {shown(type)}")
            rows = rows_of(decode_json(data, self._limits.depth))
            if isinstance(rows, list) and len(rows) > self._limits.rows:
                most = self._limits.rows
                raise Refusal("too-many-rows", f"{len(rows)} rows came; {most} are served at a time")
            return schema.from_rows(rows)
        except BadInputError as error:
            raise bad_rows(error) from None

    async def predict(
        self, ask: Ask, served: Served, by: Generation, arrays: Arrays, only: tuple[str, ...]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs for checked rows."""
        ask.model, ask.version = served.name, str(by.number)
        rows = len(next(iter(arrays.values())))
        job, outputs = await served.predict(by, arrays, rows, only)
        ask.rows, ask.batch = rows, job.batch
        ask.stages["queue"], ask.stages["predict"] = job.waited, job.predicted
        self._drift.look(served.name, schema_of(by), arrays)
        found: dict[str, np.ndarray[Any, Any]] = outputs
        return found


def rows_of(value: Any) -> Any:
    """The rows of a body: it is `{"rows": […]}`, a list of rows, or one row."""
    if isinstance(value, dict):
        if value.keys() == {"rows"}:
            return value["rows"]
        return [value]
    if not isinstance(value, list):
        raise Refusal("bad-json", f'send {{"rows": […]}}, a list of rows, or one row, not {shown(value)}')
    return value


def version_of(ask: Ask) -> int | None:
    """The version that an address names, if it does."""
    text = ask.params.get("version") or next(iter(ask.query("version")), None)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise Refusal("not-found", f"a version is a number, not {shown(text)}")
    return int(text)


def outputs_of(ask: Ask, schema: Schema) -> tuple[str, ...]:
    """The outputs that `?outputs=a,b` wants; none of them: all."""
    names = tuple(name for text in ask.query("outputs") for name in text.split(",") if name)
    there = [field.name for field in schema.outputs]
    for name in names:
        if name not in there:
            raise Refusal("bad-request", f"there is no output {shown(name)}; there are {', '.join(there)}")
    return tuple(dict.fromkeys(names))


def schema_of(by: Generation) -> Schema:
    """The schema of a generation, decoded once."""
    if by.schema is None:
        by.schema = msgspec.convert(by.described["schema"], Schema)
    return by.schema
