"""Every fault that code can meet in a storage, or in the file system: one at a time, at every call, of
every kind."""

from __future__ import annotations

import errno
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec

from saver.disk.files import FILES, Files
from saver.storage import Storage
from saver.testing.faults import Crash, FaultyFiles
from saver.testing.faulty_storage import FaultyStorage, Kind
from saver.testing.kinds import DAMAGE, KINDS

T = TypeVar("T")

READ_ERRORS = (errno.EIO, errno.ENOENT, errno.EACCES, errno.EMFILE, errno.ESTALE)
"""The errors of failed reads: the disk, the folder, permissions, the process, the network."""

_FILE_READS = ("open_folder", "open", "read", "read_into", "list", "stat")

_random_name = re.compile(r"([0-9a-f]{2}/)?[0-9a-f]{32,}")


class Struck(msgspec.Struct, frozen=True):
    """The outcome of an act that met a fault.

    `result` is what it returned, `error` what it raised, which may be a Crash; `struck` says whether it
    reached the call that was to fail. `storage` is as the act left it, without faults; `faulty`
    is the one that the act was given, in which a lasting fault still strikes, until it is mended.
    """

    storage: Storage
    faulty: FaultyStorage
    result: Any
    error: BaseException | None
    struck: bool


class FaultCase(msgspec.Struct, frozen=True):
    """A fault to be tried: call number `at` of `act`, which is `call` if nothing fails, fails as `kind`
    says. Its `str` is the same in every process, so it can be the id of a test.
    """

    make_store: Callable[[], Storage]
    act: Callable[[Storage], Any]
    at: int
    call: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.at} {_random_name.sub('*', self.call)}: {self.kind.name}"

    def strike(self) -> Struck:
        """Run the act, with the fault, on a storage of its own. Never raises what the act raises."""
        storage = self.make_store()
        faulty = FaultyStorage(storage)
        faulty.strike(self.at, self.kind)
        result, error = _outcome(self.act, faulty)
        return Struck(storage, faulty, result, error, faulty.struck)


def every_fault(
    make_store: Callable[[], Storage],
    act: Callable[[Storage], Any],
    kinds: Iterable[Kind] = KINDS,
    sample: int | None = None,
    seed: int = 0,
) -> list[FaultCase]:
    """Every fault of these kinds that `act` can meet: each call that it makes to the storage, in each way
    in which that call can fail. With `sample`, that many of them.

        store = MemoryStorage()
        Saver(store).save("iris", model)

        @pytest.mark.parametrize("case", every_fault(store.copy, lambda s: Saver(s).load("iris")), ids=str)
        def test_a_load_gives_the_truth_or_an_error(case):
            struck = case.strike()
            assert isinstance(struck.error, SaverError) or struck.result == model

    `make_store` makes a storage with the same objects each time. `act` is run once without a fault, to see
    which calls it makes, and should make the same calls each time, in the same order. A sample is drawn
    from each kind in turn, and within a kind from each method and folder in turn, so that it has some of
    each; the same `seed` gives the same sample.
    """
    counting = FaultyStorage(make_store())
    act(counting)
    chosen = tuple(kinds)
    cases = [
        FaultCase(make_store, act, at, call, kind)
        for at, call in enumerate(counting.calls, 1)
        for kind in chosen
        if kind.fits(*call.split(" ", 1))
    ]
    return cases if sample is None else _drawn(cases, _group, sample, seed)


def _group(case: FaultCase) -> tuple[str, ...]:
    name, key = case.call.split(" ", 1)
    return case.kind.name, name, key.split("/")[0], str(key.count("/"))


class DamageCase(msgspec.Struct, frozen=True):
    """A storage in which one object is permanently damaged: `how` says in which way."""

    make_store: Callable[[], Storage]
    key: str
    how: str

    def __str__(self) -> str:
        return f"{_random_name.sub('*', self.key)} is {self.how}"

    def storage(self) -> Storage:
        """A new storage with this damage."""
        storage = self.make_store()
        change = DAMAGE[self.how]
        data = change(storage, self.key) if change is not None else None
        storage.delete(self.key)
        if data is not None:
            storage.create(self.key, data)
        return storage


def every_damage(
    make_store: Callable[[], Storage],
    prefix: str = "",
    hows: Iterable[str] = tuple(DAMAGE),
    sample: int | None = None,
    seed: int = 0,
) -> list[DamageCase]:
    """Every object whose key begins with `prefix` in turn, damaged in each of these ways: gone, cut off,
    changed, or with the bytes of its neighbour in the folder. Arguments are as for `every_fault`."""
    ways, keys = tuple(hows), filter(lambda key: key.startswith(prefix), make_store().keys(""))
    cases = [DamageCase(make_store, key, how) for key in keys for how in ways]
    return cases if sample is None else _drawn(cases, _damaged_group, sample, seed)


