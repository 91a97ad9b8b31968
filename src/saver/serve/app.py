"""The application: its addresses, and who may ask what. Starlette finds the door for an address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.applications import Starlette
from starlette.routing import Route

from saver.errors import SaverError
from saver.serve import openapi, status
from saver.serve.decoding import decode_json
from saver.serve.door import Act, Answer, Ask, Door, House, Json
from saver.serve.drift import Drift
from saver.serve.inference import Inference
from saver.serve.predicting import Predictions, schema_of
from saver.serve.refusals import Refusal, shown
from saver.serve.served import Served
from saver.serve.straight import Doors, is_plain
from saver.serve.tokens import Right

About = Callable[[Ask, Served], Awaitable[Answer]]


class Service:
    """The models, and what is answered about them."""

    def __init__(self, house: House, models: Mapping[str, Served]) -> None:
        self._house, self._models = house, models
        self._drift = Drift(house.metrics)
        self._predictions = Predictions(house.limits, self._drift)
        self._inference = Inference(house.limits, self._predictions, lambda: list(models.values()))
        self._rows = self._door_about("/predict/{name:path}", self._predictions.rows, "predict", "POST")
        self._infer = self._door_about(
            "/v2/models/{name:path}/infer", self._inference.infer, "predict", "POST"
        )

    def doors(self) -> Doors:
        """The addresses at which each model predicts, where a name stands in them as it is."""
        found: dict[bytes, tuple[Door, dict[str, str]]] = {}
        for name in filter(is_plain, self._models):
            found[f"/predict/{name}".encode()] = self._rows, {"name": name}
            if "/versions/" not in name:  # that address means a version of another name
                found[f"/v2/models/{name}/infer".encode()] = self._infer, {"name": name}
        return found

    def application(self, more: Iterable[Route] = ()) -> Starlette:
        """The application for uvicorn, which has `more` addresses than its own."""
        inference = self._inference
        one = "/v2/models/{name:path}/versions/{version}"
        every = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
        addresses = [
            Route("/predict/{name:path}", self._rows, methods=None),
            self._about(f"{one}/infer", inference.infer, "predict", "POST"),
            Route("/v2/models/{name:path}/infer", self._infer, methods=None),
            self._door("/v2/health/live", inference.live, None, "GET", "HEAD"),
            self._door("/v2/health/ready", inference.ready, None, "GET", "HEAD"),
            self._about(f"{one}/ready", inference.model_ready, "predict"),
            self._about("/v2/models/{name:path}/ready", inference.model_ready, "predict"),
            self._about(one, inference.metadata, "predict"),
            self._about("/v2/models/{name:path}", inference.metadata, "predict"),
            self._door("/v2", inference.server, "read", "GET", "HEAD"),
            self._door("/v2/", inference.server, "read", "GET", "HEAD"),
            self._door("/v2/repository/index", inference.index, "read", "POST"),
            self._door("/openapi.json", self._openapi, "read", "GET", "HEAD"),
            self._door("/models", self._serving, "read", "GET", "HEAD"),
            self._door("/metrics", self._metrics, "read", "GET", "HEAD"),
            self._about("/admin/models/{name:path}/back", self._back, "admin", "POST"),
            self._about("/admin/models/{name:path}/canary", self._canary, "admin", "POST"),
            self._about("/admin/models/{name:path}/shadow", self._shadow, "admin", "POST"),
            self._about("/admin/models/{name:path}/change", self._change, "admin", "POST"),
            *more,
            self._door("/{rest:path}", _nothing, "read", *every),
        ]  # fmt: skip
        found = Starlette(routes=addresses)
        found.router.default = addresses[-1].app  # for what fits no pattern: `*`, a line break
        return found

    def _door(self, path: str, act: Act, right: Right | None, *methods: str) -> Route:
        return Route(path, Door(self._house, act, right, *methods, route=path), methods=None)

    def _about(self, path: str, act: About, right: Right, *methods: str) -> Route:
        return Route(path, self._door_about(path, act, right, *methods), methods=None)

    def _door_about(self, path: str, act: About, right: Right, *methods: str) -> Door:
        """A door to what is about one model. Only who has the right to it learns whether it is there."""

        async def found(ask: Ask) -> Answer:
            served = self._models.get(ask.params["name"])
            if served is None:
                raise Refusal(
                    "not-found", f"{shown(ask.params['name'])} is not served here; /models lists what is"
                )
            return await act(ask, served)

        return Door(self._house, found, right, *(methods or ("GET", "HEAD")), route=path, model=True)

    async def _openapi(self, ask: Ask) -> Answer:
        models = [
            (each.name, each.current.number, schema_of(each.current))
            for each in self._models.values()
            if each.current is not None
        ]
        return Answer(Json(openapi.document(models, not self._house.gate.is_open)))

    async def _serving(self, ask: Ask) -> Answer:
        return Answer(Json(status.serving(self._models.values())))

    async def _metrics(self, ask: Ask) -> Answer:
        house = self._house
        self._drift.flush()
        now = status.gauges(self._models.values(), house.requests, house.bodies.held)
        return Answer(house.metrics.text(now).encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def _back(self, ask: Ask, served: Served) -> Answer:
        await ask.body()
        await served.back()
        return _now(served)

    async def _change(self, ask: Ask, served: Served) -> Answer:
        ref = await self._ref(ask, served)
        if ref is None:
            raise Refusal("bad-request", 'say which version: {"version": 3}')
        await _or_refuse(served.change(ref))
        return _now(served)

    async def _canary(self, ask: Ask, served: Served) -> Answer:
        order = await self._order(ask)
        percent = order.get("percent", 0)
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise Refusal("bad-request", f"percent is a number from 0 to 100, not {shown(percent)}")
        await _or_refuse(served.try_out(_version(served, order), percent))
        return _now(served)

    async def _shadow(self, ask: Ask, served: Served) -> Answer:
        await _or_refuse(served.follow_with(await self._ref(ask, served)))
        return _now(served)

    async def _order(self, ask: Ask) -> dict[str, object]:
        order = decode_json(await ask.body() or b"{}", self._house.limits.depth)
        if not isinstance(order, dict) or not order.keys() <= {"version", "percent"}:
            raise Refusal("bad-request", 'an order is an object such as {"version": 3, "percent": 5}')
        return order

    async def _ref(self, ask: Ask, served: Served) -> str | None:
        return _version(served, await self._order(ask))


def _version(served: Served, order: Mapping[str, object]) -> str | None:
    """The version of the same model that an order names: an admin of a server chooses among the versions of
    the models that it serves, and no others."""
    number = order.get("version")
    if number is None:
        return None
    if type(number) is not int or not 0 < number < 1 << 53:
        raise Refusal("bad-request", f"a version is a number, not {shown(number)}")
    return f"{served.model}@{number}"


def _now(served: Served) -> Answer:
    """What answers after an order: of its model alone, as the right to give it may end there."""
    return Answer(Json(status.serving([served])))


async def _or_refuse(act: Awaitable[None]) -> None:
    try:
        await act
    except Refusal:
        raise
    except SaverError as error:
        raise Refusal("bad-request", str(error)) from None


async def _nothing(ask: Ask) -> Answer:
    raise Refusal("not-found", "there is nothing here; /openapi.json lists the addresses")
