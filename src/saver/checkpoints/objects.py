"""What a run saves: the caller's objects, and the run's own parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import GeneratorType
from typing import Any, TypeVar

import msgspec

from saver import framework
from saver.callers import warn
from saver.codec import codec_for
from saver.encoding import encode
from saver.errors import (
    CannotSaveError,
    DamagedError,
    DoesNotFitError,
    NotFoundError,
    UntrustedError,
    printable,
)
from saver.opened import Opened, open_version
from saver.repo.draft import Encoded
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.restoring import restore
from saver.restoring.contract import kind, restorer_for
from saver.staging import address_of
from saver.training_log import TrainingLog
from saver.tree import Node, walk
from saver.trust import dotted

LOG, RANDOM, RUN = "log", "random", "run"
RESERVED = (LOG, RANDOM, RUN)
"""Parts that a run saves beside the caller's objects."""

T = TypeVar("T")


class Position(msgspec.Struct, frozen=True):
    """Where in the training a version was saved, and why; `ranges` is as in a `Moment`."""

    step: int
    epoch: float | None
    reason: str
    ranges: Mapping[str, tuple[float, float]]

    def as_part(self) -> dict[str, Any]:
        """The content of the part `run`."""
        ranges = {name: list(both) for name, both in self.ranges.items()}
        return {"step": self.step, "epoch": self.epoch, "reason": self.reason, "ranges": ranges}

    @classmethod
    def of_part(cls, part: Mapping[str, Any]) -> Position:
        ranges = {name: tuple(both) for name, both in part["ranges"].items()}
        return cls(int(part["step"]), part["epoch"], part["reason"], ranges)


