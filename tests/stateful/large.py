"""A store of hundreds of records, and what is done to it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from saver import Every, Keep, Saver, SaverError
from saver.repo.repository import Repository
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import Crash

RECORDS = 400
INTERVAL = 16
"""Records between two checkpoints of the state."""

MODELS = [f"m{number}" for number in range(5)]
TEXT = " all that was thought of it" * 110
"""Of which the state is so large that its pages have three levels."""

SIZE = 200
"""Numbers in an array: smaller ones would lie in manifests, and not in packs."""


def opened(store: Storage, name: str = "a") -> Saver:
    """The store as the actor of this name opens it. What is random otherwise is not, so that the same
    acts leave the same."""
    numbers, own = itertools.count(1), name.encode().hex()
    found = Saver(store)
    found._repo = Repository(
        store, fresh=lambda: f"{own}{next(numbers):0{32 - len(own)}}", clock=lambda: 1_700_000_000.0
    )
    return found


def value(holds: str) -> dict[str, Any]:
    """What a version has."""
    return {"weights": np.full(SIZE, float(holds)), "scaler": np.arange(1.0 * SIZE)}


def held(loaded: Any) -> str:
    """What a version has that was loaded; `?` for what nobody saved."""
    if "run" in loaded:
        step = loaded["run"]["step"]
        return f"step {step}" if (loaded["model"]["weights"] == trained(step)).all() else "?"
    holds = f"{loaded['weights'][0]:.0f}"
    same = {*loaded} == {*value(holds)} and all((loaded[name] == value(holds)[name]).all() for name in loaded)
    return holds if same else "?"


def trained(step: int) -> Any:
    return np.full(SIZE, step + 0.5)


def train(store: Saver, steps: int, told: list[Any]) -> None:
    """Go on with a run, for so many steps; `told` gets where it resumed, and each version that is saved."""
    weights = np.zeros(SIZE)
    run = store.checkpoints(
        "run", {"model": {"weights": weights}}, every=Every(steps=1), keep=Keep(last=2), progress=False
    )
    with run, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = run.resume()
        whole = (weights == (trained(start - 1) if start else 0)).all()
        told.append(("resumed", f"step {start - 1}" if whole else "?"))
        for step in range(start, start + steps):
            weights[:] = trained(step)
            saved = run.step(step, loss=1 / (step + 1))
            run.flush()
            if saved:
                told.append(("saved", str(run.progress.saved), f"step {step}"))


class Large(NamedTuple):
    """Stores with the same past: of some `RECORDS` records, beyond the newest checkpoint; and where the next
    checkpoint is due."""

    beyond: MemoryStorage
    due: MemoryStorage


def made() -> Large:
    inner = MemoryStorage()
    store = opened(inner, "0")
    head: Callable[[], int] = lambda: len(list(inner.keys("log/")))  # noqa: E731
    holds = itertools.count(1)
    lived = life(store, holds)
    while head() < RECORDS - 8:
        next(lived)
    train(store, 3, [])
    while head() < RECORDS:
        next(lived)
    store.gc(grace=0)
    while head() % INTERVAL != 9:
        next(lived)
    store.delete("m1@latest", tags=True)
    beyond = inner.copy()
    while head() % INTERVAL:
        next(lived)
    return Large(beyond, inner)


def life(store: Saver, holds: Iterator[int]) -> Iterator[None]:
    """Act after act, each a record."""
    for turn in itertools.count():
        model, now = MODELS[turn % len(MODELS)], str(next(holds))
        tags = ["best"] if turn % 7 == 0 else []
        store.save(
            model, value(now), step=turn, metrics={"loss": 1 / (turn + 1)}, notes=now + TEXT, tags=tags
        )
        yield
        if turn % 3 == 0:
            store.tag(model, f"t{turn % 11}")
            yield
        if turn % 4 == 3 and turn > 20:
            store.delete(f"{model}@{turn // 5 - 2}", tags=True)
            yield
        if turn % 97 == 96:
            store.gc(grace=0)
            yield


class Failed(NamedTuple):
    """How something ended."""

    error: BaseException


class Act:
    """What is done with one object, thing after thing, though some of it fails. Returns what each gave."""

    def __init__(self, *things: Callable[[Saver, list[Any]], None]) -> None:
        self._things = things

    def __call__(self, store: Storage) -> tuple[Saver, list[Any]]:
        actor, told = opened(store), list[Any]()
        for thing in self._things:
            try:
                thing(actor, told)
            except SaverError as error:
                told.append((getattr(thing, "__name__", ""), Failed(error)))
            except Crash as error:
                told.append(("", Failed(error)))
                break
        return actor, told


def loads(*refs: str) -> Callable[[Saver, list[Any]], None]:
    def load(actor: Saver, told: list[Any]) -> None:
        told.extend(("loaded", ref, held(actor.load(ref))) for ref in refs)

    return load


def lists(actor: Saver, told: list[Any]) -> None:
    told.append(("listed", {model: actor.versions(model) for model in actor.models()}))


def saves(model: str, holds: str, **more: Any) -> Callable[[Saver, list[Any]], None]:
    def save(actor: Saver, told: list[Any]) -> None:
        told.append(("saving", model, holds))
        version = actor.save(model, value(holds), notes=holds, **more)
        told.append(("saved", str(version), holds))

    return save


def tags(ref: str, tag: str) -> Callable[[Saver, list[Any]], None]:
    def set_tag(actor: Saver, told: list[Any]) -> None:
        actor.tag(ref, tag)
        told.append(("tagged", f"{ref.partition('@')[0]}@{tag}"))

    return set_tag


def untags(model: str, tag: str) -> Callable[[Saver, list[Any]], None]:
    def untag(actor: Saver, told: list[Any]) -> None:
        actor.untag(model, tag)
        told.append(("untagged", f"{model}@{tag}"))

    return untag


def deletes(ref: str) -> Callable[[Saver, list[Any]], None]:
    def delete(actor: Saver, told: list[Any]) -> None:
        told.append(("deleted", str(actor.delete(ref, tags=True)[0])))

    return delete


def collects(actor: Saver, told: list[Any]) -> None:
    told.append(("collected", actor.gc(grace=0)))


def checks(actor: Saver, told: list[Any]) -> None:
    told.append(("checked", actor.check()))


def trains(actor: Saver, told: list[Any]) -> None:
    train(actor, 2, told)


def resumes(actor: Saver, told: list[Any]) -> None:
    train(actor, 0, told)
