"""The cost of a store with very many versions, or very many models."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.measure import rounds, timed
from benchmarks.startup import process
from benchmarks.stores import build, build_long, index_in, model_name, small_model
from benchmarks.tables import Row, Table
from saver import Saver, Version
from saver.repo.state.state import INTERVAL

TEN = "10 versions"
MUCH = "100,000 versions"
MUCH_OF_MANY = "100,000 versions of 100 models"
STORES = {TEN: (1, 10), "10,000 versions": (1, 10_000), MUCH: (1, 100_000), MUCH_OF_MANY: (100, 1_000)}
"""Models, and versions of each."""

ROUNDS = 8
EACH = INTERVAL
"""How often a store is opened and saved to in a round: from one checkpoint of the log to the next, so that
a round meets every number of records since the last one, and writes one."""

LISTED = (1_000, 10)

SHORT, LONG = "1,000 records", "1,000,000 records"
LOGS = {SHORT: 10, LONG: 10_000}
"""Models of stores with long logs. Each has ten versions and had 45 more: 101 records a model."""

KEPT, DELETED = 10, 45

FEW_TENSORS, MANY_TENSORS = "1,000 tensors", "100,000 tensors"
TENSORS = {FEW_TENSORS: 1_000, MANY_TENSORS: 100_000}

MODELS = "models()"
VERSIONS = "versions() of every model"
COMMAND = "saver ls --store DIR"
IMPORT = "import saver"


def run(folder: Path, repeat: int, count: int = ROUNDS, each: int = EACH, factor: int = 1) -> list[Table]:
    """The tables `scale-open` and `scale-save`, of `count` rounds, and `scale-list`, of `repeat`; then those
    of long logs and of many tensors, `count` rounds each. `factor` makes all stores smaller but that of ten.
    """
    home = folder / "scale"
    home.mkdir()
    with index_in(home / "cache"):
        tables = [*_growing(home, count, each, factor), _listing(home, repeat, factor)]
        tables += [*_long(home, count, each, factor), *_tensors(home, count, factor)]
    shutil.rmtree(home)
    return tables


class _Growing:
    """Times to open and to save in each store: averages of each round, and the worst."""

    def __init__(self, each: int) -> None:
        self.each = each
        self.opens: dict[str, list[float]] = defaultdict(list)
        self.saves: dict[str, list[float]] = defaultdict(list)
        self.worst: dict[str, float] = defaultdict(float)

    def turn(self, what: str, folders: Iterator[Path], models: int) -> Callable[[], None]:
        """Open the next folder, find the newest version of a model, and save another one: `each` times."""
        place = cycle(range(models))

        def run() -> None:
            taken = [self._once(next(folders), model_name(next(place))) for _ in range(self.each)]
            opens, saves = zip(*taken, strict=True)
            self.opens[what].append(fmean(opens))
            self.saves[what].append(fmean(saves))
            self.worst[what] = max(self.worst[what], *saves)

        return run

    def _once(self, folder: Path, model: str) -> tuple[float, float]:
        _open(folder, model)  # all files are warm
        opening, (store, latest) = timed(lambda: _open(folder, model))
        coefficients = np.random.default_rng(latest.number).random(1000)
        content = {"model": {"coef": coefficients, "intercept": 0.5, "step": latest.number}}
        saving, saved = timed(lambda: store.save(model, content, step=latest.number, metrics={"loss": 0.5}))
        if saved.number != latest.number + 1:
            raise AssertionError(f"{folder}: {saved} was saved after {latest}")
        return opening, saving

    def tables(self) -> list[Table]:
        opens = tuple(Row(what, tuple(seconds)) for what, seconds in self.opens.items())
        saves = tuple(Row(what, tuple(seconds)) for what, seconds in self.saves.items())
        worst = tuple((f"{self.worst[row.what] * 1e3:.1f}",) for row in saves)
        about = _SAVE.format(self.each, INTERVAL)
        return [
            Table("scale-open", "open a store and find the newest version", _OPEN, opens, TEN, unit="ms"),
            Table(
                "scale-save", "save a small version in it", about, saves, TEN, unit="ms",
                extra=("worst save, ms",), cells=worst,
            ),
        ]  # fmt: skip


def _open(folder: Path, model: str) -> tuple[Saver, Version]:
    store = Saver(folder)
    return store, store.version(f"{model}@latest")


def _growing(folder: Path, count: int, each: int, factor: int) -> list[Table]:
    growing = _Growing(each)
    turns = []
    for what, (models, versions) in STORES.items():
        # A save makes ten versions eleven, so each finds a store of ten; the others do not notice.
        homes = [folder / f"{what} {number}" for number in range(count * each if what == TEN else 1)]
        for home in homes:
            build(home, models, versions if what == TEN else max(versions // factor, 1))
        _sound(homes[0], models, what)
        turns.append(growing.turn(what, iter(homes) if what == TEN else cycle(homes), models))
    os.sync()
    rounds(count, turns)
    return growing.tables()


def _sound(folder: Path, models: int, what: str) -> None:
    """Raise AssertionError unless the store is sound: checks a small one whole, a large one by samples."""
    store = Saver(folder)
    model = model_name(models - 1)
    newest = store.version(model)
    if what == TEN and not store.check().sound:
        raise AssertionError(f"{what}: the store that was built is not sound")
    for number in {1, newest.number // 2 + 1, newest.number}:
        loaded, saved = store.load(f"{model}@{number}")["model"], small_model(number - 1)["model"]
        if not np.array_equal(loaded.pop("coef"), saved.pop("coef")) or loaded != saved:
            raise AssertionError(f"{what}: {model}@{number} differs from the saved state")


def _listing(folder: Path, repeat: int, factor: int) -> Table:
    models, versions = LISTED[0] // factor or 1, LISTED[1]
    home = folder / "listed"
    build(home, models, versions)
    commands = {IMPORT: ("-c", IMPORT), COMMAND: ("-m", "saver", "ls", "--store", str(home))}
    seconds: dict[str, list[float]] = defaultdict(list)

    def names() -> None:
        taken, found = timed(lambda: Saver(home).models())
        seconds[MODELS].append(taken)
        if len(found) != models:
            raise AssertionError(f"{len(found)} models were listed, but there are {models}")

    def all_versions() -> None:
        taken, found = timed(lambda: _versions(Saver(home)))
        seconds[VERSIONS].append(taken)
        if found != models * versions:
            raise AssertionError(f"{found} versions were listed, but there are {models * versions}")

    def command(what: str) -> Callable[[], None]:
        return lambda: seconds[what].append(process(commands[what]))

    for what in commands:
        process(commands[what])  # compiled bytecode, warm caches
    rounds(repeat, [names, all_versions, *map(command, commands)])
    rows = tuple(Row(what, tuple(seconds[what])) for what in (MODELS, VERSIONS, IMPORT, COMMAND))
    title = f"list {models:,} models of {versions} versions"
    return Table("scale-list", title, _LIST, rows, unit="ms")


def _versions(store: Saver) -> int:
    return sum(len(store.versions(model)) for model in store.models())


class _Aged:
    """A store with a long log, and operations in it, each with a new Saver, as in a new process."""

    def __init__(self, folder: Path, models: int) -> None:
        self.folder = folder
        self.records = build_long(folder, models, KEPT, DELETED)
        self._models = models
        self._number = 0

    def _next(self) -> tuple[Saver, str]:
        self._number += 1
        return Saver(self.folder), model_name(self._number * 7 % self._models)

    def open(self) -> None:
        store, model = self._next()
        store.version(model)

    def load(self) -> None:
        store, model = self._next()
        store.load(model)

    def save(self) -> None:
        store, model = self._next()
        store.save(model, small_model(1000 + self._number), step=1000 + self._number)

    def tag(self) -> None:
        store, model = self._next()
        store.tag(model, f"tag-{self._number}")

    def versions(self) -> None:
        store, model = self._next()
        store.versions(model)

    def models(self) -> None:
        if len(self._next()[0].models()) != self._models:
            raise AssertionError(f"{self.folder}: models are missing")

    def command(self) -> None:
        process(("-m", "saver", "ls", "--store", str(self.folder)))

    def gc(self) -> None:
        if not self._next()[0].gc(grace=0).freed:
            raise AssertionError(f"{self.folder}: nothing was freed")

    def before_gc(self) -> None:
        """Save a version that shares no bytes, and delete it."""
        store, model = self._next()
        store.delete(str(store.save(model, {"x": np.random.default_rng(self._number).random(1000)})))

    def check(self) -> None:
        if not self._next()[0].check().sound:
            raise AssertionError(f"{self.folder} is not sound")


DOINGS: dict[str, tuple[str, Callable[[_Aged], None]]] = {
    "open": ("open and find the newest version", _Aged.open),
    "load": ("open and load a small version", _Aged.load),
    "save": ("open and save a small version", _Aged.save),
    "tag": ("open and tag a version", _Aged.tag),
    "versions": ("the ten versions of a model", _Aged.versions),
    "models": ("the names of all models", _Aged.models),
    "ls": ("saver ls, a process", _Aged.command),
    "gc": ("collect after one deletion, in a new process", _Aged.gc),
    "check": ("check everything", _Aged.check),
}
"""The operations in stores with long logs, by the ending of the table's name."""

