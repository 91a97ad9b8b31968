"""Savers, taggers, deleters, collectors, checkers and readers at one store, in any order, with troubles: what
a plain dict says is what each of them sees.

Each of four actors is as a process: it has a Saver of its own that stays open, and lags while others go on.
After every step a fresh one is asked, too. Checkpoints are small and frequent, so that the state has levels.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from actors import Actor, Trouble, TroubledStorage, Turned, names
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from truth import Kept, Truth, plain, ref_of, same, seen

import saver
from saver import encoding
from saver.errors import CommitUnknownError, NotFoundError, SaverError
from saver.repo.gc import collection, moving
from saver.repo.state import state, updating, users
from saver.testing import Crash

MODELS = ("m", "team/n", "o")
TAGS = ("best", "live")
STEPS = (None, 0, 5, 100)
LIVING = 14
"""Versions that are let live before some are deleted: more would only take time."""

BEGIN = 1_800_000_000.0

actors = st.integers(0, 3)
picks = st.integers(0, 40)
contents = st.lists(st.integers(0, 11), min_size=1, max_size=3).map(tuple)
troubles = st.none() | st.builds(
    Trouble,
    st.sampled_from(["fails", "lost", "absent", "flipped", "cut", "crash", "crash after"]),
    st.integers(1, 30),
    st.sampled_from(
        ["", "open", "open state/", "open log/", "open packs/", "open manifests/", "create", "create log/",
         "create state/", "put", "list", "stat", "delete"]
    ),
)  # fmt: skip
refs = st.tuples(st.sampled_from(MODELS), st.sampled_from(["number", "tag", "step", "time", "latest"]), picks)


class Processes(RuleBasedStateMachine):
    """Actors on one store, and the truth about it."""

    def __init__(self) -> None:
        super().__init__()
        self._patches = ExitStack()
        self.folder = tempfile.mkdtemp(prefix="machine-")
        self.now = BEGIN
        self.memory = Turned(clock=lambda: self.now)
        self.fresh = names()
        self.truth = Truth()
        self.actors = [
            Actor(self.memory, self.fresh, lambda: self.now, self.folder if number < 2 else None)
            for number in range(4)
        ]
        self.held: list[tuple[TroubledStorage, Any, Kept, str, int]] = []
        self.broken = self.struck = False
        self.kept_state: tuple[dict[str, bytes], bool] = ({}, False)

    @initialize(
        interval=st.sampled_from([2, 3, 5]),
        fan_out=st.sampled_from([3, 4]),
        leaf=st.sampled_from([150, 600]),
        count=st.integers(0, 60),
        small=st.sampled_from([0, 0, 100]),
    )
    def begin(self, interval: int, fan_out: int, leaf: int, count: int, small: int) -> None:
        patch = self._patches.enter_context(pytest.MonkeyPatch.context())
        for module, name, what in (
            (state, "INTERVAL", interval),
            (users, "INTERVAL", interval),
            (collection, "SMALL", small),
            (updating, "FAN_OUT", fan_out),
            (updating, "LEAF_BYTES", leaf),
            (moving, "DEAD_BYTES", 3000),
            (encoding, "time", SimpleNamespace(time=lambda: self.now)),
        ):
            patch.setattr(module, name, what)
        self.save(0, "m", (1, 2), True, None, (), 0, None)
        self.crowd(count)

    def teardown(self) -> None:
        try:
            if self.truth.numbers and sys.exc_info()[0] is None:
                self.end()
        finally:
            self._patches.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """All is there; what was broken is mended by a check; what nobody needs goes."""
        self.all_is_there(self.anew())
        last = self.anew()
        self.judge(last.check())
        self.crowd(3 * state.INTERVAL)
        last.gc(grace=0, everything=True)
        checked = last.check()
        assert checked.damage == (), checked.damage
        assert checked.garbage == ()
        assert checked.versions == len(self.truth.refs())
        self.all_is_there(self.anew())

    # Looking

    def anew(self) -> saver.Saver:
        """A process that has just begun, and meets no trouble."""
        return Actor(self.memory, self.fresh, lambda: self.now, None).saver

    def all_is_there(self, store: saver.Saver) -> None:
        found, wanted = seen(store), self.truth.shown()
        assert found == wanted, f"seen: {found}\ntrue: {wanted}"
        for model, number in self.truth.refs():
            found = store.load(f"{model}@{number}")
            assert same(found, self.truth.versions[model][number].value()), f"{model}@{number}"

    @invariant()
    def a_fresh_process_sees_the_truth(self) -> None:
        self.all_is_there(self.anew())

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        for model, numbers in self.truth.numbers.items():
            assert numbers == {*range(1, len(numbers) + 1)}, model

    # Acting

    def attempt(
        self,
        at: int,
        trouble: Trouble | None,
        act: Callable[[saver.Saver], Any],
        change: Callable[[Truth], None] = lambda truth: None,
    ) -> Any:
        """Let an actor do something that changes the truth, or fail and change nothing; only when it dies, or
        cannot know, may either be. What it returned, or the error.
        """
        actor = self.actors[at]
        actor.storage.arm(trouble)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*older versions could not be healed")
                result = act(actor.saver)
        except (SaverError, Crash) as error:
            result = error
        if not isinstance(result, BaseException):
            change(self.truth)
        elif actor.storage.struck:
            self._settle(result, change)
        else:
            raise AssertionError("it failed by itself") from result
        self.struck = actor.storage.struck
        actor.storage.arm(None)
        if isinstance(result, Crash):
            self.held = [held for held in self.held if held[0] is not actor.storage]
            actor.begin()
        return result

    def _settle(self, error: BaseException, change: Callable[[Truth], None]) -> None:
        """Learn whether what failed took place."""
        changed = self.truth.copy()
        change(changed)
        found = seen(self.anew())
        if isinstance(error, CommitUnknownError | Crash) and found == changed.shown():
            self.truth = changed
        assert found == self.truth.shown(), f"after {error!r}"

    def chosen(self, pick: int) -> tuple[str, int]:
        """A version that lives."""
        there = self.truth.refs()
        return there[pick % len(there)]

    def ref(self, ref: tuple[str, str, int]) -> tuple[str, int | None]:
        """How to write a ref, and the number that it leads to."""
        model, what, pick = ref
        about: Any = {
            "number": pick % (self.truth.last(model) + 2) or 1,
            "tag": TAGS[pick % len(TAGS)],
            "step": STEPS[1:][pick % 3],
            "time": BEGIN - 200 + 25 * pick,
            "latest": pick % 2 or None,
        }[what]
        return ref_of(model, what, about), self.truth.find(model, what, about)

    @rule(
        at=actors, model=st.sampled_from(MODELS), keys=contents, whole=st.booleans(),
        step=st.sampled_from(STEPS), tags=st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
        base=picks, trouble=troubles,
    )  # fmt: skip
    def save(
        self, at: int, model: str, keys: tuple[int, ...], whole: bool, step: int | None,
        tags: tuple[str, ...], base: int, trouble: Trouble | None,
    ) -> None:  # fmt: skip
        kept = Kept(keys, whole, step, self.actors[at].clock())
        bases = ["{}@{}".format(*self.chosen(base))] if base % 2 and self.truth.refs() else ()
        number = self.truth.last(model) + 1
        found = self.attempt(
            at,
            trouble,
            lambda store: store.save(model, kept.value(), step=step, tags=tags, base=bases),
            lambda truth: truth.save(model, number, kept, tags),
        )
        if isinstance(found, saver.Version):
            assert (found.number, found.time, found.step) == (number, kept.time, step)

    @rule(at=actors, ref=refs, tag=st.sampled_from(TAGS), trouble=troubles)
    def tag(self, at: int, ref: tuple[str, str, int], tag: str, trouble: Trouble | None) -> None:
        text, number = self.ref(ref)
        if number is None:
            self.finds_nothing(at, trouble, lambda store: store.tag(text, tag))
            return
        self.attempt(
            at,
            trouble,
            lambda store: store.tag(text, tag),
            lambda truth: truth.tags.update({(ref[0], tag): number}),
        )

    @rule(at=actors, model=st.sampled_from(MODELS), tag=st.sampled_from(TAGS), trouble=troubles)
    def untag(self, at: int, model: str, tag: str, trouble: Trouble | None) -> None:
        def act(store: saver.Saver) -> None:
            store.untag(model, tag)

        if (model, tag) not in self.truth.tags:
            self.finds_nothing(at, trouble, act)
            return
        self.attempt(at, trouble, act, lambda truth: truth.tags.__delitem__((model, tag)))

    @precondition(lambda self: self.truth.refs())
    @rule(
        at=actors, pick=picks, whole=st.booleans(), key=st.sampled_from("ab"),
        value=st.none() | st.sampled_from("xy"), notes=st.sampled_from(["", "noted"]), trouble=troubles,
    )  # fmt: skip
    def annotate(
        self, at: int, pick: int, whole: bool, key: str, value: str | None, notes: str,
        trouble: Trouble | None,
    ) -> None:  # fmt: skip
        """A version, or the `whole` model, gets a label or loses it, and then gets notes."""
        model, found = self.chosen(pick)
        number = None if whole else found
        ref = model if whole else f"{model}@{found}"
        before = self.truth.said.get((model, number), ({}, ""))[1]
        self.attempt(
            at, trouble, lambda store: store.label(ref, {key: value}),
            lambda truth: truth.annotate(model, number, key, value, before),
        )  # fmt: skip
        labels = self.truth.said.get((model, number), ({}, ""))[0]
        self.attempt(
            at, None, lambda store: store.note(ref, notes),
            lambda truth: truth.annotate(model, number, key, labels.get(key), notes),
        )  # fmt: skip

    @rule(at=actors, ref=refs, trouble=troubles)
    def delete(self, at: int, ref: tuple[str, str, int], trouble: Trouble | None) -> None:
        text, number = self.ref(ref)
        text = text if "@" in text else f"{text}@latest"

        def act(store: saver.Saver) -> object:
            return store.delete(text, tags=True)

        if number is None:
            self.finds_nothing(at, trouble, act)
            return
        self.attempt(at, trouble, act, lambda truth: truth.delete(ref[0], number))

    @precondition(lambda self: len(self.truth.refs()) > LIVING)
    @rule(at=actors, picks=st.lists(picks, min_size=4, max_size=LIVING))
    def delete_many(self, at: int, picks: list[int]) -> None:
        for pick in picks:
            model, number = self.chosen(pick)
            self.delete(at, (model, "number", number), None)

    def finds_nothing(self, at: int, trouble: Trouble | None, act: Callable[[saver.Saver], Any]) -> None:
        """There is no such thing: the actor says so, or what else went wrong."""

        def refused(store: saver.Saver) -> None:
            try:
                act(store)
            except NotFoundError:
                return
            raise AssertionError("it found what is not there")

        self.attempt(at, trouble, refused)

    # Collecting and checking

    @rule(
        at=actors, grace=st.sampled_from([0, 0, 0, 60, 1000]), everything=st.booleans(), dry=st.booleans(),
        trouble=troubles,
    )  # fmt: skip
    def collect(self, at: int, grace: float, everything: bool, dry: bool, trouble: Trouble | None) -> None:
        def act(store: saver.Saver) -> Any:
            return store.gc(grace=grace, everything=everything, dry_run=dry and grace > 0)

        found = self.attempt(at, trouble, act)
        if everything and not grace and not isinstance(found, BaseException) and not self.struck:
            assert self.anew().check().garbage == ()

    @rule(at=actors, trouble=troubles)
    def check(self, at: int, trouble: Trouble | None) -> None:
        found = self.attempt(at, trouble, lambda store: store.check())
        if not isinstance(found, BaseException) and not self.struck:
            self.judge(found)

    def judge(self, found: Any) -> None:
        """Damage was done below state/ alone, if any was, and is mended now."""
        assert found.versions == len(self.truth.refs())
        elsewhere = [item for item in found.damage if not item.key.startswith("state/")]
        assert elsewhere == [], elsewhere
        assert self.broken or found.sound, found.damage
        self.broken = False

    # Reading

    @rule(at=actors, trouble=troubles)
    def look(self, at: int, trouble: Trouble | None) -> None:
        found = self.attempt(at, trouble, seen)
        assert isinstance(found, BaseException) or found == self.truth.shown()

    @rule(at=actors, ref=refs, part=picks, lazy=st.booleans(), trouble=troubles)
    def load(
        self, at: int, ref: tuple[str, str, int], part: int, lazy: bool, trouble: Trouble | None
    ) -> None:
        text, number = self.ref(ref)
        if number is None:
            self.finds_nothing(at, trouble, lambda store: store.load(text))
            return
        kept = self.truth.versions[ref[0]][number]
        chosen = [f"p{part % len(kept.keys)}"] if kept.whole and part % 2 else None
        found = self.attempt(at, trouble, lambda store: store.load(text, parts=chosen, lazy=lazy))
        if isinstance(found, BaseException):
            return
        if lazy:
            self.held.append((self.actors[at].storage, found, kept, ref[0], number))
            return
        wanted = kept.value()
        assert same(found, {name: wanted[name] for name in chosen} if chosen else wanted)

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def read_what_was_held(self, pick: int) -> None:
        """A version that was opened long ago; only if it was deleted meanwhile may it be gone."""
        _, found, kept, model, number = self.held.pop(pick % len(self.held))
        try:
            for name, held in found.items() if kept.whole else [(None, found)]:
                assert same(plain(held), kept.value()[name] if kept.whole else kept.value())
        except NotFoundError:
            assert number not in self.truth.versions[model]

    # Time, lag, and what becomes of shortcuts

    @rule(count=st.integers(1, 300))
    def crowd(self, count: int) -> None:
        """Somebody makes many records."""
        store, there = self.anew(), self.truth.refs()
        if not there:
            return
        model, number = there[count % len(there)]
        for turn in range(count):
            if turn % 2 == 0:
                store.tag(f"{model}@{number}", "busy")
                self.truth.tags[(model, "busy")] = number
            else:
                store.untag(model, "busy")
                del self.truth.tags[(model, "busy")]

    @rule(at=actors)
    def begin_anew(self, at: int) -> None:
        self.actors[at].begin()

    @rule(seconds=st.sampled_from([1, 70, 2000, -50, -10_000, 10**8]), at=st.none() | actors)
    def turn_the_clock(self, seconds: int, at: int | None) -> None:
        if at is None:
            self.now = max(1000.0, self.now + seconds)
        else:
            self.actors[at].offset += seconds

    @rule(
        pick=picks,
        how=st.sampled_from(["gone", "flipped", "cut", "swapped", "all pages", "all", "copy", "put back"]),
    )
    def break_a_shortcut(self, pick: int, how: str) -> None:
        """Or copy all of them, or put what was copied back."""
        objects = {key: self.memory.read(key) for key in self.memory.keys("state/")}
        if how == "copy":
            self.kept_state = objects, self.broken
            return
        wanted, keys = dict(objects), sorted(objects)
        if how == "put back":
            wanted, broken = self.kept_state
            self.broken = self.broken or broken
        elif how.startswith("all"):
            wanted = {key: objects[key] for key in keys if how == "all pages" and "pages" not in key}
            self.broken = True
        elif keys:
            tops = [key for key in keys if pick % 2 or "pages" not in key] or keys
            key, other = tops[-1 - pick % len(tops)], tops[pick % len(tops)]
            wanted[key] = _broken(wanted.pop(key), objects[other], how, pick)
            self.broken = True
            if how == "gone":
                del wanted[key]
        for key in objects:
            if wanted.get(key) != objects[key]:
                self.memory.delete(key)
        for key, data in wanted.items():
            self.memory.create(key, data)

    # At the same time

    @rule(
        outer=st.sampled_from(["save", "gc", "check", "load", "delete"]), at=actors, other=actors,
        moment=st.integers(1, 3) | st.integers(1, 50),
        only=st.sampled_from(["", "create log/", "put", "put manifests/", "open", "stat"]),
        inner=st.lists(
            st.tuples(st.sampled_from(["gc", "save", "delete", "drop", "tag"]), picks, contents),
            min_size=1, max_size=3,
        ),
        keys=st.none() | contents, pick=picks,
    )  # fmt: skip
    def meanwhile(
        self, outer: str, at: int, other: int, moment: int, only: str,
        inner: list[tuple[str, int, tuple[int, ...]]], keys: tuple[int, ...] | None, pick: int,
    ) -> None:  # fmt: skip
        """In the midst of what one actor does, another one does something from begin to end. Without `keys`
        what is saved is what a version has already.
        """
        if not self.truth.refs():
            return
        actor, store = self.actors[at], self.actors[other].saver if other != at else self.anew()
        clock = self.actors[other].clock if other != at else lambda: self.now
        model, number = self.chosen(pick)
        kept = Kept(keys or self.truth.versions[model][number].keys, True, None, actor.clock())

        def others() -> None:
            for what, which, content in inner:
                self._meanwhile(store, clock, what, which, content, (model, number), outer)

        actor.storage.arm(Trouble("meanwhile", moment, only), others)
        try:
            match outer:
                case "save":
                    try:
                        found = actor.saver.save(model, kept.value(), base=f"{model}@{number}")
                        self.truth.save(model, found.number, kept, ())
                    except NotFoundError:  # its base
                        assert number not in self.truth.versions[model]
                case "gc":
                    actor.saver.gc(grace=0)
                case "check":
                    assert [item for item in actor.saver.check().damage if item.key[:6] != "state/"] == []
                case "load":
                    wanted = self.truth.versions[model][number].value()
                    try:
                        assert same(actor.saver.load(f"{model}@{number}"), wanted)
                    except NotFoundError:
                        assert number not in self.truth.versions[model]
                case "delete":
                    actor.saver.delete(f"{model}@{number}", tags=True)
                    self.truth.delete(model, number)
        finally:
            actor.storage.arm(None)

    @rule(
        outer=st.sampled_from(["save", "save", "load"]), at=actors, pick=picks, moment=st.integers(1, 2),
        only=st.sampled_from(["create log/", "put manifests/", "open packs/", "open manifests/"]),
    )  # fmt: skip
    def drop_meanwhile(self, outer: str, at: int, pick: int, moment: int, only: str) -> None:
        """What is being shared or read is deleted and collected, at the worst moments."""
        self.meanwhile(outer, at, at, moment, only, [("drop", 0, (0,))], None, pick)

    def _meanwhile(
        self, store: saver.Saver, clock: Callable[[], float], what: str, which: int,
        content: tuple[int, ...], target: tuple[str, int], outer: str,
    ) -> None:  # fmt: skip
        there = [ref for ref in self.truth.refs() if outer != "delete" or ref != target]
        model, number = there[which % len(there)] if there else target
        match what:
            case "gc":
                store.gc(grace=0)
            case "save":
                kept = Kept(content, True, None, clock())
                self.truth.save(model, store.save(model, kept.value()).number, kept, ())
            case "delete" if there:
                store.delete(f"{model}@{number}", tags=True)
                self.truth.delete(model, number)
            case "drop" if target in there:
                store.delete("{}@{}".format(*target), tags=True)
                self.truth.delete(*target)
                store.gc(grace=0)
            case "tag" if there:
                store.tag(f"{model}@{number}", "busy")
                self.truth.tags[(model, "busy")] = number


def _broken(data: bytes, other: bytes, how: str, pick: int) -> bytes:
    """What an object becomes."""
    at = pick * 7 % max(1, len(data))
    flipped = data[:at] + bytes(byte ^ 32 for byte in data[at : at + 1]) + data[at + 1 :]
    return {"gone": b"", "flipped": flipped, "cut": data[:at], "swapped": other}[how]


BUDGET = {"database": None, "suppress_health_check": list(HealthCheck)}


class TestProcesses(Processes.TestCase):  # type: ignore[misc,name-defined]
    """The same examples in each run, for about half a minute."""

    settings = settings(derandomize=True, max_examples=100, stateful_step_count=40, **BUDGET)


@pytest.mark.long
class TestProcessesForLong(Processes.TestCase):  # type: ignore[misc,name-defined]
    """Others in each run, for about an hour; what fails is printed as steps that can be repeated."""

    settings = settings(max_examples=5000, stateful_step_count=60, print_blob=True, **BUDGET)


def test_a_writer_that_was_open_during_a_check_does_not_rest_on_checkpoints_that_were_made_anew() -> None:
    """Their pages were in its memory still, and nowhere else. The machine found it."""
    state = Processes()
    state.begin(interval=2, leaf=600, fan_out=3, count=9, small=100)
    state.save(
        at=3,
        base=14,
        keys=(0,),
        model="o",
        step=None,
        tags=("live", "best"),
        trouble=Trouble("flipped", 8, "stat"),
        whole=True,
    )
    state.untag(at=2, model="o", tag="live", trouble=None)
    state.drop_meanwhile(at=3, moment=1, only="open manifests/", outer="save", pick=34)
    state.save(
        at=2,
        base=13,
        keys=(4, 0, 0),
        model="o",
        step=100,
        tags=("best", "live"),
        trouble=Trouble("crash after", 24, "list"),
        whole=True,
    )
    state.meanwhile(
        at=2,
        inner=[("save", 18, (7,)), ("tag", 6, (8, 0, 9)), ("delete", 25, (3,))],
        keys=(11, 0, 9),
        moment=18,
        only="",
        other=1,
        outer="gc",
        pick=18,
    )
    state.collect(everything=False, at=3, dry=True, grace=0, trouble=Trouble("crash", 11, "delete"))
    state.untag(at=0, model="o", tag="live", trouble=Trouble("cut", 4, "create"))
    state.crowd(count=295)
    state.drop_meanwhile(at=3, moment=2, only="open packs/", outer="save", pick=21)
    state.meanwhile(
        at=0,
        inner=[("drop", 40, (6,)), ("gc", 24, (8, 4)), ("gc", 0, (2, 2, 7))],
        keys=None,
        moment=2,
        only="put manifests/",
        other=3,
        outer="save",
        pick=2,
    )
    state.save(
        at=3, base=17, keys=(11, 10, 6), model="m", step=5, tags=("best", "live"), trouble=None, whole=True
    )
    state.begin_anew(at=0)
    state.collect(everything=False, at=0, dry=True, grace=0, trouble=Trouble("flipped", 18, "put"))
    state.turn_the_clock(at=None, seconds=2000)
    state.break_a_shortcut(how="flipped", pick=13)
    state.check(at=2, trouble=Trouble("lost", 16, "open packs/"))  # is not struck: it judges, and mends
    state.drop_meanwhile(at=2, moment=1, only="open manifests/", outer="load", pick=17)
    state.untag(at=0, model="team/n", tag="live", trouble=None)
    state.teardown()
