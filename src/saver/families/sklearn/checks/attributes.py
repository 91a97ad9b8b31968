"""Reads the attributes of an estimator from a file without calling methods of the objects in them.

An object from a file may be of any admitted class, with any `__len__`, `__eq__` or `__array__`. So only exact
types are compared, and only exact arrays, lists and numbers are examined.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec.lookup import families

_INTEGERS = frozenset((int, *(np.dtype(code).type for code in "bBhHiIlLqQ")))
_TEXTS = (str, np.str_)
_ARRAYS = (np.ndarray, np.memmap)
_SPARSE = frozenset(("csr_matrix", "csr_array", "csc_matrix", "csc_array"))


def require(fits: bool, what: str) -> None:
    """Raise ValueError with the message `what` unless `fits`."""
    if not fits:
        raise ValueError(what)


def state(estimator: Any, *names: str) -> Iterable[Any]:
    """The values of attributes; None for missing ones."""
    return [estimator.__dict__.get(name) for name in names]


def is_of(value: Any, name: str, module: str = "sklearn.") -> bool:
    """Whether `value` is an instance of the class with that name in scikit-learn, or of a subclass."""
    cls = type(value)
    found = _descends.get((cls, name, module))
    if found is None:
        found = _descends[cls, name, module] = _looked_up(cls, name, module)
    return found


_descends: dict[tuple[type, str, str], bool] = {}


def _looked_up(cls: type, name: str, module: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith(module) for base in cls.__mro__)


def is_users_own(value: Any) -> bool:
    """Whether the class of `value` is in no library that Saver knows, so the user trusted it by name."""
    root = type(value).__module__.partition(".")[0]
    known = (package for family in families(type(value)) for package in family.packages)
    return root not in sys.stdlib_module_names and root not in known


def is_array(value: Any) -> bool:
    """Whether `value` is an array of exactly NumPy's own class."""
    return type(value) in _ARRAYS


def is_sparse(value: Any) -> bool:
    """Whether `value` is a SciPy matrix in compressed rows or columns."""
    return type(value).__module__.startswith("scipy.sparse.") and type(value).__name__ in _SPARSE


def whole(value: Any) -> int | None:
    """An integer of Python or NumPy as an int; None for anything else."""
    return int(value) if type(value) in _INTEGERS else None


def is_text(value: Any) -> bool:
    """Whether `value` is a text, of Python or of NumPy: scikit-learn takes either for the other."""
    return type(value) in _TEXTS


def count(value: Any, what: str) -> int:
    """A count that cannot be negative."""
    found = whole(value)
    require(found is not None and found >= 0, f"{what} is not a count")
    return found or 0


def array(value: Any, what: str, ndim: int | None = None, kinds: str | None = None) -> NDArray[Any]:
    """`value`, if it is an exact array with `ndim` axes and a dtype in `kinds`. Raises ValueError if not."""
    require(is_array(value), f"{what} is not an array")
    require(ndim is None or value.ndim == ndim, f"{what} is not an array with {ndim} axes")
    require(kinds is None or value.dtype.kind in kinds, f"{what} has the dtype {value.dtype}")
    found: NDArray[Any] = value
    return found


def shape(value: Any) -> tuple[int, ...] | None:
    """The shape of an exact array or sparse matrix; None for anything else."""
    if is_array(value):
        return tuple(value.shape)
    if is_sparse(value):
        found = value.__dict__.get("_shape")
        return found if type(found) is tuple else None
    return None


def held(estimator: Any, name: str, ndim: int | None = None, kinds: str | None = None) -> NDArray[Any]:
    """The array of an attribute."""
    return array(estimator.__dict__.get(name), name, ndim, kinds)


def held_list(estimator: Any, name: str) -> list[Any]:
    """The items of an attribute: a list, a tuple, or an array of objects."""
    found = estimator.__dict__.get(name)
    objects = is_array(found) and found.ndim == 1 and found.dtype == object
    require(objects or type(found) in (list, tuple), f"{name} is not a list")
    return list(found)


def features(estimator: Any) -> int:
    """The number of features that the estimator was fitted to."""
    found = whole(estimator.__dict__.get("n_features_in_"))
    require(
        found is not None and found >= 0,
        "fitted, but it does not say to how many features; set n_features_in_ to their number",
    )
    return found or 0


Checker = Callable[[Any], None]
