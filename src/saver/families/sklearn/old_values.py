"""Inert values that migrations read and make."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from saver.families.numpy.pickled_dtypes import dtype_of
from saver.families.numpy.pickles import array_of, laid_out
from saver.pickled import Call, Global, NotReadError, Pairs

Version: TypeAlias = tuple[int, ...]
State: TypeAlias = dict[str, Any]


def made(name: str, state: State) -> Call:
    """An instance with these attributes; `name` is `module:name`."""
    module, _, what = name.partition(":")
    return Call(Global(module, what), (), None, True, Pairs(list(state.items())), has_state=True)


def number_of(value: Any, what: str) -> float:
    """A number, of Python or of NumPy, or the only one of an array. Raises NotReadError for anything else."""
    if type(value) is Call and value.function.name == "scalar":
        kind, data = (*value.args, None, None)[:2]
        value = laid_out(data, dtype_of(kind), (), False)[()]
    elif type(value) is Call and array_of(value).size == 1:
        value = array_of(value).ravel()[0]
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in (int, float):
        raise NotReadError(f"{what} is not a number")
    return float(value)


def count_of(state: State, name: str) -> int:
    """An attribute that counts something."""
    found = number_of(state.get(name), f"its attribute {name}")
    if not (0 <= found < 1 << 31 and found == int(found)):
        raise NotReadError(f"its attribute {name} does not count anything")
    return int(found)


def is_array(value: Any) -> bool:
    """Whether it is an array, in whatever way it is pickled."""
    if isinstance(value, np.ndarray):
        return True
    return type(value) is Call and value.function.name in ("_reconstruct", "_frombuffer")


def arrays_of(value: Any, what: str) -> list[NDArray[Any]]:
    """A list of arrays."""
    if type(value) not in (list, tuple) or not all(map(is_array, value)):
        raise NotReadError(f"{what} is not a list of arrays")
    return [array_of(each) for each in value]


def rename(state: State, **names: str) -> None:
    """Give attributes their new names; `old=new`."""
    for old, new in names.items():
        if old in state:
            value = state.pop(old)
            state.setdefault(new, value)
