"""What a store costs that has very many versions, or very many models."""

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
from benchmarks.stores import build, index_in, model_name, small_model
from benchmarks.tables import Row, Table
from saver import Saver, Version
from saver.repo.state import INTERVAL

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

MODELS = "models()"
VERSIONS = "versions() of every model"
COMMAND = "saver ls --store DIR"
IMPORT = "import saver"


def run(folder: Path, repeat: int, count: int = ROUNDS, each: int = EACH, factor: int = 1) -> list[Table]:
    """The tables `scale-open` and `scale-save`, of `count` rounds, and `scale-list`, of `repeat`. `factor`
    makes all stores smaller but that of ten."""
    home = folder / "scale"
    home.mkdir()
    with index_in(home / "cache"):
        tables = [*_growing(home, count, each, factor), _listing(home, repeat, factor)]
    shutil.rmtree(home)
    return tables


class _Growing:
    """What opening and saving took in each store, on average of each round, and at worst."""

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
        _open(folder, model)  # nobody's files are cold
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
    """Raise AssertionError unless what was built is a store: all of a small one, samples of a large one."""
    store = Saver(folder)
    model = model_name(models - 1)
    newest = store.version(model)
    if what == TEN and not store.check().sound:
        raise AssertionError(f"{what}: the store that was built is not sound")
    for number in {1, newest.number // 2 + 1, newest.number}:
        loaded, saved = store.load(f"{model}@{number}")["model"], small_model(number - 1)["model"]
        if not np.array_equal(loaded.pop("coef"), saved.pop("coef")) or loaded != saved:
            raise AssertionError(f"{what}: {model}@{number} is not what was saved")


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
            raise AssertionError(f"{len(found)} models were listed, and there are {models}")

    def all_versions() -> None:
        taken, found = timed(lambda: _versions(Saver(home)))
        seconds[VERSIONS].append(taken)
        if found != models * versions:
            raise AssertionError(f"{found} versions were listed, and there are {models * versions}")

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


_OPEN = (
    'A new Saver and its `version("…@latest")`, in a process that runs already, from the page cache: the '
    "average of a round, in which the stores stand at every distance from the last checkpoint of the log. "
    "With ten versions there is none yet. Above 1 is faster than with ten."
)
_SAVE = (
    "The save that follows: 8 kB that are new, so a pack, a manifest and a record, all fsynced. {} of them "
    "make a round, of which the average counts. Once in {} log records a checkpoint is written: that is the "
    "worst; with ten versions there is none. The other stores grow by what is saved."
)
_LIST = (
    "A new Saver each time. `versions()` gives all there is to tell of them: parts, metrics, tags, sizes. "
    "The command and the import are whole processes."
)
