"""A push makes the same versions in another store, whatever happens meanwhile, and sends what it lacks."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import saver
from saver import pushing
from saver.caching import cache_folder
from saver.opened import open_version
from saver.repo import document, grid, resumable
from saver.repo.objects import pack_key
from saver.repo.resumable import Notes
from saver.repo.save import save_version
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.tensors.hashing import BLOCK
from saver.testing import Crash, FaultyStorage, every_damage, every_fault
from shards import cut_draft, rows

RNG = np.random.default_rng(7)
LARGE = RNG.integers(0, 255, 3 * BLOCK + 999, np.uint8)
"""A tensor of four blocks."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))


def state(number: int) -> dict[str, Any]:
    """A small state, which is one file."""
    return {"model": {"w": np.arange(30.0) * number, "empty": np.empty((0, 3))}, "scaler": [1, 2.5, "x"]}


def large(number: int) -> dict[str, Any]:
    """A state of several packs, of which each version changes one block."""
    changed = LARGE.copy()
    changed[BLOCK + 5] = number
    return {"model": {"emb": changed, "head": np.full(400_000, float(number))}, "same": RNG_STATE}


RNG_STATE = {"table": RNG.normal(size=700_000), "names": [f"name {number}" for number in range(9000)]}


def filled(storage: Storage, make: Any = state) -> saver.Saver:
    """A store with versions 1, 3 and 4 of a model."""
    store = saver.Saver(storage, author="ann")
    for number in range(1, 5):
        store.save(
            "team/m", make(number), step=number * 10, metrics={"auc": number / 7, "loss": math.nan},
            tags=[f"t{number}"], labels={"owner": "ann"}, notes=f"note {number}",
        )  # fmt: skip
    store.delete("team/m@2", tags=True)
    store.tag("team/m@3", "production")
    store.label("team/m@1", {"stage": "old"})
    store.note("team/m@1", "edited")
    return store


def said(store: saver.Saver, model: str = "team/m") -> list[Any]:
    """Everything that a push keeps of the versions of a model."""
    return [
        (
            each.number, each.parts, each.step, repr(each.metrics), sorted(each.tags), each.labels,
            each.notes, each.author, plain(open_version(store._repo, each)),
        )
        for each in store.versions(model)
    ]  # fmt: skip


def plain(opened: Any) -> Any:
    """The trees and tensors of a version, and what its manifest records: the same in every store."""
    opened.tensors.verify()
    found = opened.manifest
    return (
        {name: (bytes(part.tree), part.packages) for name, part in found.parts.items()},
        {
            name: (info.dtype, info.shape, opened.tensors.read(name).tobytes())
            for name in sorted(opened.tensors.names)
            for info in [opened.tensors.info(name)]
        },
        (found.time, msgspec.json.encode(found.environment), found.data, found.whole),
    )


def head(storage: Storage) -> list[str]:
    return [each.key for each in storage.list("log/")]


@pytest.mark.parametrize("make", [state, large])
def test_what_was_pushed_is_the_same(make: Any) -> None:
    here, there = filled(MemoryStorage("here"), make), saver.Saver(MemoryStorage("there"))
    found = here.push("team/m", there)
    assert said(there) == said(here)
    assert [each.number for each in found.versions] == [1, 3, 4]
    assert (found.present, found.left_out, found.tags) == (0, (), {})
    assert there.check().sound
    assert not there.check().garbage
    assert there.summary("team/m").tags == here.summary("team/m").tags
    again = here.push("team/m", there)
    assert (again.versions, again.present, again.bytes) == ((), 3, 0)
    assert there.save("team/m", make(5)).number == 5


def test_a_version_costs_what_changed_here_and_there() -> None:
    here, there = filled(MemoryStorage("here"), large), saver.Saver(MemoryStorage("there"))
    here.push("team/m", there)
    added = [
        (each.bytes_added, other.bytes_added)
        for each, other in zip(here.versions("team/m"), there.versions("team/m"), strict=True)
    ]
    assert all(abs(mine - other) < 9000 for mine, other in added), added
    assert added[-1][1] < 2 * BLOCK


