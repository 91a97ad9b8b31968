"""A container that contains itself is restored into another one, which then contains itself."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import pytest

import saver

TRUST = [f"{__name__}.*"]


class MyDict(dict[Any, Any]):
    """A derived mapping."""


class MyOrdered(OrderedDict[Any, Any]):
    """A derived ordered mapping."""


class MyList(list[Any]):
    """A derived list."""


class MySet(set[Any]):
    """A derived set."""


def _make(kind: type) -> Any:
    return defaultdict(int) if kind is defaultdict else kind()


def _put(holder: Any, key: Any, item: Any) -> None:
    if key == "attribute":
        holder.item = item
    elif isinstance(holder, dict):
        holder[key] = item
    else:
        holder.append(item)


def _get(holder: Any, key: Any) -> Any:
    return holder.item if key == "attribute" else holder[key if isinstance(holder, dict) else 0]


MAPPINGS: list[type] = [dict, OrderedDict, defaultdict, Counter, MyDict, MyOrdered]
PLACES = [
    *((kind, key) for kind in MAPPINGS for key in ("a", (1, 2))),
    *((kind, 0) for kind in (list, deque, MyList)),
    *((kind, "attribute") for kind in (MyDict, MyOrdered, MyList, MySet)),
]


@pytest.mark.parametrize(("kind", "key"), PLACES)
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_the_target_contains_itself(
    kind: type, key: Any, within: bool, filled: bool, nested: bool, tmp_path: Path
) -> None:
    saved, target = _make(kind), _make(kind)
    _put(saved, key, [saved] if within else saved)
    if filled:
        _put(target, key, [target] if within else target)
    saver.dump({"m": {"n": saved} if nested else saved}, tmp_path / "f")
    saver.restore(tmp_path / "f", into={"m": {"n": target} if nested else target}, trust=TRUST)
    found = _get(target, key)
    assert (found[0] if within else found) is target
