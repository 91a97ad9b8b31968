"""What a training run needs from a framework, besides its codecs."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import msgspec

from saver import registry
from saver.errors import IncompatibleError
from saver.family import Family


class Steps(msgspec.Struct, frozen=True):
    """When weights change, as far as is known: the memory at these `addresses` changes only during the
    optimizers' steps, or after them. `before(call)` registers `call` to run before each step, and returns
    the function that removes it again.
    """

    addresses: frozenset[int]
    before: Callable[[Callable[[], None]], Callable[[], None]]


class Rest(msgspec.Struct, frozen=True):
    """What training depends on beside the objects themselves and their state dicts.

    `state` can be saved, and is empty if there is nothing. `whole` are the names of the objects of which it
    has what their state dicts leave out; `lost` are the paths of what cannot be saved, and `absent` those of
    what training changes and what belongs among the objects. `unnamed` are the names of the objects whose
    state dicts tell only by position to what their state belongs. `own` is like `state`, and of this process
    alone: among ranks, each has its own.
    """

    state: dict[str, Any]
    whole: frozenset[str] = frozenset()
    lost: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    own: dict[str, Any] = {}


class Held(msgspec.Struct, frozen=True):
    """What an object of a framework is now: `undo` lets it be that again, and `within` is what it holds."""

    undo: Callable[[], None]
    within: tuple[Any, ...] = ()


class Framework(ABC):
    """A family that has one names a module as its `run`; the module's `FRAMEWORK` is an instance."""

    deterministic: ClassVar[str] = ""
    """The line of code that makes the framework add numbers in the same order each time; "" if there is no
    such line."""

    title: ClassVar[str]
    """What people call it."""

    @abstractmethod
    def random_state(self) -> Any:
        """The state of the global random generators: an object that can be saved."""

    @abstractmethod
    def random_continued(self, state: Any) -> Callable[[], None]:
        """The function that continues the random sequences from what `random_state` returned, which comes
        from a file. It changes nothing before it is called, and does not fail then: any error is raised
        here."""

    # For a framework whose objects hold all that training depends on

    def steps(self, objects: Iterable[Any]) -> Steps | None:
        """When the weights of `objects` change, if optimizers among them determine it; otherwise None."""
        return None

    def rest(self, objects: Mapping[str, Any], by_state: Collection[str]) -> Rest:
        """What belongs to the objects now, and is in none of them as they are saved: those of the names
        `by_state` as their state dicts."""
        return Rest({})

    def targets(self, objects: Mapping[str, Any]) -> tuple[Any, Any]:
        """What `restore` puts the saved `Rest.state` into, and `Rest.own`. Raises IncompatibleError if `rest`
        has none."""
        raise IncompatibleError(
            f"the version has something beside the objects of {self.title}, which no run saves; restore the "
            "store from a copy"
        )

    def forget(self, objects: Mapping[str, Any]) -> None:  # noqa: B027  there may be no rest to forget
        """Let the objects be as if there had been no rest: without gradients."""

    def held(self, obj: Any) -> Held | None:
        """What one of the framework's own objects is now; None for one whose attributes are all it is."""
        return None

    def watch(self, objects: Mapping[str, Any]) -> Callable[[], None]:
        """Observe what `rest` must know of the objects, until what is returned is called."""
        return lambda: None


def loaded() -> dict[str, Framework]:
    """The frameworks that are in use, by the name of their package. Imports none."""
    modules = {family.name: family.module("run") for family in registry.families() if _in_use(family)}
    return {name: module.FRAMEWORK for name, module in modules.items() if module is not None}


def _in_use(family: Family) -> bool:
    return family.run != "" and family.packages[0] in sys.modules


def steps(objects: Collection[Any]) -> Steps | None:
    """When the weights of `objects` change, if a framework in use knows; otherwise None."""
    for framework in loaded().values():
        found = framework.steps(objects)
        if found is not None:
            return found
    return None


def rest(objects: Mapping[str, Any], by_state: Collection[str]) -> Rest:
    """What belongs to the objects beside themselves, by framework."""
    found = {name: framework.rest(objects, by_state) for name, framework in loaded().items()}
    state = {name: each.state for name, each in found.items() if each.state}
    own = {name: each.own for name, each in found.items() if each.own}
    whole = frozenset(name for each in found.values() for name in each.whole)
    lost = tuple(path for each in found.values() for path in each.lost)
    absent = tuple(path for each in found.values() for path in each.absent)
    unnamed = tuple(name for each in found.values() for name in each.unnamed)
    return Rest(state, whole, lost, absent, unnamed, own)


def rest_targets(
    objects: Mapping[str, Any], state: Collection[str], own: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the rest is restored into: the `state` of these frameworks, and what is each rank's `own`."""
    both = {name: each.targets(objects) for name, each in loaded().items() if name in {*state, *own}}
    return {name: both[name][0] for name in both if name in state}, {
        name: both[name][1] for name in both if name in own
    }


def forget_rest(objects: Mapping[str, Any]) -> None:
    """Let the objects be as if there had been no rest."""
    for framework in loaded().values():
        framework.forget(objects)


def held(obj: Any) -> Held | None:
    """What an object is now, if a framework in use knows it."""
    found = (framework.held(obj) for framework in loaded().values())
    return next((each for each in found if each is not None), None)


def watch(objects: Mapping[str, Any]) -> Callable[[], None]:
    """Let frameworks observe what `rest` must know of the objects, until what is returned is called."""
    stack = ExitStack()
    for framework in loaded().values():
        stack.callback(framework.watch(objects))
    return stack.close