def test_a_part_that_changed_and_changed_back_in_a_deleted_version_keeps_its_number() -> None:
    here, there = saver.Saver(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    for value in (1, 2, 1):
        here.save("m", {"a": value, "b": 0})
    here.delete("m@2")
    here.push("m", there)
    assert {name: part.number for name, part in there.version("m").parts.items()} == {"a": 3, "b": 1}
    assert said(there, "m") == said(here, "m")


def test_what_is_there_is_not_read_again() -> None:
    """It may even be lost here."""
    storage = MemoryStorage("here")
    here, there = filled(storage, large), saver.Saver(MemoryStorage("there"))
    expected = said(here)[-1]
    here.push("team/m@3", there)
    packs = {pack for number in (1, 3) for pack in here.version(f"team/m@{number}").packs}
    storage.delete(*map(pack_key, packs))
    here.push("team/m@4", there)
    assert said(there)[-1] == expected


def test_only_what_is_named_moves() -> None:
    here, there = filled(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    found = here.push("team/m@production", there, history=False, tags=False)
    assert [each.number for each in found.versions] == [3]
    assert not there.summary("team/m").tags
    late = here.push("team/m@t4", there)
    assert ([each.number for each in late.versions], late.left_out) == ([4], (1,))
    assert late.tags == {"production": 3, "t3": 3}
    assert "team/m@1: " in str(late)


def test_tags_move_and_others_stay() -> None:
    here, there = filled(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    here.push("team/m", there)
    there.tag("team/m@1", "production")
    there.tag("team/m@1", "theirs")
    assert here.push("team/m", there, tags=False).tags == {}
    assert there.summary("team/m").tags["production"] == 1
    assert here.push("team/m", there).tags == {"production": 3}
    assert there.summary("team/m").tags == {**here.summary("team/m").tags, "theirs": 1}


def test_other_versions_of_the_same_numbers_are_refused_and_nothing_is_changed() -> None:
    for differing in ({}, {"step": 10}, {"step": 10, "metrics": {"auc": 1 / 7, "loss": 0.0}}):
        here, storage = filled(MemoryStorage("here")), MemoryStorage("there")
        there = saver.Saver(storage)
        there.save("team/m", state(1 if "metrics" in differing else 2), **differing)
        before = head(storage)
        with pytest.raises(saver.CannotWriteError, match=r"team/m@1 is not team/m@1 of .*--as NAME"):
            here.push("team/m", there)
        assert head(storage) == before
        assert len(here.push("team/m", there, model="other").versions) == 3
        assert said(there, "other") == said(here)


def test_a_store_that_is_ahead_gets_nothing_new() -> None:
    here, there = filled(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    there.pull("team/m", here)
    there.save("team/m", state(9))
    found = here.push("team/m", there)
    assert (found.versions, found.present, found.left_out) == ((), 3, ())
    here.pull("team/m", there)
    assert said(there) == said(here)


def test_what_was_deleted_there_stays_so() -> None:
    here, there = filled(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    there.pull("team/m", here)
    there.delete("team/m@3", tags=True)
    found = here.push("team/m", there)
    assert (found.versions, found.present, found.left_out) == ((), 2, (3,))
    assert "production" not in there.summary("team/m").tags


def test_a_tensor_in_shards_comes_in_the_same_ones() -> None:
    array = np.arange(600_000.0).reshape(600, 1000)
    here, there = saver.Saver(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    save_version(
        here._repo, cut_draft("m", {"a": {"w": array}}, lambda name, each: rows(each.shape, 100, 450))
    )
    here.push("m", there)
    (mine,), (other,) = (
        [opened.tensors.info(name) for name in opened.tensors.names]
        for opened in (open_version(each._repo, each.version("m")) for each in (here, there))
    )
    assert [shard.box for shard in mine.shards] == [shard.box for shard in other.shards]
    assert said(there, "m") == said(here, "m")


def test_versions_of_very_many_shards_are_pushed_and_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "BOXES", 1)
    here, there = filled(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    array = np.arange(600_000.0).reshape(600, 1000)
    save_version(
        here._repo, cut_draft("team/m", {"a": {"w": array}}, lambda name, each: rows(each.shape, 100, 450))
    )
    here.push("team/m", there)
    assert np.array_equal(there.load("team/m")["a"]["w"], array)
    assert here.push("team/m", there).present == 4


@pytest.mark.parametrize("make", [state, large])
def test_whatever_is_damaged_here_nothing_wrong_gets_there(make: Any) -> None:
    """If the last record is missing, that is not seen: it may be the one that deleted a version."""
    storage = MemoryStorage("here")
    filled(storage, make)
    good = {each[0]: (each[1], each[-1]) for each in said(saver.Saver(storage))}
    for case in every_damage(storage.copy, sample=None if make is state else 25):
        there = saver.Saver(MemoryStorage("there"))
        with suppress(saver.SaverError):
            saver.Saver(case.storage()).push("team/m", there)
        if there.exists() and there.models():
            found = {each[0]: (each[1], each[-1]) for each in said(there)}
            assert found.items() <= good.items(), str(case)
            assert there.check().sound


@cache
def source() -> MemoryStorage:
    """A store that is only read."""
    storage = MemoryStorage("source")
    filled(storage)
    return storage


def pushed_into(storage: Storage) -> None:
    saver.Saver(source()).push("team/m", saver.Saver(storage, author="bob"))


@pytest.mark.parametrize("case", every_fault(MemoryStorage, pushed_into, sample=150), ids=str)
def test_whatever_fails_there_versions_are_whole_or_absent_and_the_next_push_goes_on(case: Any) -> None:
    here, struck = saver.Saver(source()), case.strike()
    assert struck.error is None or isinstance(struck.error, saver.SaverError | Crash)
    there = saver.Saver(struck.storage)
    if there.exists() and there.models():
        found = said(there)
        assert found == said(here)[: len(found)]
    here.push("team/m", there)
    assert said(there) == said(here)
    assert there.check().sound


def pushed_from(storage: Storage) -> MemoryStorage:
    target = MemoryStorage("target")
    saver.Saver(storage).push("team/m", saver.Saver(target, author="bob"))
    return target


def pulled_into(storage: Storage) -> None:
    saver.Saver(storage, author="bob").pull("team/m", source())


@pytest.mark.parametrize(
    ("what", "case"),
    [("from", each) for each in every_fault(lambda: source().copy(), pushed_from, sample=60)]
    + [("into", each) for each in every_fault(MemoryStorage, pulled_into, sample=60)],
    ids=str,
)
def test_whatever_fails_where_it_comes_from_or_in_a_pull_the_next_one_goes_on(what: str, case: Any) -> None:
    struck = case.strike()
    assert struck.error is None or isinstance(struck.error, saver.SaverError | Crash)
    there = saver.Saver(struck.storage if what == "into" else struck.result or MemoryStorage("target"))
    good = said(saver.Saver(source()))
    if there.exists() and there.models():
        assert said(there) == good[: len(said(there))]
    there.pull("team/m", source())
    assert said(there) == good
    assert there.check().sound


class Switching(FaultyStorage):
    """A storage of somebody who answers from another store: call `at` alone, or from there on."""

    def __init__(self, storage: Storage, other: Storage, at: int, once: bool) -> None:
        super().__init__(storage)
        self._both, self._at_call, self._once = (storage, other), at, once

    def _call(self, name: str, key: str, action: Any) -> Any:
        number = len(self.calls) + 1
        other = number == self._at_call if self._once else number >= self._at_call
        self._storage = self._both[other]
        return super()._call(name, key, action)


def test_a_store_that_answers_otherwise_from_one_call_on_gives_a_version_of_it_or_an_error() -> None:
    """It has two pasts, each of them sound, and shows now one, now the other."""
    past = MemoryStorage("source")
    saver.Saver(past).save("m", state(0))
    pasts = []
    for number in (1, 2):
        pasts.append(past.copy())
        saver.Saver(pasts[-1]).save("m", state(number), tags=["best"])
    good = [said(saver.Saver(each), "m") for each in pasts]
    counting = Switching(*pasts, 0, True)
    saver.Saver(MemoryStorage("target")).pull("m", counting)
    outcomes = set()
    for at in range(1, len(counting.calls) + 1):
        for once in (False, True):
            target = MemoryStorage("target")
            try:
                saver.Saver(target).pull("m", Switching(*pasts, at, once))
                outcomes.add("done")
            except saver.SaverError as error:
                outcomes.add(type(error).__name__)
            there = saver.Saver(target)
            if there.exists() and there.models():
                found = said(there, "m")
                assert found in [each[: len(found)] for each in good]
                assert there.check().sound
    assert outcomes == {"done", "DamagedError"}


class Pieces:
    """Pushes of a large version in pieces of one block, into a storage that counts the packs put there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resumable, "PIECE", BLOCK)
        self.here = saver.Saver(MemoryStorage("here"))
        self.here.save("m", {f"w{number}": RNG.normal(size=BLOCK // 8) for number in range(5)})
        self.expected = said(self.here, "m")
        self.target = MemoryStorage("there")
        self.there = saver.Saver(self.target)

    def puts(self) -> list[int]:
        """The numbers of the calls that put packs, if nothing fails."""
        faulty = FaultyStorage(self.target.copy())
        self.here.push("m", saver.Saver(faulty))
        return [at for at, call in enumerate(faulty.calls, 1) if call.startswith("put packs/")]

    def interrupt(self, at: int) -> None:
        faulty = FaultyStorage(self.target)
        faulty.crash(at)
        with pytest.raises(Crash):
            self.here.push("m", saver.Saver(faulty))

    def finish(self) -> int:
        """Push; return how many packs were put."""
        faulty = FaultyStorage(self.target)
        self.here.push("m", saver.Saver(faulty))
        assert said(saver.Saver(self.target), "m") == self.expected
        assert saver.Saver(self.target).check().sound
        assert not [*Path(cache_folder(), "transfers").glob("*")]
        return sum(call.startswith("put packs/") for call in faulty.calls)


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> Pieces:
    return Pieces(monkeypatch)


def test_a_push_that_is_killed_goes_on_with_the_next_piece(in_pieces: Pieces) -> None:
    puts = in_pieces.puts()
    assert len(puts) == 5
    in_pieces.interrupt(puts[3])
    assert in_pieces.finish() == 2


@pytest.mark.parametrize("name", [f"w[0:{BLOCK // 8}]", "w#100000"])
def test_a_tensor_in_another_piece_may_be_named_like_a_block_or_a_shard(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "PIECE", 1)
    here, there = saver.Saver(MemoryStorage("here")), saver.Saver(MemoryStorage("there"))
    array = np.arange(BLOCK // 8 * 3.0)
    if "#" in name:

        def cut(tensor: str, each: Any) -> list[Any]:
            return rows(each.shape, 100_000) if len(each) == len(array) else rows(each.shape)

        save_version(here._repo, cut_draft("m", {"w": array, name: np.ones(5000)}, cut))
    else:
        for first in (0.0, 1.0):
            array[0] = first
            here.save("m", {"w": array, name: RNG.normal(size=BLOCK // 8)})
    here.push("m", there)
    assert said(there, "m") == said(here, "m")


def test_pieces_that_were_collected_meanwhile_are_sent_again(in_pieces: Pieces) -> None:
    in_pieces.there.save("other", 1)
    in_pieces.interrupt(in_pieces.puts()[3])
    for _ in range(2):
        saver.Saver(in_pieces.target).gc(grace=0, everything=True)
    assert in_pieces.finish() == 5


def test_notes_that_are_not_those_of_this_push_cost_time_and_nothing_else(in_pieces: Pieces) -> None:
    """Cut, flipped, of another store, of other bytes."""
    in_pieces.interrupt(in_pieces.puts()[3])
    (notes,) = Path(cache_folder(), "transfers").glob("*")
    good = notes.read_bytes()
    left = in_pieces.target.copy()
    harmed = [good[: len(good) // 2], b"", good[:200] + bytes([good[200] ^ 1]) + good[201:]]
    found = msgspec.convert(msgspec.json.decode(good) | {"hash": None}, dict)
    assert found["pieces"]
    decoded, _ = document.decode(good, Notes, "")
    first, *rest = decoded.pieces
    harmed.append(document.encode(Notes(1, (msgspec.structs.replace(first, store="0" * 32), *rest))))
    harmed.append(document.encode(Notes(1, tuple(rest))))
    harmed.append(document.encode(Notes(1, (*decoded.pieces, *decoded.pieces, *decoded.pieces))))
    for each in harmed:
        in_pieces.target = left.copy()
        notes.parent.mkdir(exist_ok=True)
        notes.write_bytes(each)
        in_pieces.finish()


def test_notes_that_cannot_be_written_do_not_stop_a_push(in_pieces: Pieces) -> None:
    folder = Path(cache_folder())
    folder.mkdir(exist_ok=True)
    (folder / "transfers").write_bytes(b"")
    in_pieces.here.push("m", in_pieces.there)
    assert said(in_pieces.there, "m") == in_pieces.expected


def test_somebody_who_saves_there_meanwhile_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    here, storage = filled(MemoryStorage("here")), MemoryStorage("there")
    meanwhile = pushing.save_resumably

    def faster(*args: Any) -> Any:
        saver.Saver(storage).save("team/m", "theirs")
        saver.Saver(storage).save("team/m", "theirs")
        return meanwhile(*args)

    monkeypatch.setattr(pushing, "save_resumably", faster)
    with pytest.raises(saver.CannotWriteError, match=r"team/m@2 was saved meanwhile.*try again"):
        here.push("team/m", saver.Saver(storage))
    assert [each.number for each in saver.Saver(storage).versions("team/m")] == [1, 2]
    assert saver.Saver(storage).check().sound


def test_progress_ends_at_the_sum_and_never_goes_back() -> None:
    here, there = filled(MemoryStorage("here"), large), saver.Saver(MemoryStorage("there"))
    seen: list[tuple[int, int]] = []
    here.push("team/m", there, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)
