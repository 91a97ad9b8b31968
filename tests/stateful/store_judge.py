"""The judge of what is left where something failed in a large store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from large import Failed, held, lists, opened, value
from log_truth import Content, Listed, Logged, Moment, Truth, content_of

from saver import CommitUnknownError, Saver, SaverError
from saver.repo.check import Checked
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import Crash, FaultyStorage, Struck

NEXT = "987654"
"""What a version holds that is saved afterwards."""


class Judge:
    """Holds what a fault left against what must hold, whatever failed:

    - every version that the log tells of loads to the bit, and nothing that it needs is condemned or gone;
    - numbers have no gaps and no doubles;
    - what was acknowledged stands in the log, under the number that was returned; what was not is absent or
      whole, and absent if the error says so;
    - who read got what the log says, or said meanwhile, or an error of Saver's;
    - a check finds what is damaged, and nothing else;
    - an actor that had the store open, and met the fault, sees the log or an error, and does no harm;
    - the next one sees what the log says, and can save, collect and check.

    """

    def __init__(self, first: Content) -> None:
        self._head = Truth(first).head
        self._loaded: dict[tuple[str, str, tuple[str, ...]], frozenset[tuple[str, bytes]]] = {}
        self._wholes: dict[frozenset[tuple[str, bytes]], Truth] = {}
        self._judged: set[frozenset[tuple[str, bytes]]] = set()

    def __call__(self, struck: Struck, key: str = "") -> None:
        """Judge what came of an `Act` that met a fault at the object `key`."""
        if struck.error is not None:
            raise struck.error
        assert isinstance(struck.storage, MemoryStorage)
        actor, told = struck.result
        truth = self.left(struck.storage, told, key)
        if not died(told):
            self._survives(actor, struck, truth)

    def left(self, store: MemoryStorage, told: list[Any], key: str = "") -> Truth:
        """Judge what was reported, and the store that was left. Returns what its log says."""
        content = content_of(store)
        truth = self.whole(store, content)
        _judge_told(told, truth, {key, key.removesuffix("/")} if key else set())
        self.goes_on(store, content, truth)
        return truth

    def whole(self, store: Storage, content: Content) -> Truth:
        """All that the log tells of is there, and the next one sees that."""
        state = frozenset(content.items())
        if state not in self._wholes:
            self._wholes[state] = self._whole(store, content)
        return self._wholes[state]

    def _whole(self, store: Storage, content: Content) -> Truth:
        truth = Truth(content, self._head)
        moves = tuple(truth.moves)
        fresh = [ref for ref in truth.now.live if not self._is_known(ref, truth, content)]
        traced = FaultyStorage(store)
        reader = opened(traced, "reader")
        assert listing(_listed(reader)) == truth.now.live, "who comes next sees something else"
        for ref in fresh:
            traced.calls.clear()
            assert held(reader.load(ref)) == truth.now.live[ref].holds, f"{ref} has other content"
            opens = {call.removeprefix("open ") for call in traced.calls}
            needed = {key for key in opens if key.startswith(("packs/", "manifests/", "trees/"))}
            place = (ref, truth.now.live[ref].manifest, moves)
            self._loaded[place] = frozenset((key, content[key]) for key in needed)
        for ref, told in truth.now.live.items():
            gone = {key for key, _ in self._loaded[ref, told.manifest, moves]} & truth.condemned
            assert not gone, f"{ref} needs {gone}, which a collector condemned"
        return truth

    def _is_known(self, ref: str, truth: Truth, content: Content) -> bool:
        """Whether a version was loaded before from the very same bytes."""
        needed = self._loaded.get((ref, truth.now.live[ref].manifest, tuple(truth.moves)))
        return needed is not None and all(content.get(key) is data for key, data in needed)

    def goes_on(self, left: MemoryStorage, content: Content, truth: Truth) -> None:
        """Whoever comes next can work."""
        state = frozenset(content.items())
        if state in self._judged:
            return
        self._judged.add(state)
        store = left.copy()
        _judge_check(opened(store, "checker").check())
        actor = opened(store, "next")
        self._saves_next(actor, truth)
        actor.gc(grace=0, everything=True)
        after = self.whole(store, content_of(store))
        assert {ref for ref in after.now.live if ref not in truth.now.live} == {f"m4@{after.last['m4']}"}
        assert after.now.live.keys() >= truth.now.live.keys()
        found = opened(store, "checker").check()
        _judge_check(found)
        assert found.garbage == (), "garbage is left"

    def _saves_next(self, actor: Saver, truth: Truth) -> None:
        version = actor.save("m4", value(NEXT), notes=NEXT)
        assert version.number == truth.last["m4"] + 1, "a number was given twice, or left out"

    def _survives(self, actor: Saver, struck: Struck, before: Truth) -> None:
        """Whoever met the fault goes on: while it lasts, and once it is mended."""
        told: list[Any] = []
        for mend in (False, True):
            if mend:
                struck.faulty.mend()
            try:
                lists(actor, told)
            except SaverError:
                if mend:
                    raise
        for _, listed in told:
            assert listing(listed) == before.now.live, "who met the fault sees something else"
        self._saves_next(actor, before)
        actor.gc(grace=0)
        after = self.whole(struck.storage, content_of(struck.storage))
        assert after.now.live.keys() - before.now.live.keys() == {f"m4@{before.last['m4'] + 1}"}
        assert after.now.live.keys() >= before.now.live.keys(), "who met the fault lost a version"


def _listed(reader: Saver) -> dict[str, Any]:
    return {model: reader.versions(model) for model in (reader.models() if reader.exists() else ())}


def listing(listed: dict[str, Any]) -> Listed:
    """The versions by ref, as the log would tell of them."""
    return {
        str(version): Logged(
            version.notes.partition(" ")[0] or f"step {version.step}", version.manifest, version.packs,
            version.parent, version.step, version.metrics, tuple(sorted(version.tags)),
        )
        for versions in listed.values()
        for version in versions
    }  # fmt: skip


def _of(live: Listed, model: str) -> Listed:
    return {ref: told for ref, told in live.items() if ref.partition("@")[0] == model}


def _judge_told(told: list[Any], truth: Truth, struck: set[str]) -> None:
    saving = None
    for what, *facts in told:
        match what, facts:
            case "loaded", [ref, holds]:
                assert any(moment.refs.get(ref) == holds for moment in truth.moments), f"{ref} gave {holds}"
            case "listed", [listed]:
                # Each model was read by itself: others may have acted between two of them.
                for model in {ref.partition("@")[0] for moment in truth.moments for ref in moment.live}:
                    lives = [_of(moment.live, model) for moment in truth.moments]
                    found = listing({model: listed.get(model, ())})
                    assert found in lives, f"other versions of {model}"
                assert listing(listed).keys() <= {ref for moment in truth.moments for ref in moment.live}
            case "resumed", [holds]:
                _judge_resumed(holds, truth.moments, struck)
            case "saving", [model, holds]:
                saving = model, holds
            case "saved", [ref, holds]:
                saving = None
                same = [each for each in truth.commits if each[1] == holds]
                assert (ref, holds) in same, f"{ref} was saved, and is not there"
                assert len(same) == 1 or ref.startswith("run@"), "it was saved twice"
            case "tagged", [ref]:
                assert ref in truth.now.refs, f"{ref} was set, and is not there"
            case "untagged", [ref]:
                assert ref not in truth.now.refs, f"{ref} was removed, and is there"
            case "deleted", [ref]:
                assert ref not in truth.now.live, f"{ref} was deleted, and is there"
            case "checked", [found]:
                _judge_check(found, struck)
            case "collected", [_]:
                pass
            case _, [Failed(error)]:
                if saving is not None and not isinstance(error, CommitUnknownError | Crash):
                    there = [each for each in truth.commits if each[1] == saving[1]]
                    assert not there, f"{there} is there, and the save failed with {error!r}"
            case _:
                raise AssertionError(f"nobody knows {what}")


def _judge_resumed(holds: str, moments: list[Moment], struck: set[str]) -> None:
    """Of a run the newest version; an older one where the bytes of the newest could not be used."""
    there = [
        [told.holds for ref, told in moment.live.items() if ref.startswith("run@")] for moment in moments
    ]
    spoilt = any(key.startswith(("packs/", "manifests/", "trees/")) for key in struck)
    assert any(holds in (runs if spoilt else runs[-1:]) for runs in there), f"resumed from {holds}"


def _judge_check(found: Checked, may: Iterable[str] = ()) -> None:
    """A check names nothing but what it may."""
    named = [damage for damage in found.damage if damage.key not in may]
    assert not named, f"a check names {named}"


def died(told: list[Any]) -> bool:
    """Whether the process that tells this is dead."""
    last = told[-1][-1] if told else None
    return isinstance(last, Failed) and isinstance(last.error, Crash)