def _damaged_group(case: DamageCase) -> tuple[str, ...]:
    return case.how, case.key.split("/")[0], str(case.key.count("/"))


class FileFault(msgspec.Struct, frozen=True):
    """Like `FaultCase`, for a call to the file system: it fails with this `number` of the module errno; for
    0 it reads less than requested, which is not an error."""

    act: Callable[[FaultyFiles], Any]
    inner: Files
    at: int
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.at} {self.call}: {errno.errorcode.get(self.number, 'short')}"

    def strike(self) -> tuple[Any, BaseException | None]:
        """Run the act, with the fault. Returns what it returned, and what it raised."""
        files = FaultyFiles(self.inner)
        if self.number:
            files.fail(self.at, self.number)
        else:
            files.shorten(self.at)
        return _outcome(self.act, files)


def every_file_fault(
    act: Callable[[FaultyFiles], Any],
    files: Files = FILES,
    errors: Iterable[int] = READ_ERRORS,
    sample: int | None = None,
    seed: int = 0,
) -> list[FileFault]:
    """Every call with which `act` reads from the file system that it is given, a wrapped `files`, fails
    once with each of these errors; and each that returns bytes returns fewer once.

    `act` must find the same files each time. `sample` and `seed` are as for `every_fault`.
    """
    counting = FaultyFiles(files)
    act(counting)
    cases = []
    for at, call in enumerate(counting.calls, 1):
        name = call.split(" ")[0]
        if name in _FILE_READS:
            short = (0,) if name.startswith("read") else ()
            cases += [FileFault(act, files, at, name, number) for number in (*errors, *short)]
    return (
        cases if sample is None else _drawn(cases, lambda case: (str(case.number), case.call), sample, seed)
    )


def _outcome(act: Callable[[T], Any], given: T) -> tuple[Any, BaseException | None]:
    try:
        return act(given), None
    except (Exception, Crash) as error:
        return None, error


def _drawn(cases: Sequence[T], group: Callable[[T], tuple[str, ...]], count: int, seed: int) -> list[T]:
    """`count` of the cases, in their order: drawn in turn from groups with the same first word, and among
    those in turn from each group. The order of turns is drawn, too."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, case in enumerate(cases):
        groups.setdefault(group(case), []).append(number)
    drawing = random.Random(seed)
    alike: dict[str, list[list[int]]] = {}
    for name, numbers in groups.items():
        alike.setdefault(name[0], []).append(drawing.sample(numbers, len(numbers)))
    turns = _in_turn([_in_turn(drawing.sample(each, len(each))) for each in alike.values()], drawing)
    return [cases[number] for number in sorted(turns[:count])]


def _in_turn(rows: Sequence[Sequence[int]], drawing: random.Random | None = None) -> list[int]:
    """The first of each row, then the second of each, and so on; with `drawing`, each round in a random
    order."""
    found = []
    for turn in zip_longest(*rows):
        there = [number for number in turn if number is not None]
        found += there if drawing is None else drawing.sample(there, len(there))
    return found


class Tally:
    """Counts what was tried: faults by act and kind, and the different states that storages were left in.

    `print(tally)` gives a table in Markdown.
    """

    def __init__(self) -> None:
        self.faults: Counter[tuple[str, str]] = Counter()
        self._states: dict[str, set[frozenset[tuple[str, bytes]]]] = {}

    def add(self, act: str, kind: str, storage: Storage | None = None) -> None:
        """Count a fault that was tried, and the storage that it left."""
        self.faults[act, kind] += 1
        states = self._states.setdefault(act, set())
        if storage is not None:
            states.add(frozenset((key, storage.read(key)) for key in storage.keys("")))

    @property
    def total(self) -> int:
        """The number of faults."""
        return self.faults.total()

    @property
    def states(self) -> int:
        """The number of different states."""
        return len(set().union(*self._states.values()))

    def __str__(self) -> str:
        acts, kinds = list(self._states), list(dict.fromkeys(kind for _, kind in self.faults))
        rows = [[kind, *(f"{self.faults[act, kind]:,}" for act in acts)] for kind in kinds]
        totals = (sum(self.faults[act, kind] for kind in kinds) for act in acts)
        rows.append(["all faults", *(f"{total:,}" for total in totals)])
        rows.append(["states left", *(f"{len(self._states[act]):,}" for act in acts)])
        table = [["fault", *acts], ["---", *(["---:"] * len(acts))], *rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in table)
