"""Fingerprints of data: they show later which data a model was trained on.

They are JSON: what kind of data it was, its dtype and shape, and BLAKE3 of its content; never the data
itself. Equal content has equal fingerprints: whatever the memory order of an array, whether a frame keeps
strings as objects or in Arrow, whether a folder holds files or links to them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from saver import registry
from saver.errors import CannotSaveError, quoted
from saver.family import Family
from saver.fingerprint.arrays import array_fingerprint
from saver.fingerprint.paths import Found, look, path_fingerprint
from saver.stack import on_any_stack

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total."""

SOLE = "data"
"""The name of data that was given without one."""

NAME_LIMIT = 200
DATA_LIMIT = 1000


def fingerprints(data: Any, progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """The fingerprints of `data`, by name.

    The values of a mapping are named by its keys; those of a list or tuple of arrays, frames and paths are
    called "0", "1", …; a single one is called "data". `progress(done, total)` is called with bytes while
    files are read. Raises CannotSaveError, naming the place, for data without a fingerprint: `data.train: …`.
    """
    if data is None:
        return {}
    if isinstance(data, Mapping):
        named = {f"{SOLE}.{_checked(name)}": (name, value) for name, value in data.items()}
    elif type(data) in (list, tuple) and data and _is_data(data[0]):
        named = {f"{SOLE}[{at}]": (str(at), value) for at, value in enumerate(data)}
    else:
        named = {SOLE: (SOLE, data)}
    if len(named) > DATA_LIMIT:
        raise CannotSaveError(
            f"{SOLE}: there are {len(named):,} pieces of data, and at most {DATA_LIMIT:,} are allowed; pass "
            "the folder that contains them, or join them into one array"
        )
    found = {where: look(value, where) for where, (_, value) in named.items() if _is_path(value)}
    advance = _advance(progress, sum(each.bytes for each in found.values()))
    return {
        name: path_fingerprint(found[where], where, advance)
        if where in found
        else on_any_stack(_of, value, where)
        for where, (name, value) in named.items()
    }


def fingerprint(data: Any, where: str = SOLE, progress: Progress | None = None) -> dict[str, Any]:
    """The fingerprint of one array, frame, file or folder; a string is a path.

    Arrays are NumPy's, those that a family knows (tensors, sparse arrays), lists of numbers and objects with
    `__array__`; frames are those that a family knows. `where` is the name of the data in messages. Raises
    CannotSaveError.
    """
    if not _is_path(data):
        return on_any_stack(_of, data, where)
    found: Found = look(data, where)
    return path_fingerprint(found, where, _advance(progress, found.bytes))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two fingerprints, which need not be trusted, are of equal content of one kind.

    Names of files, and the library that an array came from, make no difference.
    """
    return isinstance(one.get("hash"), str) and all(one.get(key) == other.get(key) for key in _CONTENT)


_CONTENT = ("kind", "dtype", "shape", "files", "hash")


def describe(found: Any) -> str:
    """A fingerprint, which need not be trusted, on a line: `array float64 [1437, 64], 736 kB, 3fa9c1…`."""
    if not isinstance(found, Mapping):
        return _brief(found)
    words = (_brief(found.get(key)) for key in ("kind", "name", "dtype"))
    text = " ".join(word for word in words if word)
    if isinstance(found.get("shape"), list):
        text = f"{text} {_brief(found['shape'])}"
    files, size, digest = found.get("files"), found.get("bytes"), found.get("hash")
    counts = [f"{files:,} file{'s' * (files != 1)}"] if _is_count(files) else []
    counts += [_size(size)] if _is_count(size) else []
    return ", ".join([text.strip(), *counts, f"{digest[:6]}…" if isinstance(digest, str) else "no hash"])


def _brief(value: Any) -> str:
    try:
        return "" if value is None else str(value)[:NAME_LIMIT]
    except (ValueError, RecursionError):  # integers of thousands of digits; nested too deep
        return "?"


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 1 << 64


def _size(count: float) -> str:
    """A number of bytes with three digits, in decimal units."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {_UNITS[unit]}"


_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def _checked(name: Any) -> str:
    if isinstance(name, str) and name and name.isprintable() and len(name) <= NAME_LIMIT:
        return name
    raise CannotSaveError(
        f"{SOLE}: the name {quoted(name)} is not a printable string of 1 to {NAME_LIMIT} letters; rename it"
    )


def _advance(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return advance


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_data(value: Any) -> bool:
    """Whether an item of a list is data of its own, rather than one of the numbers in a list."""
    return (
        _is_path(value)
        or (hasattr(value, "__array__") and not isinstance(value, np.generic))
        or any(_families_of(value))
    )


def _families_of(value: Any) -> Iterator[Family]:
    """The families that know fingerprints of values of this class."""
    roots = dict.fromkeys(cls.__module__.partition(".")[0] for cls in type(value).__mro__)
    for root in filter(registry.is_own, roots):
        family = registry.family(root)
        if family.fingerprints:
            yield family


def _of(value: Any, where: str) -> dict[str, Any]:
    """The fingerprint of data that is not a path."""
    library, name = type(value).__module__.partition(".")[0], type(value).__name__
    kind = {"type": name if library == "builtins" else f"{library}.{name}"}
    for family in _families_of(value):
        module: Any = family.module("fingerprints")
        found: dict[str, Any] | None = module.fingerprint(value, where)
        if found is not None:
            return kind | found
    return {"kind": "array", **kind, **array_fingerprint(_array(value, where), where)}


def _array(value: Any, where: str) -> Any:
    """`value` as an array, without copying one."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return np.frombuffer(value, np.uint8)
    converts = hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    if not converts and not isinstance(value, (list, tuple, range)):
        raise CannotSaveError(f"{where}: {_refusal(value)}")
    try:
        array = np.asarray(value)
    except Exception as error:  # the object's own `__array__` may raise anything
        raise CannotSaveError(
            f"{where}: this {type(value).__name__} cannot be converted to an array ({str(error)[:100]}); "
            "pass a NumPy array"
        ) from error
    if not converts and array.dtype.kind not in "biufc":
        raise CannotSaveError(
            f"{where}: this {type(value).__name__} does not contain only numbers; give several paths or "
            "arrays a name each in a dict, and turn values into an array: np.array([...])"
        )
    return array


def _refusal(value: Any) -> str:
    """Why a value has no fingerprint, and what to pass instead."""
    name = type(value).__name__
    if hasattr(value, "read"):
        return f"an open file ({name}) has no fingerprint; pass its path"
    if hasattr(value, "__next__"):
        return f"reading a {name} would use it up; pass the arrays or the paths behind it"
    if isinstance(value, Mapping):
        return f"there is a {name} within data; give each of its arrays a name of its own in one dict"
    return f"{name} has no fingerprint; pass arrays, frames, or paths of files and folders"
