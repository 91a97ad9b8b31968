"""What a run saves: the caller's objects, and the run's own parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from types import GeneratorType
from typing import Any, TypeVar

from saver import framework
from saver.callers import warn
from saver.checkpoints import own_parts
from saver.checkpoints.answers import Answers
from saver.checkpoints.losses import warn_of_losses
from saver.checkpoints.own_parts import Own
from saver.checkpoints.position import Position
from saver.checkpoints.ranks import Ranks
from saver.checkpoints.trials import GoneBack, Trials
from saver.codec import codec_for
from saver.codec.ways import way_out
from saver.distributed.session import Session
from saver.encoding import classes, encode
from saver.errors import (
    CannotSaveError,
    DamagedError,
    DoesNotFitError,
    NotFoundError,
    UntrustedError,
    printable,
)
from saver.opened import Opened, Tree
from saver.random_states import random_states
from saver.repo.draft import Encoded
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.restoring import restore
from saver.restoring.contract import kind, restorer_for
from saver.restoring.live import stuck
from saver.staging import address_of
from saver.training_log import TrainingLog
from saver.tree import Node
from saver.trust import Allowed, dotted

LOG, RANDOM, RUN, REST = "log", "random", "run", "rest"
RESERVED = (LOG, RANDOM, RUN, REST)
"""Parts that a run saves beside the caller's objects; the last only if there is something in it."""

T = TypeVar("T")


