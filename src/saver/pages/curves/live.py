"""What is new in runs, as server-sent events: made once, and sent to all pages that show the same."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import msgspec

from saver import Saver
from saver.documents.charts import Curve, CurveRun
from saver.errors import NotFoundError, SaverError
from saver.pages.curves.collecting import Run, about, curve, runs_of
from saver.pages.curves.thinning import Thinner
from saver.pages.curves.watching import Watch
from saver.plotting import PANELS, panels

BEAT = 15.0
"""Seconds of silence after which a comment is sent, so that a connection that is gone shows."""

KEPT = 64
"""How many updates, and how many outlines of versions, are remembered."""

NAMES = 512
"""Runs of which it is known which version they are."""

COLUMNS = 256
"""Columns for which what is new is thinned."""

encode = msgspec.json.Encoder().encode


class Update(msgspec.Struct, frozen=True):
    """What is new in a run since the version `since`. In each curve, the points from step `start` on replace
    those that were there; None adds nothing."""

    since: str
    runs: tuple[CurveRun, ...]
    curves: tuple[tuple[int | None, Curve], ...]


class Outline(NamedTuple):
    """Of the logs of a version: the keys of the blocks of each metric, by the name of the run."""

    keys: dict[tuple[str, str], list[Any]]


class Live:
    """The runs of a store that pages show. One is shared by all streams."""

    def __init__(self, store: Saver) -> None:
        self._store, self.watch, self.thinner = ref(store), Watch(store._repo), Thinner()
        self._outlines: OrderedDict[tuple[str, str], Outline] = OrderedDict()
        self._updates: OrderedDict[tuple[str, str, str, tuple[str, ...]], asyncio.Future[bytes]] = (
            OrderedDict()
        )
        self._versions: OrderedDict[str, tuple[int, asyncio.Future[str]]] = OrderedDict()
        self.looked = 0
        """How often it was looked which version a run is."""
        self.made = 0
        """How many updates were made."""

    async def events(
        self, runs: Sequence[str], have: Sequence[str], metrics: Sequence[str],
        shown: Callable[[str], str] = str,
    ) -> AsyncIterator[bytes]:  # fmt: skip
        """What is new in these runs, given the versions that the page has; first of all a comment. `shown`
        makes messages of the store such as the visitor may see."""
        held = dict(zip(runs, have, strict=True))
        said = dict.fromkeys(runs, "")
        async with self.watch.joined() as changed:
            yield b"retry: 1000\n: open\n\n"
            while True:
                changed.clear()
                for run in runs:
                    async for event in self._news(run, held, said, tuple(metrics), shown):
                        yield event
                while not changed.is_set():
                    try:
                        await asyncio.wait_for(changed.wait(), BEAT)
                    except TimeoutError:
                        yield b": \n\n"

    def _held(self) -> Saver:
        """The store. It is not held by what is shared by its pages, so that it can end before them."""
        store = self._store()
        if store is None:
            raise NotFoundError("the store is closed")
        return store

    async def _news(
        self, run: str, held: dict[str, str], said: dict[str, str], metrics: tuple[str, ...],
        shown: Callable[[str], str],
    ) -> AsyncIterator[bytes]:  # fmt: skip
        try:
            now = await self._version(run)
            if now != held[run]:
                body = await self._shared(run, held[run], now, metrics)
                held[run] = now
                said[run] = ""
                yield b"event: update\ndata: " + body + b"\n\n"
        except (SaverError, OSError) as error:
            if str(error) != said[run]:
                said[run] = str(error)
                body = encode({"run": run, "trouble": shown(str(error))})
                yield b"event: trouble\ndata: " + body + b"\n\n"

    async def _version(self, run: str) -> str:
        """The version that a run is now: looked up once for all streams after each change of the store."""
        turn, found = self._versions.get(run, (-1, None))
        if found is None or turn != self.watch.turn:
            found = asyncio.ensure_future(asyncio.to_thread(self._named, run))
            self._versions[run] = self.watch.turn, found
            found.add_done_callback(lambda done: self._unsure(run, done))
            while len(self._versions) > NAMES:
                self._versions.popitem(last=False)
        return await asyncio.shield(found)

    def _named(self, run: str) -> str:
        self.looked += 1
        return str(self._held().version(run))

    def _unsure(self, run: str, done: asyncio.Future[str]) -> None:
        """One that failed is tried again by the next stream."""
        failed = done.cancelled() or done.exception() is not None
        if failed and self._versions.get(run, (0, None))[1] is done:
            del self._versions[run]

    async def _shared(self, run: str, since: str, now: str, metrics: tuple[str, ...]) -> bytes:
        """The update, made by the first who needs it."""
        key = run, since, now, metrics
        found = self._updates.get(key)
        if found is None:
            found = self._updates[key] = asyncio.ensure_future(
                asyncio.to_thread(self._made, run, since, now, metrics)
            )
            found.add_done_callback(lambda done: self._forget(key, done))
            while len(self._updates) > KEPT:
                self._updates.popitem(last=False)
        return await asyncio.shield(found)

    def _forget(self, key: tuple[str, str, str, tuple[str, ...]], done: asyncio.Future[bytes]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._updates.pop(key, None)

    def _made(self, run: str, since: str, now: str, metrics: tuple[str, ...]) -> bytes:
        self.made += 1
        found = runs_of(self._held(), now)
        named = [each._replace(name=each.name.replace(now, run, 1)) for each in found]
        before, after = self._outline(since, run), _outlined(named)
        self._keep((run, now), after)
        shown = panels({each.name: each.log for each in named})[:PANELS]
        seen = set(metrics) or {one.metric for panel in shown for one in panel.curves}
        curves = [
            self._curve(each, metric, before.keys.get((each.name, metric), []))
            for each in named for metric in each.log.metrics if metric in seen
        ]  # fmt: skip
        runs = tuple(about(each) for each in named)
        return encode(Update(since, runs, tuple(curves)))

    def _curve(self, run: Run, metric: str, before: list[Any]) -> tuple[int | None, Curve]:
        """What is new in a curve, and the step from which on."""
        blocks = run.log.blocks(metric)
        same = 0
        while same < min(len(before), len(blocks)) and before[same] == blocks[same].key:
            same += 1
        picture = self.thinner.picture(blocks[same:], COLUMNS)
        whole = self.thinner.summary(blocks)._replace(steps=picture.steps, values=picture.values)
        start = None
        if same < max(len(before), len(blocks)):  # a run that resumed may have fewer rows than before
            start = int(self.thinner(blocks[same - 1]).steps[-1]) + 1 if same else 0
        return start, curve(run.name, metric, "", whole)

    def _outline(self, known: str, run: str) -> Outline:
        """Of a version that a page has; empty if that cannot be read any more, so that all is new to it."""
        found = self._outlines.get((run, known))
        if found is None:
            try:
                runs = runs_of(self._held(), known) if known else []
            except SaverError:
                runs = []
            found = _outlined([each._replace(name=each.name.replace(known, run, 1)) for each in runs])
            self._keep((run, known), found)
        return found

    def _keep(self, key: tuple[str, str], found: Outline) -> None:
        self._outlines[key] = found
        while len(self._outlines) > KEPT:
            self._outlines.popitem(last=False)


def _outlined(runs: Sequence[Run]) -> Outline:
    return Outline({
        (run.name, metric): [block.key for block in run.log.blocks(metric)]
        for run in runs for metric in run.log.metrics
    })  # fmt: skip


_lives: WeakKeyDictionary[Saver, Live] = WeakKeyDictionary()


def live_of(store: Saver) -> Live:
    """What is shared by all pages of a store."""
    found = _lives.get(store)
    return _lives.setdefault(store, Live(store)) if found is None else found
