"""Checks of callers' arguments. Each raises TypeError or ValueError, which names the argument."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, Literal, TypeAlias

from saver.codec import bytes_of
from saver.disk.names import can_be_path
from saver.errors import kind_of, quoted
from saver.tree import encodable
from saver.trust import Allowed


def path_of(name: str, value: Any) -> str:
    """A path as a string."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: {kind_of(value)} is not a path; pass a str or a pathlib.Path")
    found = os.fsdecode(value)
    if not can_be_path(found):
        raise ValueError(f"{name}: {found[:200]!r} cannot be a path")
    return found


def in_order(obj: Any, path: Any) -> None:
    """Raise TypeError if the object and the path of `saver.dump` were swapped."""
    is_path = isinstance(path, str | os.PathLike) or hasattr(path, "write")
    if not is_path and (isinstance(obj, str | os.PathLike) or hasattr(obj, "write")):
        raise TypeError(
            f"path: {kind_of(path)} is not a path; the object comes first: saver.dump(obj, {_shortly(obj)})"
        )


def _shortly(place: Any) -> str:
    return repr(os.fspath(place))[:200] if isinstance(place, str | os.PathLike) else "file"


def octets(name: str, value: Any) -> bytearray:
    """A copy of a bytes-like object."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{name}: {kind_of(value)} is not bytes; a path goes to saver.load")
    return bytearray(value)


def flag(name: str, value: Any) -> bool:
    """A bool and nothing else: a string such as "no" would count as true."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {kind_of(value)} given; pass True or False")
    return value


def flag_or_none(name: str, value: Any) -> bool | None:
    """A bool, or None, which leaves it to something else."""
    return None if value is None else flag(name, value)


def compressing(value: Any) -> bool:
    """Whether to compress. Raises IncompatibleError if nothing here can."""
    flag("compress", value)
    if value:
        from saver.seals.zstd import demand

        demand()
    return bool(value)


def callback(name: str, value: Any) -> Callable[[int, int], None] | None:
    """A function, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}: {kind_of(value)} cannot be called; pass a function, True or None")
    found: Callable[[int, int], None] | None = value
    return found


def several(name: str, value: Any) -> tuple[Any, ...]:
    """Several values as a tuple; a single string is one value."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise TypeError(f'{name}: {kind_of(value)} is not a list of names; pass ["a", "b"]')
    return tuple(value)


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Strings as a tuple; a single string is one of them."""
    found = several(name, value)
    for each in found:
        if not isinstance(each, str):
            raise TypeError(f'{name}: {kind_of(each)} among them is not a name; pass ["a", "b"]')
    return found


def per_rank(value: Any, cluster: Any, wait: bool = True) -> tuple[str, ...]:
    """The names of parts of which each rank has its own, which only those of a cluster can have; and it saves
    in the foreground."""
    if cluster is not None and not wait:
        raise ValueError("wait: the ranks of a cluster would go on before the save; leave out wait=False")
    found = texts("per_rank", value)
    if found and cluster is None:
        raise ValueError(f"per_rank: {found[0]!r} is to be a part of each rank of a cluster; pass cluster=")
    return found


def comparing(value: Any, cluster: Any) -> bool:
    """Whether the ranks of a cluster compare what several of them hold."""
    flag("compare_replicas", value)
    if value and cluster is None:
        raise ValueError("compare_replicas: only the ranks of a cluster hold replicas; pass cluster=")
    found: bool = value
    return found


Sharing: TypeAlias = Literal["read", "broadcast"] | None


def sharing(value: Any, cluster: Any) -> str | None:
    """How the ranks of a cluster read what several of them need."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"shared: {kind_of(value)} given; pass 'read', 'broadcast' or None")
    if value not in (None, "read", "broadcast"):
        raise ValueError(f"shared: {quoted(value)} is not a way to read; pass 'read', 'broadcast' or None")
    if value is not None and cluster is None:
        raise ValueError(f"shared: {value!r} is for the ranks of a cluster; pass cluster=")
    found: str | None = value
    return found


def loading(trust: Any, classes: Any, limit: Any, **flags: Any) -> Allowed:
    """Check the arguments of every function that loads. Returns what the caller allows."""
    bytes_of(limit)
    for name, value in flags.items():
        flag(name, value)
    return allowing(trust, classes)


