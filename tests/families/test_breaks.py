"""What one version of scikit-learn cannot take from another is what users read, class by class."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

import saver
from saver.families.sklearn import FAMILY
from saver.family import seen

RECORDED = Path(__file__).parent / "sklearn_breaks.txt"
VERSIONS = ("1.5", "1.6", "1.7", "1.8", "1.9")


def recorded() -> set[tuple[str, str, str]]:
    """What was seen (`matrix.py`): the class and what becomes of it, then, and now."""
    found = set()
    for line in RECORDED.read_text().splitlines():
        what, pairs = line.split(": ")
        found |= {(what, *pair.split(">")) for pair in pairs.split()}
    return found


def test_the_table_says_what_was_seen_of_every_class_between_all_versions() -> None:
    listed = json.loads((Path(saver.__file__).parent / "families/sklearn/classes.json").read_text())
    names = {name.rpartition(":")[2] for names in listed["codecs"].values() for name in names}
    told = set()
    for then, now, name in product(VERSIONS, VERSIONS, names):
        for sentence in FAMILY.broken([f"sklearn.some.{name}"], f"{then}.1", f"{now}.2"):
            sentence = sentence.partition(f" under {now}.2: ")[0]
            told.add((sentence.replace(f" of {then}.1", ""), then, now))
    assert told == recorded()
    assert len(told) > 200


def test_nothing_is_said_of_the_same_version_of_one_that_is_unknown_or_of_other_libraries() -> None:
    names = ["sklearn.x.LogisticRegression", "mine.LogisticRegression"]
    assert len(FAMILY.broken(names, "1.9.1", "1.7.0")) == 1
    for then, now in [("1.9.1", "1.9.0"), ("", "1.6.1"), ("odd", "1.6.1"), ("1.9.1", ""), ("1", "1.9")]:
        assert FAMILY.broken(names, then, now) == []
    assert FAMILY.broken(names[1:], "1.9.1", "1.7.0") == []


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        ("1.6..1.8", [(1, 6), (1, 7), (1, 8)], [(1, 5), (1, 9), (2, 0)]),
        ("1.8..", [(1, 8), (1, 10), (2, 0)], [(1, 7), (0, 24)]),
        ("..1.5", [(0, 24), (1, 5)], [(1, 6), (1, 10), (2, 0)]),
    ],
)
def test_versions_are_counted_as_numbers(
    span: str, inside: list[tuple[int, int]], outside: list[tuple[int, int]]
) -> None:
    here = seen("A", "..", span, "why")
    for version in inside:
        assert here.concerns((1, 0), version)
    for version in outside:
        assert not here.concerns((1, 0), version)
