# ruff: noqa: E501
"""Random generators of NumPy and Python."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from pieces import b64, node


def words(dtype: str, count: int, value: int = 1) -> dict[str, Any]:
    data = b64(value.to_bytes(int(dtype[2:]), "little") * count)
    return node("numpy.array", {"dtype": dtype, "shape": [count], "data": data})


MORE = {"has_uint32": 0, "uinteger": 0}
LARGE = node("int", "f" * 32)
"""2^128 - 1."""

STATES: dict[str, dict[str, Any]] = {
    "MT19937": {"state": {"key": words("<u4", 624), "pos": 624}},
    "PCG64": {"state": {"state": LARGE, "inc": 1}, **MORE}, "PCG64DXSM": {"state": {"state": 0, "inc": 1}, **MORE},
    "Philox": {"state": {"counter": words("<u8", 4), "key": words("<u8", 2)}, "buffer": words("<u8", 4), "buffer_pos": 4, **MORE},
    "SFC64": {"state": {"state": words("<u8", 4)}, "has_uint32": 1, "uinteger": 2**32 - 1},
}  # fmt: skip
"""The state of each class, without its `bit_generator`."""


def bits_of(kind: str, state: dict[str, Any] | None = None, seeds: Any = None, **more: Any) -> dict[str, Any]:
    """A bit generator. `state` is all that it holds but its class."""
    found = {"bit_generator": kind, **copy.deepcopy(STATES[kind] if state is None else state), **more}
    found = {key: item for key, item in found.items() if item is not ...}
    if isinstance(found.get("state"), dict) and "$" not in found["state"]:
        found["state"] = node("dict", found["state"])
    return node("numpy.BitGenerator", [kind, node("dict", found), seeds])


def sound() -> Iterator[tuple[str, dict[str, Any], str]]:
    for kind in STATES:
        yield f"bits-{kind}", bits_of(kind), f"a {kind}"
    legacy = bits_of("MT19937")
    yield (
        "RandomState",
        node("numpy.RandomState", [legacy, 1, {"$float": 2}]),
        "a legacy generator with a normal number left",
    )
    yield "random", node("stdlib.Random", [3, [*[1] * 624, 624], None]), "a generator of Python"
    yield "random-normal", node("stdlib.Random", [3, [*range(624), 0], 1.5]), "one with a normal number left"


def unsound() -> Iterator[tuple[str, dict[str, Any], str]]:
    for kind in STATES:
        state, inner = STATES[kind], STATES[kind]["state"]
        changes: list[dict[str, Any]] = [
            {"x": 1},
            {"bit_generator": "SFC64" if kind != "SFC64" else "Philox"},
            {"bit_generator": ...},
        ]
        changes += [{key: ...} for key in state]
        changes += [{"state": node("dict", {k: v for k, v in inner.items() if k != key})} for key in inner]
        changes += [{"state": node("dict", {**inner, "x": 1})}, {"state": node("list", [])}, {"state": 5}]
        for at, change in enumerate(changes):
            yield f"bits-{kind}-{at}", bits_of(kind, state | change), f"a {kind} with another form"
        for at, changed in enumerate(_values(kind, state, inner)):
            yield (
                f"bits-{kind}-value-{at}",
                bits_of(kind, changed),
                f"a {kind} with a value that it cannot have",
            )
    legacy = bits_of("MT19937")
    for at, (has, number) in enumerate(((2, 1.5), (True, 1.5), ("a", 1.5), (1, 1), (1, None), (1, "a"))):
        yield (
            f"RandomState-{at}",
            node("numpy.RandomState", [legacy, has, number]),
            f"a normal number {number} ({has})",
        )


def _values(kind: str, state: dict[str, Any], inner: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The state with each field set to what it cannot be."""
    largest = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}
    for key, value in (*state.items(), *inner.items()):
        if key == "state" and key in state and value is state[key]:
            continue
        beyond: list[Any] = [node("int", "1" + "0" * 32), -1, "a", 1.5]
        if key in largest:
            beyond = [largest[key] + 1, -1, "a", True]
        elif isinstance(value, dict) and value["$"] == "numpy.array":
            dtype, (count,) = value["state"]["dtype"], value["state"]["shape"]
            beyond = [words(dtype, count + 1), words("<i" + dtype[2:], count), 5, node("list", [1] * count)]
        for each in beyond:
            inside = key in inner and value is inner[key]
            yield state | ({"state": inner | {key: each}} if inside else {key: each})


__all__ = ["sound", "unsound"]
