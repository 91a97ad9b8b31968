"""The states of the global random generators: Python's, NumPy's, and those of frameworks."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from saver import framework


def random_states() -> dict[str, Any]:
    """The states of all global random generators in use, as objects that can be saved."""
    states: dict[str, Any] = {"python": random.getstate()}
    if "numpy.random" in sys.modules:
        states["numpy"] = np.random.get_state(legacy=False)
    return states | {name: each.random_state() for name, each in framework.loaded().items()}


def continued(states: Any) -> Callable[[], None]:
    """The function that continues all random sequences from what `random_states` returned, which comes from a
    file. It does not fail: whatever is wrong with the states raises an error here, of any class, before
    anything changes. States of frameworks that are not in use are left out."""
    if type(states) is not dict or "python" not in states:
        raise ValueError("the states of the random generators are not a dict, or lack Python's own")
    ways = {"python": _of_python, "numpy": _of_numpy} | {
        name: each.random_continued for name, each in framework.loaded().items()
    }
    changes = [ways[name](state) for name, state in states.items() if name in ways]

    def change() -> None:
        for each in changes:
            each()

    return change


def _of_python(state: Any) -> Callable[[], None]:
    trial = random.Random()
    trial.setstate(state)
    found = trial.getstate()
    if not (found[2] is None or type(found[2]) is float):
        raise ValueError("the second normal number is not a float")
    return lambda: random.setstate(found)


def _of_numpy(state: Any) -> Callable[[], None]:
    if type(state) is not dict:
        raise ValueError("the state of NumPy's generator is not a dict")
    check_bits(state.get("bit_generator"), state)
    trial = np.random.RandomState(np.random.MT19937())
    trial.set_state(state)
    found = trial.get_state(legacy=False)
    return lambda: np.random.set_state(found)


def check_bits(kind: Any, state: Any) -> None:
    """Raise ValueError unless the state of a bit generator of NumPy is at a position within its buffer, where
    native code reads next without looking."""
    position = state["state"]["pos"] if kind == "MT19937" else state.get("buffer_pos", 0)
    if type(position) is not int or not 0 <= position <= (624 if kind == "MT19937" else 4):
        shown = position if type(position) is int else type(position).__name__
        raise ValueError(f"the buffer of a {kind} has no position {shown}")
