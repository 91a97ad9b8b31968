"""The Open Inference Protocol, version 2, over HTTP: health, metadata, inference, and the list of models."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from saver import __version__
from saver.errors import BadInputError
from saver.schema import Schema
from saver.serve.channel import Arrays
from saver.serve.decoding import decode_json
from saver.serve.door import Answer, Ask, Json
from saver.serve.generation import Generation
from saver.serve.limits import Limits
from saver.serve.predicting import Predictions, apart, bad_rows, schema_of, version_of
from saver.serve.refusals import Refusal, shown
from saver.serve.served import Served
from saver.serve.tensors import described, fitted, read_inputs, split, wanted_outputs, write_outputs

HEADER = "inference-header-content-length"
BINARY = "application/octet-stream"


class Inference:
    """Answers clients of the protocol."""

    def __init__(
        self, limits: Limits, predictions: Predictions, all_served: Callable[[], list[Served]]
    ) -> None:
        self._limits, self._predictions, self._all = limits, predictions, all_served

    async def live(self, ask: Ask) -> Answer:
        return Answer(Json({"live": True}))

    async def ready(self, ask: Ask) -> Answer:
        """Whether every model answers."""
        if all(each.current is not None for each in self._all()):
            return Answer(Json({"ready": True}))
        return Answer(Json({"ready": False}), status=503)

    async def server(self, ask: Ask) -> Answer:
        extensions = ["binary_tensor_data", "model_repository"]
        return Answer(Json({"name": "saver", "version": __version__, "extensions": extensions}))

    async def model_ready(self, ask: Ask, served: Served) -> Answer:
        by = served.pick(version_of(ask))
        return Answer(Json({"name": served.name, "version": str(by.number), "ready": True}))

    async def metadata(self, ask: Ask, served: Served) -> Answer:
        by = _asked(served, version_of(ask))
        schema = schema_of(by)
        return Answer(
            Json(
                {
                    "name": served.name,
                    "versions": [str(each.number) for each in served.generations()],
                    "platform": "saver",
                    "inputs": [described(field) for field in schema.inputs],
                    "outputs": [described(field) for field in schema.outputs],
                }
            )
        )

    async def infer(self, ask: Ask, served: Served) -> Answer:
        return await self._predictions.answered(ask, served, partial(self._infer, ask, served))

    async def _infer(self, ask: Ask, served: Served, body: bytes, by: Generation) -> Answer:
        begin = time.perf_counter()
        schema = schema_of(by)
        request, arrays = await apart(len(body), partial(self._read, ask, body, schema))
        wanted, named = wanted_outputs(request, tuple(field.name for field in schema.outputs))
        ask.stages["decode"] = time.perf_counter() - begin
        only = tuple(wanted) if named else ()
        outputs = await self._predictions.predict(ask, served, by, arrays, only)
        begin = time.perf_counter()
        head: dict[str, Any] = {"model_name": served.name, "model_version": str(by.number)}
        if request.get("id"):
            head["id"] = request["id"]
        data, length = write_outputs(head, outputs, wanted)
        ask.stages["encode"] = time.perf_counter() - begin
        if length is None:
            return Answer(data)
        return Answer(data, BINARY, {HEADER: str(length)})

    def _read(self, ask: Ask, body: bytes, schema: Schema) -> tuple[dict[str, Any], Arrays]:
        text, binary = split(body, ask.headers.get(HEADER))
        request = decode_json(text, self._limits.depth)
        tensors = read_inputs(request, binary, self._limits.rows)
        if not isinstance(request.get("id", ""), str):
            raise Refusal("bad-tensor", f"an id is a text, not {shown(request['id'])}")
        try:
            return request, schema.check(fitted(tensors, schema.inputs))
        except BadInputError as error:
            raise bad_rows(error) from None

    async def index(self, ask: Ask) -> Answer:
        """Every model and version, as clients of the repository extension list them."""
        await ask.body()
        found = [
            {"name": each.name, "version": str(one.number), "state": "READY", "reason": ""}
            for each in self._all()
            for one in each.generations()
        ]
        return Answer(Json(found))


def _asked(served: Served, number: int | None) -> Generation:
    """The generation that metadata are about: never by chance the canary."""
    if number is None and served.current is not None:
        return served.current
    return served.pick(number)
