"""The models that are served, loaded and followed, and who may ask: whatever brings the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from starlette.applications import Starlette
from starlette.routing import Route

import saver
from saver import loopback
from saver.errors import SaverError
from saver.logger import logger
from saver.repo.refs import parse_ref
from saver.repo.signing import demand_for_tag
from saver.serve.app import Service
from saver.serve.door import House
from saver.serve.earlier import earlier
from saver.serve.generation import Generation, Order
from saver.serve.metrics import Metrics
from saver.serve.served import Served
from saver.serve.settings import Settings
from saver.serve.tokens import Gate

TRIED = 3
"""Earlier versions that are loaded and checked, one after another, until one is not refused."""


class Serving:
    """What `settings` name, without anything that listens."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.models = {
            name: Served(name, ref, self._start(name), self.metrics) for name, ref in settings.names.items()
        }
        gate = Gate(settings.tokens, settings.public)
        hosts = frozenset({*loopback.NAMES, settings.host}) if gate.is_open else None
        self.house = House(settings.limits, gate, self.metrics, terse=settings.terse, hosts=hosts)
        self.store = saver.Saver(settings.store)
        self.service = Service(self.house, self.models)

    def _start(self, name: str) -> Callable[[str], asyncio.Future[Generation]]:
        async def started(ref: str) -> Generation:
            settings = self.settings
            order = Order(
                store=settings.store, ref=ref, trust=settings.trust, signed_by=settings.signed_by,
                accept=settings.accept,
            )  # fmt: skip
            generation = Generation(order, name, settings.limits, self.metrics)
            await generation.start(settings.workers)
            return generation

        return lambda ref: asyncio.ensure_future(started(ref))

    def _exact(self, ref: str) -> str:
        return str(self.store.version(ref))

    def application(self, more: Iterable[Route] = ()) -> Starlette:
        """Answers for the models, and at `more` addresses."""
        return self.service.application(more)

    async def load(self, instead: Mapping[str, str] | None = None) -> None:
        """The first generation of each name, at the same time: of the version that its ref names now, or the
        one that `instead` has for the name. The first refusal is raised."""
        given = instead or {}
        refs = {name: given.get(name) or self._exact(each.ref) for name, each in self.models.items()}
        loading = [
            asyncio.ensure_future(
                each.change(refs[name]) if name in given else self._take_over(each, refs[name])
            )
            for name, each in self.models.items()
        ]
        done = await asyncio.gather(*loading, return_exceptions=True)
        for each in done:
            if isinstance(each, BaseException):
                raise each

    async def load_earlier(self, since: float) -> bool:
        """For each name that has no generation yet, one of the newest versions that its ref named before, no
        earlier than `since` (Unix time), and that is not refused. Whether each name has a generation now."""
        for each in self.models.values():
            if each.current is None:
                await self._begin_earlier(each, since)
        return all(each.current is not None for each in self.models.values())

    async def _begin_earlier(self, served: Served, since: float) -> None:
        for ref in await asyncio.to_thread(earlier, self.store, served.ref, since, TRIED):
            try:
                await self._take_over(served, ref)
            except (SaverError, OSError) as error:
                logger.info("%s: %s does not answer: %s", served.name, ref, error)
                continue
            return

    async def _take_over(self, served: Served, ref: str) -> None:
        """Have a version take over that the ref of a name names, or did. Raises SignatureError if that is a
        tag for which a trust file demands signatures that it lacks, wherever the tag is by now."""
        tag = parse_ref(served.ref).tag
        if tag is not None:
            await asyncio.to_thread(self._demand, ref, tag)
        await served.change(ref)

    def _demand(self, ref: str, tag: str) -> None:
        demand_for_tag(self.store._repo, self.store.version(ref), tag, f"it does not answer as @{tag}")

    def following(self) -> list[asyncio.Future[None]]:
        """Tasks that follow the refs until they are cancelled."""
        return [asyncio.ensure_future(self._follow(each)) for each in self.models.values()]

    async def _follow(self, served: Served) -> None:
        """Have the version take over to which the ref of a name has moved; each is tried once."""
        last = served.current.ref if served.current is not None else ""
        while True:
            await asyncio.sleep(self.settings.poll)
            try:
                await served.renew()
                ref = await asyncio.to_thread(self._exact, served.ref)
                if ref == last:
                    continue
                last = ref
                await self._take_over(served, ref)
            except (SaverError, OSError) as error:
                served.trouble = str(error)
                logger.warning("%s: still as before, since %s", served.name, error)
