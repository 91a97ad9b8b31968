"""Attributes of containers are restored with them, and those that were not saved are taken away."""

from __future__ import annotations

from collections import OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import saver


class Mapping(dict[str, Any]):
    pass


class Ordered(OrderedDict[str, Any]):
    pass


class Items(list[Any]):
    pass


class Elements(set[Any]):
    pass


KINDS = {OrderedDict: {"x": 1}, Mapping: {"x": 1}, Ordered: {"x": 1}, Items: [1], Elements: {1}}
ATTRIBUTES: tuple[dict[str, Any], ...] = ({}, {"_metadata": {"v": 1}}, {"_metadata": {"v": 2}, "more": [3]})


def made(kind: Any, attributes: dict[str, Any]) -> Any:
    found = kind(KINDS[kind])
    vars(found).update(attributes)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("deep", [False, True])
def test_a_container_is_restored_with_its_attributes(tmp_path: Path, kind: Any, deep: bool) -> None:
    for saved, there in product(ATTRIBUTES, ATTRIBUTES):
        original, target = made(kind, saved), made(kind, there)
        holders = ({"k": [original]}, {"k": [target]}) if deep else ({"k": original}, {"k": target})
        saver.dump(holders[0], tmp_path / "a.saver")
        saver.restore(tmp_path / "a.saver", holders[1], trust=[f"{__name__}.*"])
        again = holders[1]["k"][0] if deep else holders[1]["k"]
        assert again is target or not deep
        assert (again, vars(again)) == (original, vars(original)), (saved, there)
