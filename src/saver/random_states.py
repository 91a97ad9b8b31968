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
    bits = {key: item for key, item in state.items() if key not in ("has_gauss", "gauss")}
    check_bits("MT19937", bits)
    trial = np.random.RandomState(np.random.MT19937())
    trial.set_state(state)
    found = trial.get_state(legacy=False)
    return lambda: np.random.set_state(found)


_MORE = {"has_uint32": 1, "uinteger": 2**32 - 1}
_PCG = {"state": {"state": 2**128 - 1, "inc": 2**128 - 1}, **_MORE}
_BITS: dict[str, dict[str, Any]] = {
    "MT19937": {"state": {"key": (np.uint32, 624), "pos": 624}},
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "Philox": {
        "state": {"counter": (np.uint64, 4), "key": (np.uint64, 2)},
        "buffer": (np.uint64, 4),
        "buffer_pos": 4,
        **_MORE,
    },
    "SFC64": {"state": {"state": (np.uint64, 4)}, **_MORE},
}
"""What the state of a bit generator of NumPy holds: the highest value of an integer, or the dtype and the
length of an array."""


def check_bits(kind: Any, state: Any) -> None:
    """Raise ValueError unless this is a state that a bit generator of NumPy of that kind can have. Native
    code reads at its position in a buffer, without looking."""
    if type(kind) is not str or kind not in _BITS or type(state) is not dict:
        raise ValueError("a bit generator is of an unknown kind, or has a state that is not a dict")
    if state.get("bit_generator") != kind:
        raise ValueError(f"the state of a {kind} is not that of one: its `bit_generator` says otherwise")
    _check_bits(kind, {key: item for key, item in state.items() if key != "bit_generator"}, _BITS[kind])


def _check_bits(kind: str, found: Any, expected: dict[str, Any]) -> None:
    if type(found) is not dict or found.keys() != expected.keys():
        raise ValueError(f"the state of a {kind} does not have exactly {', '.join(expected)}")
    for name, form in expected.items():
        item = found[name]
        if type(form) is dict:
            _check_bits(kind, item, form)
        elif type(form) is int and not (type(item) is int and 0 <= item <= form):
            shown = item if type(item) is int else type(item).__name__
            what = "buffer of a {} has no position" if "pos" in name else f"{name} of a {{}} is not"
            raise ValueError(f"the {what.format(kind)} {shown}, only 0 to {form}")
        elif type(form) is tuple and not (
            type(item) is np.ndarray and item.dtype == form[0] and item.shape == form[1:]
        ):
            raise ValueError(f"the {name} of a {kind} is not {form[1]} items of {form[0].__name__}")