class Objects:
    """The caller's objects; of one of `ranks`, which has for itself what `per_rank` names. Raises
    CannotSaveError for an object that could not be resumed.
    """

    def __init__(
        self, objects: Mapping[str, Any], ranks: Ranks | None = None, per_rank: Iterable[str] = ()
    ) -> None:
        for name, obj in objects.items():
            _check(name, obj)
        self.live = dict(objects)
        rank, size = (None, 1) if ranks is None else (ranks.rank, ranks.size)
        self._own = Own(rank, size, (RANDOM, *per_rank))
        self._together = ranks is not None
        self._answers = Answers()
        self.restless: set[str] = set()
        """Tensors that changed unexpectedly during a copy: from then on they are copied at once."""

        try:
            rest = self._tried(walk=False)  # most objects can be saved as they are: this one walk finds out
        except CannotSaveError:
            rest = self._tried(walk=True)  # raises now what the first save would raise
        warn_of_losses(self.live, self._by_state, rest)

    def _tried(self, walk: bool) -> framework.Rest:
        """The rest, once everything could be encoded."""
        together = self._together
        self._by_state = {name: _goes_by_state(obj, walk, together) for name, obj in self.live.items()}
        rest = self._rest()
        encode(self._with(rest), together)
        return rest

    def state(self) -> dict[str, Any]:
        """What is saved: each object itself, or its `state_dict()` if the object has no data form; and the
        rest, which is in none of them."""
        return self._with(self._rest())

    def _with(self, rest: framework.Rest) -> dict[str, Any]:
        by_state = self._by_state
        state = {name: obj.state_dict() if by_state[name] else obj for name, obj in self.live.items()}
        own, beside = rest.own, rest.state
        if not self._together:  # a process alone has one rest
            beside = {name: {**beside.get(name, {}), **own.get(name, {})} for name in {**beside, **own}}
            own = {}
        found = {REST: beside, self._own.of_rank(REST): own}
        return state | {name: each for name, each in found.items() if each}

    def _rest(self) -> framework.Rest:
        by_state = [name for name, goes in self._by_state.items() if goes]
        return framework.rest(self.live, by_state)

    def put_back(self, opened: Opened, trust: Any, **together: Any) -> None:
        """Restore the objects exactly as they were when they were saved, or change nothing. `bring` and
        `agree` as in restore."""
        live = self._own.found(opened.trees, self.live)
        names = REST, self._own.of_rank(REST)
        states = [_frameworks(opened.trees.get(name)) for name in names]
        targets = framework.rest_targets(self.live, *states)
        rest = {name: each for name, each in zip(names, targets, strict=True) if name in opened.trees}
        restore(opened, live | rest, trust=trust, exact=True, **together)
        if not rest:
            framework.forget_rest(self.live)

    def refuse_iterators(self) -> None:
        """Raise CannotSaveError for a loader: a loop that has started keeps its iterator, and would not
        notice that the loader was reset.
        """
        for name, obj in self.live.items():
            if self._by_state[name] and hasattr(type(obj), "__iter__") and not callable(obj):
                raise CannotSaveError(
                    f"{name}: the loop keeps its iterator, so the loader cannot be restored under it; call "
                    "prove right after resume(), before the loop takes batches, or prove in separate "
                    "processes: saver rehearse --prove 3 -- python train.py"
                )

    def encode(self, log: TrainingLog, place: Position) -> Encoded:
        """All parts of a version."""
        own: dict[str, Any] = {RANDOM: random_states()}
        if self._own.leads:
            own |= {LOG: log, RUN: place.as_part()}
        return self._answers.beside(encode(self._own.named(self.state() | own), self._together), self.live)

    def predict_with(self, example: Any, pipeline: Any) -> None:
        """Let each version record what the objects answer to an example. Raises CannotSaveError."""
        if self._together and example is not None:
            raise ValueError("example: the ranks of a cluster record no predictions; leave one of them out")
        answers = Answers(example, pipeline)
        answers.demand(self.live, self._by_state)
        self._answers = answers

    def unchanged(self, encoded: Encoded) -> tuple[framework.Steps | None, set[str]]:
        """A hook into optimizers' steps, and the tensors that should stay the same until the next step."""
        steps = framework.steps(self.live.values())  # each time: stepping creates the state
        if steps is None:
            return None, set()
        return steps, {
            name
            for name, data in encoded.tensors.items()
            if data.changes is not None and address_of(data) in steps.addresses and name not in self.restless
        }

    def newest(self, repo: Repository, model: str) -> Version | None:
        """The newest version of a run; None if there is none."""
        if not repo.exists():
            return None
        repo.open()
        return next(repo.versions(model, reverse=True), None)

    def refuse_to_begin(self, repo: Repository, model: str) -> None:
        """Refuse to start a run from the beginning that has versions: its versions and its log would be lost,
        one after the other."""
        newest = self.newest(repo, model)
        if newest is not None:
            raise CannotSaveError(
                f"{model}: {newest} of step {newest.step} exists already; begin the loop with "
                "`for step in range(run.resume(), ...)`, or give this run another name"
            )

    def resume(
        self,
        repo: Repository,
        model: str,
        trust: Allowed,
        session: Session | None = None,
        how: str | None = None,
    ) -> tuple[Version, TrainingLog, Position] | None:
        """Restore the newest version that verifies; None if there are no versions. Warns if it had to use
        an older one, and says why. Trusts the classes of the live objects in addition to `trust`. In a
        `session`, all ranks restore the same version, which verifies in all of them; `how` is as in
        `Broadcast`.
        """
        trusted = self._trusting(trust)
        with closing(Trials(repo, model, session, how)) as trials:
            return self._resume(trials, trusted)

    def _resume(self, trials: Trials, trusted: Allowed) -> tuple[Version, TrainingLog, Position] | None:
        for version in trials:
            try:
                opened = _twice(trials.opened)
            except (DamagedError, NotFoundError) as error:
                trials.failed(error)
                continue
            self._compare_parts(version, set(opened.trees))
            try:
                log, place = _twice(lambda: self._restore(opened, trials, trusted))  # noqa: B023
            except (DamagedError, NotFoundError) as error:
                trials.failed(error)
                continue
            except GoneBack:
                continue
            except UntrustedError as error:
                error.add_note(
                    f"in a run, pass it to run.resume(trust=...); elsewhere, to the call that loads {version}"
                )
                raise
            except DoesNotFitError as error:
                error.add_note(
                    "a run resumes only with the objects that it saved; to start a new one from there: "
                    f"store.restore({str(version)!r}, into=..., strict=False)"
                )
                raise
            trials.warn()
            return version, log, place
        return None

    def _restore(self, opened: Opened, trials: Trials, trust: Any) -> tuple[TrainingLog, Position]:
        """Restore all of a version into the objects and the random generators, or nothing: everything is
        read, verified and checked first. Ranks verify what they read, which is all of it together."""
        if not self._together:
            opened.tensors.verify()
        random = self._own.name_of(RANDOM, opened.trees)
        log, place, go_on = own_parts.read(opened, LOG, random, RUN)
        self.put_back(opened, trust, bring=trials.bring(opened), agree=trials.agree)
        go_on()
        return log, place

    def _compare_parts(self, version: Version, saved: set[str]) -> None:
        """Raise NotFoundError for objects that were not saved; warn about saved ones that the run lacks."""
        own, theirs = self._own, self._own.plain(saved, self.live)
        listed = (
            f"{version} has {', '.join(sorted(theirs - {*RESERVED}))}; the run has {', '.join(self.live)}"
        )
        if not own.has_all({*self.live, LOG, RANDOM, RUN}, saved):
            raise NotFoundError(f"{listed}; resume with the objects that were saved, under the same names")
        if not self._together and theirs - {*self.live, *RESERVED}:
            warn(
                printable(f"{listed}: objects that the run lacks are not restored, and no longer saved"),
            )
        own.warn_of_size(version, saved)

    def _trusting(self, trust: Allowed) -> Allowed:
        """With the classes of the live objects and of their contents, as the trust policy names them."""
        if "*" in trust.patterns:
            return trust
        own = set(map(dotted, classes(self.state(), self._together)))
        return Allowed((*trust.patterns, *own), trust.classes)