class Objects:
    """The caller's objects. Raises CannotSaveError for an object that could not resume where it was."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        for name, obj in objects.items():
            _check(name, obj)
        self.live = dict(objects)
        self.restless: set[str] = set()
        """Tensors that changed unexpectedly during a copy: from then on they are copied at once."""

        self._by_state: dict[str, bool] = {}

    def state(self) -> dict[str, Any]:
        """What is saved: each object itself, or its `state_dict()` if the object has no data form."""
        for name, obj in self.live.items():
            if name not in self._by_state:
                self._by_state[name] = _goes_by_state(obj)
        return {name: obj.state_dict() if self._by_state[name] else obj for name, obj in self.live.items()}

    def refuse_iterators(self) -> None:
        """Raise CannotSaveError for a loader: a loop that has started keeps its iterator, and would not
        notice that the loader was reset.
        """
        self.state()
        for name, obj in self.live.items():
            if self._by_state[name] and hasattr(type(obj), "__iter__") and not callable(obj):
                raise CannotSaveError(
                    f"{name}: the loop keeps the iterator that it has, so this cannot be put back under it; "
                    "call prove right after resume(), before the loop asks for batches, or have it proved in "
                    "processes of their own: saver rehearse --prove 3 -- python train.py"
                )

    def encode(self, log: TrainingLog, place: Position) -> Encoded:
        """All parts of a version."""
        own = {LOG: log, RANDOM: framework.random_states(), RUN: place.as_part()}
        return encode(self.state() | own)

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

    def resume(
        self, repo: Repository, model: str, trust: Any
    ) -> tuple[Version, TrainingLog, Position] | None:
        """Restore the newest version that verifies; None if there are no versions. Warns if it had to use
        an older one, and says why. Trusts the classes of the live objects, besides those that the caller
        trusts.
        """
        if self.newest(repo, model) is None:
            return None
        trusted = trust if trust == "*" else (*trust, *self._classes())
        back: list[str] = []
        for version, opened in _readable(repo, model, back):
            self._compare_parts(version, set(opened.trees))
            try:
                log, place = _twice(lambda: self._restore(opened, trusted))  # noqa: B023
            except (DamagedError, NotFoundError) as error:
                back.append(_unusable(version, error))
                continue
            except UntrustedError as error:
                error.add_note(f"of a run: run.resume(trust=...); or trust it where {version} is loaded")
                raise
            except DoesNotFitError as error:
                error.add_note(
                    "a run resumes with what it saved; to begin another one from there: "
                    f"store.restore({str(version)!r}, into=..., strict=False)"
                )
                raise
            if back:
                warn(f"resumed from {version}; {'; '.join(back)}", UserWarning)
            return version, log, place
        raise DamagedError(f"{repo.storage}: no version of {model} can be resumed from; {'; '.join(back)}")

    def _restore(self, opened: Opened, trust: Any) -> tuple[TrainingLog, Position]:
        """Restore all of a version into the objects and the random generators, or nothing: everything is
        read and verified first."""
        opened.tensors.verify()
        own = opened.load((), RESERVED)
        place = Position.of_part(own[RUN])
        restore(opened, self.live, trust=trust)
        framework.set_random_states(own[RANDOM])
        return own[LOG], place

    def _compare_parts(self, version: Version, saved: set[str]) -> None:
        """Raise NotFoundError for objects that were not saved; warn about saved ones that are not here."""
        listed = f"{version} has {', '.join(sorted(saved - {*RESERVED}))}; the run has {', '.join(self.live)}"
        if not saved >= {*self.live, *RESERVED}:
            raise NotFoundError(f"{listed}; resume with the objects that were saved, under the same names")
        if saved - {*self.live, *RESERVED}:
            warn(
                printable(f"{listed}: what is missing here is not put back, and not saved any more"),
            )

    def _classes(self) -> set[str]:
        """The classes of the live objects and of their contents, as the trust policy names them."""
        found = encode(self.state()).parts.values()
        nodes = (
            item for part in found for root in (part.tree, *part.batches.values()) for item in walk(root)
        )
        return {dotted(node.cls) for node in nodes if isinstance(node, Node) and node.cls is not None}


def _readable(repo: Repository, model: str, back: list[str]) -> Iterator[tuple[Version, Opened]]:
    """The versions of a run, newest first. Those without a sound manifest are left out; the reasons go to
    `back`."""
    for version in repo.versions(model, reverse=True):
        try:
            opened = _twice(lambda: open_version(repo, version))  # noqa: B023
        except (DamagedError, NotFoundError) as error:
            back.append(_unusable(version, error))
            continue
        yield version, opened


def _twice(act: Callable[[], T]) -> T:
    """Try twice: a disk that failed to read may succeed at once, so that there is no need for an older
    step."""
    try:
        return act()
    except (DamagedError, NotFoundError):
        return act()


def _unusable(version: Version, error: Exception) -> str:
    return f"{version} could not be used: {error}"


def _check(name: str, obj: Any) -> None:
    if name in RESERVED:
        raise CannotSaveError(f"{name}: the run itself has a part of this name; call it something else")
    if isinstance(obj, GeneratorType):
        raise CannotSaveError(
            f"{name}: a generator cannot be resumed, for nobody can tell where it stands; use a loader "
            "with `state_dict` (StatefulDataLoader), or an object that counts its steps"
        )
    if restorer_for(type(obj)) is None:
        way = (
            "give it `state_dict` and `load_state_dict`, or register its class with saver.register"
            if codec_for(type(obj)) is None
            else f"put it into a dict: {{{name!r}: {{'value': ...}}}}"
        )
        raise CannotSaveError(
            f"{name}: objects of {kind(obj)} cannot be put back in place, so nobody could resume; {way}"
        )


def _goes_by_state(obj: Any) -> bool:
    """Whether an object is saved as its `state_dict()`: no codec knows it, or it holds something without a
    data form, such as the function in an average of weights. It is restored into a live object, which has
    that."""
    if not (hasattr(obj, "state_dict") and hasattr(obj, "load_state_dict")):
        return False
    if codec_for(type(obj)) is None:
        return True
    try:
        encode(obj)
    except CannotSaveError:
        return True
    return False
