"""Equal sets have equal bytes, in any process that writes them."""

from __future__ import annotations

import enum
import itertools
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.codec import Encoder
from saver.errors import CannotSaveError
from saver.tree import to_json

PROGRAM = """
import sys, saver, numpy as np
from fractions import Fraction
sets = {
    "texts": {f"feature {i}" for i in range(50)} | {"a", 'a"', "a!", "\\U0001f600", "\\uffee", "x" * 2000},
    "long": {f"feature {i}" for i in range(500)},
    "mixed": {1, "1", 1.5, None, (1, "a"), frozenset("abc"), b"raw", b"raw" * 400, 2**70, Fraction(3)},
    "nested": {frozenset({frozenset({"a", "b"}), "c"}), frozenset({frozenset("xyz"), ("q", frozenset("p"))})},
    "keys": {frozenset("hello"): 1, ("x", frozenset("world")): 2},
    "classes": {int, str, np.float64, len, np.dtype("f4"), slice},
}
saver.dump(sets, sys.argv[1])
for part in saver.describe(sys.argv[1]).parts:
    print(part.name, part.hash)
"""


@pytest.mark.slow
def test_the_seed_of_pythons_hashes_does_not_show(tmp_path: Path) -> None:
    said = set()
    for seed in ("0", "1", "2", "12345"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / f"{seed}.saver")],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.add(done.stdout)
    assert len(said) == 1
    assert len(said.pop().splitlines()) == 6


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Point:
    x: int
    name: str


@dataclass(eq=False)
class Box:
    """Hashed by its identity; its repr tells nothing."""

    held: Any

    def __repr__(self) -> str:
        return f"<Box at {id(self)}>"


def hash_of(value: Any, folder: Path) -> str:
    saver.dump(value, folder / "a.saver")
    (part,) = saver.describe(folder / "a.saver").parts
    return part.hash


ELEMENTS: list[Any] = [
    3, 20, -1, "3", "b", 0.5, -0.0, None, b"x" * 600, "y" * 600, 2**60, Color.RED, Color.BLUE, Point(1, "a"),
    Point(1, "b"), (Point(2, "c"), frozenset({1, "a"})), np.float32(3.5), np.float64(7),
]  # fmt: skip


def test_the_order_in_which_elements_came_does_not_show(tmp_path: Path) -> None:
    random.seed(3)
    found = set()
    for _ in range(20):
        random.shuffle(ELEMENTS)
        found.add(hash_of([set(ELEMENTS), frozenset(ELEMENTS)], tmp_path))
    assert len(found) == 1


def test_objects_are_ordered_by_what_they_hold_not_by_where_they_are(tmp_path: Path) -> None:
    found = set()
    for order in itertools.permutations(range(4)):
        boxes = {at: Box({"weights": np.full(1000, at), "name": "same"}) for at in order}
        found.add(hash_of([set(boxes.values()), boxes[2], boxes[0]], tmp_path))
    assert len(found) == 1


def test_those_that_are_alike_stand_in_the_order_in_which_they_were_met(tmp_path: Path) -> None:
    found = set()
    for order in itertools.permutations(range(3)):
        boxes = [Box(1) for _ in range(3)]
        found.add(hash_of([boxes[0], boxes[1], {boxes[at] for at in order}], tmp_path))
    assert len(found) == 1


def test_an_element_may_refer_to_what_is_around_the_set() -> None:
    def tree(*order: int) -> bytes:
        whole: list[Any] = []
        boxes = [Box([whole, at]) for at in range(3)]
        whole.append({boxes[at] for at in order})
        return to_json(Encoder().part("model", whole))

    assert len({tree(*order) for order in itertools.permutations(range(3))}) == 1


def test_a_set_may_contain_itself_where_it_can_be_put_later(tmp_path: Path) -> None:
    found: set[Any] = {1, "a"}
    found.add(Box([found]))
    saver.dump([found], tmp_path / "a.saver")
    (again,) = saver.load(tmp_path / "a.saver", trust=[f"{__name__}.*"])
    (box,) = (item for item in again if isinstance(item, Box))
    assert box.held[0] is again
    assert again - {box} == {1, "a"}


def test_a_set_that_cannot_be_built_is_refused_with_its_place(tmp_path: Path) -> None:
    found: set[Any] = {1, "a"}
    found.add(Box((found,)))
    with pytest.raises(CannotSaveError, match=r"^\$\.model.*a cycle leads through a set"):
        saver.dump([found], tmp_path / "a.saver")


def test_an_element_without_a_data_form_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(CannotSaveError, match=r"^\$\.part\.keys\[\d\].*lambda"):
        saver.dump({"part": {1, "a", lambda: 1}}, tmp_path / "a.saver")


def test_sets_within_each_other_cost_what_they_hold_not_its_power(tmp_path: Path) -> None:
    found: Any = frozenset({"a", "b"})
    for level in range(100):
        found = frozenset({found, level})
    saver.dump(found, tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver") == found