def _twice(act: Callable[[], T]) -> T:
    """Try twice: a read that failed may succeed the second time, so that no older step is needed."""
    try:
        return act()
    except (DamagedError, NotFoundError):
        return act()


def _frameworks(rest: Tree | None) -> Collection[str]:
    """Of which frameworks a saved rest has something."""
    state = rest.root.state if rest is not None and isinstance(rest.root, Node) else None
    return state if isinstance(state, dict) else ()


def _check(name: str, obj: Any) -> None:
    if name in RESERVED:
        raise CannotSaveError(f"{name}: the run itself has a part of this name; use another name")
    if isinstance(obj, GeneratorType):
        raise CannotSaveError(
            f"{name}: a generator cannot be resumed, because its position cannot be saved; use a loader with "
            "`state_dict` (StatefulDataLoader), or an object that counts its steps"
        )
    if restorer_for(type(obj)) is None:
        way = f"put it into a dict: {{{name!r}: {{'value': ...}}}}"
        if codec_for(type(obj)) is None:
            way = way_out(obj) or (
                "give it `state_dict` and `load_state_dict`, or register its class with saver.register"
            )
        raise CannotSaveError(
            f"{name}: objects of {kind(obj)} cannot be restored in place, so the run could not resume; {way}"
        )
    for why in stuck(name, obj):
        raise CannotSaveError(why)


def _goes_by_state(obj: Any, walk: bool, together: bool) -> bool:
    """Whether an object is saved as its `state_dict()`: no codec knows it, or, as a `walk` shows, it contains
    something without a data form, such as the function in an average of weights. The live object, into which
    it is restored, has that part already."""
    if not (hasattr(obj, "state_dict") and hasattr(obj, "load_state_dict")):
        return False
    if not walk or codec_for(type(obj)) is None:
        return codec_for(type(obj)) is None
    try:
        classes(obj, together)
    except CannotSaveError:
        return way_out(obj) is None
    return False