def allowing(trust: Any, classes: Any) -> Allowed:
    """What the caller allows files to ask for: patterns of names, and classes under certain names."""
    if classes is None and isinstance(trust, tuple) and not trust:
        return _NOTHING
    if isinstance(trust, bool):
        raise TypeError('trust: a bool given; pass the names that you trust, as in trust=["mypackage.*"]')
    if isinstance(trust, type):
        trust = (trust,)
    for each in several("trust", trust):
        if isinstance(each, type):
            name = f"{each.__module__}.{each.__qualname__}"
            raise TypeError(f'trust: the class {name} given; pass its name: trust=["{name}"]')
    return Allowed(texts("trust", trust), _moved({} if classes is None else classes))


_NOTHING = Allowed()


def _moved(classes: Any) -> dict[str, Any]:
    if not isinstance(classes, Mapping):
        raise TypeError(f'classes: {kind_of(classes)} given; pass a dict such as {{"__main__.Net": Net}}')
    found = {}
    for name, given in classes.items():
        if not isinstance(name, str):
            raise TypeError(
                f"classes: {kind_of(name)} is not a name; pass the name in the file, as in "
                '{"__main__.Net": Net}'
            )
        if not isinstance(given, str) and not hasattr(given, "__qualname__"):
            raise TypeError(f"classes[{name!r}]: {kind_of(given)} given; pass a class, or its name")
        found[name.replace(":", ".")] = given
    return found


def restoring(into: Any, names: Any, trust: Any, classes: Any, limit: Any, strict: Any) -> Allowed:
    """Check the arguments of every function that restores. Returns what the caller allows."""
    if into is None:
        raise TypeError("into: None given; pass the objects to restore into")
    renaming("names", names)
    return loading(trust, classes, limit, strict=strict)


def renaming(name: str, value: Any) -> None:
    """A mapping of names to names or None, a function, or None."""
    if isinstance(value, Mapping):
        for old, new in value.items():
            if not isinstance(old, str) or not (new is None or isinstance(new, str)):
                raise TypeError(
                    f"{name}: {quoted(old)}: {quoted(new)} given; map names to names, or to None to leave "
                    "them out"
                )
    elif value is not None and not callable(value):
        raise TypeError(f"{name}: {kind_of(value)} given; pass a dict of names, or a function")


def text(name: str, value: Any, limit: int, way_out: str) -> str:
    """A string of at most `limit` characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {kind_of(value)} is not a string; pass a str")
    if len(value) > limit:
        raise ValueError(f"{name}: it has {len(value):,} characters, more than {limit:,}; {way_out}")
    if not encodable(value):
        raise ValueError(f"{name}: it has lone surrogates, which are not valid Unicode; replace them")
    return value


def filled(name: str, value: Any, way_out: str) -> str:
    """A text that is not empty, of one line. Raises TypeError and ValueError."""
    found = text(name, value, 4096, way_out)
    if not found or not found.isprintable():
        raise ValueError(f"{name}: {found[:80]!r} names nothing; {way_out}")
    return found


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A whole number of any integer class, from `least` to `most`."""
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {kind_of(value)} is not a whole number; pass an int") from None
    if isinstance(value, bool):
        raise TypeError(f"{name}: a bool is not a number; pass an int")
    if not least <= found <= most:
        raise ValueError(f"{name}: {found} is out of range; pass a number from {least:,} to {most:,}")
    return int(found)


def seconds(name: str, value: Any) -> float:
    """A number of seconds, 0 or more."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}: {kind_of(value)} is not a number; pass seconds")
    if not 0 <= float(value) <= math.inf:
        raise ValueError(f"{name}: {value} is not a time; pass seconds, 0 or more")
    return float(value)


def metrics(value: Any) -> dict[str, float]:
    """Metrics by name, as floats, from numbers, and arrays or tensors with one element."""
    if not isinstance(value, Mapping):
        raise TypeError(f'metrics: {kind_of(value)} has no names; pass a dict such as {{"accuracy": 0.97}}')
    return {_metric_name(name): _number(name, number) for name, number in value.items()}


def _metric_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"metrics: {kind_of(name)} is not a name; pass names as strings")
    if not 0 < len(name) <= METRIC_NAME_LIMIT or not name.isprintable():
        raise ValueError(
            f"metrics: {name[:80]!r} is not a name of 1 to {METRIC_NAME_LIMIT} printable characters"
        )
    return name


METRIC_NAME_LIMIT = 200


def _number(name: str, value: Any) -> float:
    if not isinstance(value, str | bytes):
        try:
            return float(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass
    raise TypeError(
        f"metrics[{name!r}]: {kind_of(value)} is not a number; pass a float, or save it as a part"
    )
