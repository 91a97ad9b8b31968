# ruff: noqa: E501
"""Values of layer 3 whose state says more than its kinds: what each must hold, and what nothing holds."""

from __future__ import annotations

import struct
from typing import Any

from pieces import b64, dumps, node
from randomness import words


def floats(*values: float) -> dict[str, Any]:
    data = b64(struct.pack(f"<{len(values)}d", *values))
    return node("numpy.array", {"dtype": "<f8", "shape": [len(values)], "data": data})


SERIES = {
    "kind": "Polynomial",
    "coef": floats(1, 2),
    "domain": floats(-1, 1),
    "window": floats(-1, 1),
    "symbol": "x",
}
SEEDS = {"entropy": 5, "spawn_key": node("tuple", [1]), "pool_size": 4, "n_children_spawned": 0}
NORMAL = {"_mu": {"$float": 0}, "_sigma": {"$float": 1}}
EMPTY = node("dict", {})


def bits(seeds: Any = None) -> dict[str, Any]:
    state = {
        "bit_generator": "SFC64",
        "state": node("dict", {"state": words("<u8", 4)}),
        "has_uint32": 0,
        "uinteger": 0,
    }
    return node("numpy.BitGenerator", ["SFC64", node("dict", state), seeds])


def sound() -> dict[str, Any]:
    """Values that a reader accepts, by name."""
    found = {f"series-{kind}": node("numpy.series", SERIES | {"kind": kind}) for kind in (
        "Polynomial", "Chebyshev", "Legendre", "Hermite", "HermiteE", "Laguerre")}  # fmt: skip
    return found | {
        "poly1d": node("numpy.poly1d", [floats(1, 2), "x"]), "seeds": node("numpy.SeedSequence", SEEDS),
        "seeds-most": node("numpy.SeedSequence", SEEDS | {"pool_size": 1024}), "bits": bits(),
        "bits-seeds": bits(node("numpy.SeedSequence", SEEDS)), "generator": node("numpy.Generator", bits()),
        "record-ChainMap": node("stdlib.record", ["ChainMap", {"maps": node("list", [EMPTY])}]),
        "record-UserDict": node("stdlib.record", ["UserDict", {"data": EMPTY}]),
        "record-UserList": node("stdlib.record", ["UserList", {"data": node("list", [1])}]),
        "record-UserString": node("stdlib.record", ["UserString", {"data": "a"}]),
        "record-NormalDist": node("stdlib.record", ["NormalDist", NORMAL]),
        "record-Namespace": node("stdlib.record", ["Namespace", {"a": 1}]),
        "record-Template": node("stdlib.record", ["Template", {"template": "$a"}]),
    }  # fmt: skip


def unsound() -> dict[str, tuple[dict[str, Any], str]]:
    """Values that break rule 3.01, by name, and what is wrong."""
    found: dict[str, dict[str, Any]] = {}
    records: dict[str, list[Any]] = {
        "ChainMap": [{}, {"maps": node("list", [])}, {"maps": node("list", [5])}, {"maps": EMPTY}, {"maps": None}],
        "UserDict": [{}, {"data": node("list", [])}, {"data": None}, {"data": node("stdlib.OrderedDict", {})}],
        "UserList": [{}, {"data": EMPTY}, {"data": node("tuple", [])}], "UserString": [{}, {"data": 5}, {"data": None}],
        "NormalDist": [{}, {"_mu": 1.5}, {"_mu": "a", "_sigma": 1.5}, {"_mu": 1.5, "_sigma": -1.5}, {"_mu": 1.5, "_sigma": None}],
    }  # fmt: skip
    for kind, states in records.items():
        found |= {
            f"record-{kind}-{at}": node("stdlib.record", [kind, state]) for at, state in enumerate(states)
        }
    changes: dict[str, list[Any]] = {
        "kind": ["polynomial", "Fourier", None, 5], "coef": [floats(), node("list", [1]), words("<u8", 2) | {"state": {"dtype": "<f8", "shape": [], "data": b64(bytes(8))}}],
        "domain": [floats(1), floats(1, 2, 3), None], "window": [floats(), 5], "symbol": ["", "1x", "a b", 5, None, "x" * 101],
    }  # fmt: skip
    for key, values in changes.items():
        found |= {
            f"series-{key}-{at}": node("numpy.series", SERIES | {key: value})
            for at, value in enumerate(values)
        }
    for key in SERIES:
        found[f"series-{key}-missing"] = node("numpy.series", {k: v for k, v in SERIES.items() if k != key})
    for at, state in enumerate(
        ([floats(), "x"], [floats(1), 5], [floats(1), "x" * 101], [node("list", [1]), "x"], [floats(1)])
    ):
        found[f"poly1d-{at}"] = node("numpy.poly1d", state)
    seeds: dict[str, list[Any]] = {
        "pool_size": [3, 1025, -1, 4.5, None, "4", True], "entropy": ["a", 1.5, -1, node("int", "1" + "0" * 16384)],
        "spawn_key": [node("tuple", ["a"]), node("tuple", [1.5]), 5, None], "n_children_spawned": ["a", -1, 1.5, None, 2**53],
        "other": [1],
    }  # fmt: skip
    for key, values in seeds.items():
        found |= {
            f"seeds-{key}-{at}": node("numpy.SeedSequence", SEEDS | {key: value})
            for at, value in enumerate(values)
        }
    for key in SEEDS:
        found[f"seeds-{key}-missing"] = node(
            "numpy.SeedSequence", {k: v for k, v in SEEDS.items() if k != key}
        )
    for at, value in enumerate((bits(5), node("numpy.BitGenerator", ["Other", EMPTY, None]))):
        found[f"bits-{at}"] = value
    return {
        name: (value, f"a {value['$']} of {dumps(value.get('state'))[:60]}") for name, value in found.items()
    }


__all__ = ["sound", "unsound"]