WHOLE = ("models", "ls", "gc", "check")
"""Operations that look at the whole store, and are done once per round; the others `each` times."""


def _long(folder: Path, count: int, each: int, factor: int) -> list[Table]:
    aged = {
        what: _Aged(folder / what, models if what == SHORT else max(models // factor, 1))
        for what, models in LOGS.items()
    }
    os.sync()
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)

    def turn(doing: str, what: str) -> Callable[[], None]:
        def run() -> None:
            store, action = aged[what], DOINGS[doing][1]
            if doing == "gc":
                store.before_gc()
            action(store) if doing not in WHOLE else None  # all files are warm
            times = 1 if doing in WHOLE else each
            seconds[doing, what].append(fmean(timed(lambda: action(store))[0] for _ in range(times)))

        return run

    rounds(count, [turn(doing, what) for doing in DOINGS for what in aged])
    return [
        Table(
            f"scale-log-{doing}",
            title,
            _LOG.format(", ".join(f"{store.records:,}" for store in aged.values())),
            tuple(Row(what, tuple(seconds[doing, what])) for what in aged),
            SHORT,
            unit="ms",
        )
        for doing, (title, _) in DOINGS.items()
    ]


def _tensors(folder: Path, count: int, factor: int) -> list[Table]:
    """A version of very many small tensors; seconds for each thousand of them."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    sizes = {what: size if what == FEW_TENSORS else max(size // factor, 1) for what, size in TENSORS.items()}

    def turn(what: str) -> Callable[[], None]:
        state = {f"layer.{number}": np.full(200, number, np.float32) for number in range(sizes[what])}
        store = Saver(folder / what)

        def run() -> None:
            state["layer.0"] += 1
            taken, saved = timed(lambda: store.save("tensors", state))
            seconds["save", what].append(taken / sizes[what] * 1000)
            taken, loaded = timed(lambda: Saver(folder / what).load(str(saved)))
            seconds["load", what].append(taken / sizes[what] * 1000)
            if not all(np.array_equal(loaded[name], array) for name, array in state.items()):
                raise AssertionError(f"{saved} differs from the saved state")

        return run

    rounds(count, [turn(what) for what in sizes])
    return [
        Table(
            f"scale-tensors-{doing}",
            f"{doing} a version of many tensors",
            _TENSORS,
            tuple(Row(what, tuple(seconds[doing, what])) for what in sizes),
            FEW_TENSORS,
            unit="ms",
        )
        for doing in ("save", "load")
    ]


_OPEN = (
    'A new Saver and its `version("…@latest")`, in a running process, from the page cache: the '
    "average of a round, in which the stores stand at every distance from the last checkpoint of the log. "
    "With ten versions there is none yet. Above 1 is faster than with ten."
)
_SAVE = (
    "The save that follows: 8 kB of new data, so a pack, a manifest and a record, all fsynced. The figure is "
    "the average of a round of {} saves. Once in {} log records a checkpoint is written, which is the worst "
    "case; with ten versions there is none. The other stores grow with each save."
)
_LIST = (
    "A new Saver each time. `versions()` returns all their details: parts, metrics, tags, sizes. The "
    "command and the import are whole processes."
)
_LOG = (
    "Stores of 10 and of 10,000 models, each with ten versions and 45 deleted ones: logs of {} "
    "records. A new Saver each time, from the page cache."
)
_TENSORS = (
    "Arrays of 800 bytes; the time for each thousand of them. A save finds all but one of them in the "
    "previous version; only the first save writes them all."
)
