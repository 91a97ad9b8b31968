"""What a training run needs from a framework, besides its codecs."""

from __future__ import annotations

import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Any, ClassVar

import msgspec
import numpy as np

from saver import registry
from saver.family import Family


class Steps(msgspec.Struct, frozen=True):
    """When weights change, as far as is known: the memory at these `addresses` changes only during the
    optimizers' steps, or after them. `before(call)` registers `call` to run before each step, and returns
    the function that removes it again.
    """

    addresses: frozenset[int]
    before: Callable[[Callable[[], None]], Callable[[], None]]


class Framework(ABC):
    """A family that has one names a module as its `run`; the module's `FRAMEWORK` is an instance."""

    deterministic: ClassVar[str] = ""
    """The line of code that makes the framework add numbers in the same order each time; "" if there is no
    such line."""

    @abstractmethod
    def random_state(self) -> Any:
        """The state of the global random generators: an object that can be saved."""

    @abstractmethod
    def set_random_state(self, state: Any) -> None:
        """Continue the random sequences from what `random_state` returned."""

    @abstractmethod
    def steps(self, objects: Iterable[Any]) -> Steps | None:
        """When the weights of `objects` change, if optimizers among them determine it; otherwise None."""


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


def random_states() -> dict[str, Any]:
    """The states of all global random generators in use: Python's, NumPy's, and those of frameworks."""
    states: dict[str, Any] = {"python": random.getstate()}
    if "numpy.random" in sys.modules:
        states["numpy"] = np.random.get_state(legacy=False)
    return states | {name: framework.random_state() for name, framework in loaded().items()}


def set_random_states(states: dict[str, Any]) -> None:
    """Continue all random sequences from what `random_states` returned."""
    frameworks = loaded()
    for name, state in states.items():
        if name == "python":
            random.setstate(state)
        elif name == "numpy":
            np.random.set_state(state)
        elif name in frameworks:
            frameworks[name].set_random_state(state)
