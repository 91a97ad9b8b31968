"""What the golden files of format 1 hold. Never change an entry: add new ones."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import functools
import pathlib
import random
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np


def python() -> Any:
    looped: list[Any] = [1]
    looped.append((looped, {"self": looped}))
    shared = [1, 2]
    return {
        "scalars": [None, True, False, 0, -1, 2**53, 0.1, -0.0, 1e300, "", "text", "ünï\n"],
        "large": [2**53 + 1, -(2**200), 10**700, float("inf"), float("-inf"), 1 - 2j, complex(-0.0,
        float("inf"))],
        "texts": ["x" * 700, "\ud800", b"", b"\x00\xff", b"y" * 700, bytearray(b"z")],
        "containers": [(), (1, (2,)), {1, 2.5, "a"}, frozenset({(1, 2)}), range(1, 9, 2), slice(None, 5),
        ...],
        "dicts": [{}, {"b": 1, "a": 2}, {1: "x", (2, "k"): [3]}, {"$": 1, "__array_interface__": 2}],
        "columns": [list(range(-50, 50)), [n / 7 for n in range(100)], [n % 3 == 0 for n in range(64)],
                    [f"wörd {n}" for n in range(80)], tuple(range(64)), {f"w{n}": n for n in range(300)}],
        "looped": looped,
        "shared": [shared, shared],
        "names": [len, dict, np.log1p, np.float32],
    }  # fmt: skip


def stdlib() -> Any:
    return {
        "collections": [
            collections.OrderedDict(b=1, a=2), collections.Counter("hello"),
            collections.defaultdict(list, {1: [2]}), collections.deque([1, 2, 3], 5), collections.deque(),
            types.SimpleNamespace(a=1, b=[2]), functools.partial(np.add, 1),
        ],
        "numbers": [decimal.Decimal("1.10"), decimal.Decimal("-Infinity"), fractions.Fraction(-3, 7),
                    uuid.UUID(int=2**100 + 1)],
        "dates": [
            datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 4, fold=1),
            datetime.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("UTC")), datetime.time(23, 59),
            datetime.timedelta(-1, 5, 7), datetime.UTC, datetime.timezone(datetime.timedelta(hours=-5),
            "EST"),
        ],
        "rest": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\d"), array.array("d", [1.5,
                 -0.0]),
                 array.array("h", range(400)), random.Random(5)],
    }  # fmt: skip


def numpy() -> Any:
    rows = np.zeros(3, np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3"), ("d", "U2")], align=True))
    rows["a"], rows["c"], rows["d"] = [1, 2, 3], b"xyz", "é"
    mixed = np.zeros(2, [("o", object), ("i", "i8")])
    mixed["o"] = ["a", None]
    return {
        "plain": [np.arange(6.0).reshape(2, 3), np.arange(600, dtype=">i2"), np.ones((30, 40), np.float16),
                  np.asfortranarray(np.arange(600.0).reshape(20, 30)), np.array(7), np.zeros((3, 0)),
                  np.array([np.nan, -0.0, np.inf], np.float32), np.array([True, False])],
        "others": [np.arange(80) * (1 + 2j), np.array(["a", "ü€"]), np.array(["long"] * 200),
                   np.array([b"a", b"bc"]),
                   np.array(["2024-02-29", "NaT"], "M8[D]"), np.arange(100, dtype="m8[ns]"),
                   np.array([b"\1\2"], "V2"),
                   np.arange(100).astype(">c16")],
        "structures": [rows, np.zeros(60, rows.dtype), mixed],
        "objects": [np.array([1, "a", None, [2]], object), np.array([["x", "y"], ["z", "w"]], object,
        order="F")],
        "scalars": [np.float32(1.5), np.int64(2**62), np.bool_(True), np.float64("nan"), np.complex64(1j),
                    np.datetime64("2024-02-29", "D"), np.str_("s"), np.bytes_(b"b"), rows[0]],
        "masked": [np.ma.array([1.5, 2.5], mask=[False, True], fill_value=-1.0)],
        "dtypes": [np.dtype("<f4"), rows.dtype, np.dtype(("<i4", (2, 3)))],
        "random": [np.random.RandomState(1), np.random.default_rng(2),
                   np.random.Generator(np.random.MT19937(3)),
                   np.random.Generator(np.random.Philox(4)), np.random.SFC64(5), np.random.SeedSequence(6)],
    }  # fmt: skip


def single() -> Any:
    return [np.arange(1000, dtype=np.uint16), "one object, and no mapping"]


GOLDEN: dict[str, Callable[[], Any]] = {"python": python, "stdlib": stdlib, "numpy": numpy, "single": single}
"""The file `<name>.1.saver` holds the value."""
