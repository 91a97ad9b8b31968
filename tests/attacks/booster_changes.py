"""Changes stored boosters, loads them and uses what loads; for the programs of each library.

Each number is printed before its attempt, so that the last one tells which attempt ended the process.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from saver.errors import SaverError
from saver.tensors import TensorData, pieces
from saver.testing.codecs import StoredObject, change, load

EXTREMES = (0, 1, 2, -1, -2, 3, 7, 100, 2**24, 2**30, 2**31 - 1, -(2**31), 127, 255)

TEXTS = ("", "0", "1", "2", "3", "-1", "100000", "4294967295", "9" * 30, "nan", "[1E0,2E0]", "[]", "1e9", "x")


def changed_tensor(saved: StoredObject, draw: random.Random) -> None:
    """Change some elements, the length, the type or the shape of a tensor."""
    name = draw.choice(sorted(saved.tensors))
    old = saved.tensors[name]
    raw = np.concatenate([np.empty(0, np.uint8), *pieces(old)])
    kinds = {
        "F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8,
        "I8": np.int8, "U32": np.uint32,
    }  # fmt: skip
    values = raw.view(kinds[old.dtype]).copy()
    what, shape = draw.randrange(8), old.shape
    if what == 0:
        keep = draw.randrange(len(values) + 1)
        values, shape = values[:keep], (keep,)
    elif what == 1:
        values = np.concatenate([values, values])
        shape = (len(values),)
    elif what == 2:
        shape = tuple(reversed(shape)) if len(shape) > 1 else (1, *shape)
    elif len(values):
        for _ in range(draw.choice((1, 1, 2, 5))):
            choice = draw.choice(
                (*EXTREMES, int(draw.choice(range(len(values)))), float("nan"), float("inf"))
            )
            with contextlib.suppress(ValueError, OverflowError):
                values[draw.randrange(len(values))] = choice
    saved.tensors[name] = TensorData(old.dtype, shape, values)


def changed_text(trees: Any, draw: random.Random) -> None:
    """Change a number or a word that is kept as text."""
    texts = [(holder, key) for holder, key in _places(trees) if type(holder[key]) is str]
    holder, key = draw.choice(texts)
    holder[key] = draw.choice((*TEXTS, *(other[where] for other, where in draw.sample(texts, 3))))


def _places(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, (dict, list)):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [*((value, key) for key in keys), *(place for key in keys for place in _places(value[key]))]


def attack(
    label: str,
    made: Any,
    use: Callable[[Any], Iterable[Callable[[], object]]],
    expected: tuple[type[Exception], ...],
    count: int,
) -> None:
    """Try so many changes. `use` gives what to do with what loads, which may raise what is `expected`."""
    honest, loaded = StoredObject(made), 0
    for number in range(count):
        draw = random.Random(f"{label} {number}")
        changed = honest.copy()
        changed.tensors = copy.copy(honest.tensors)
        way = draw.choice((changed_tensor, changed_tensor, changed_text, change))
        if way is changed_tensor:
            changed_tensor(changed, draw)
        else:
            way(changed.trees, draw)
        print(number, flush=True)
        try:
            found = load(changed, ())
        except SaverError:
            continue
        if type(found) is type(made):
            loaded += 1
            for step in use(found):
                with contextlib.suppress(*expected, ValueError, TypeError, IndexError, MemoryError):
                    step()
    print(f"done, {loaded} loaded", flush=True)


def survived(program: str, kind: str, count: int) -> None:
    """Run the program of a library, a file beside this one, which tries so many changes of a sample; fail
    unless it comes to its end."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), kind, "1", str(count)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, f"change {last}: {done.stderr[-2000:]}"
    assert last.startswith("done")
