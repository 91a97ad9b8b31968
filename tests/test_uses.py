"""Where functions and classes may stand, also in containers."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np
import pytest

import saver
from saver import uses
from saver.errors import CannotSaveError

NUMBERS = frozenset(("number",))
DEEP: list[Any] = []
for _ in range(20_000):
    DEEP = [DEEP]
HELD: dict[str, Any] = {
    "itself": np.log1p,
    "in a list": [1, np.log1p],
    "in a tuple": ("a", (np.log1p,)),
    "in a set": {np.log1p},
    "in a frozen set": frozenset((np.log1p,)),
    "a key": {np.log1p: 1},
    "a value": {"a": [np.log1p]},
    "in a mapping with an order": OrderedDict(a=np.log1p),
    "in an array": np.array([1, np.log1p], dtype=object),
    "in an array in a list": [np.array([[np.log1p]], dtype=object)],
    "a partial": [partial(np.add, 1)],
    "a class": [{"a": (np.float32,)}],
}


@pytest.mark.parametrize("held", HELD)
def test_a_reviewed_function_is_found_wherever_an_attribute_holds_it(held: str) -> None:
    with pytest.raises(ValueError, match="'name' cannot be a function"):
        uses.check({"name": HELD[held]}, {}, True)
    with pytest.raises(ValueError, match="'name' may be number"):
        uses.check({"name": HELD[held]}, {"name": NUMBERS}, True)
    if held != "itself":
        uses.check({"name": HELD[held]}, {}, True, frozenset(("name",)))


def test_one_of_the_users_own_may_stand_anywhere() -> None:
    uses.check({"name": [test_one_of_the_users_own_may_stand_anywhere, {"a": time.sleep}]}, {}, True)


def test_what_may_stand_there_is_accepted_in_containers_too() -> None:
    uses.check({"name": {"a": [len, sum]}}, {"name": NUMBERS}, True)


@pytest.mark.parametrize("value", [DEEP, np.zeros(3), "text", b"", None, 3, range(3), {"a": {1, 2}}])
def test_values_are_no_functions(value: Any) -> None:
    uses.check({"name": value}, {}, True)


def test_cycles_and_containers_held_twice_over_and_over_come_to_an_end() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    doubled: Any = "a"
    for _ in range(200):
        doubled = [doubled, doubled]
    uses.check({"one": cycle, "two": doubled}, {}, True)


def test_a_container_that_many_objects_hold_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    items = uses._items
    monkeypatch.setattr(uses, "_items", lambda found: looked.append(id(found)) or items(found))
    held = list(range(1000))
    with uses.looking_once():
        for _ in range(5):
            uses.check({"name": held}, {}, True)
        uses.check({"name": held}, {"name": NUMBERS}, True)
    assert looked.count(id(held)) == 2, "once for each question"
    uses.check({"name": held}, {}, True)
    assert looked.count(id(held)) == 3, "later, it may be another"


# Objects that can be called

torch = pytest.importorskip("torch")
preprocessing = pytest.importorskip("sklearn.preprocessing")
gaussian_process = pytest.importorskip("sklearn.gaussian_process")
kernels = gaussian_process.kernels


@pytest.mark.parametrize("name", ["func", "inverse_func"])
def test_a_reviewed_object_of_another_library_does_not_stand_for_a_function(name: str) -> None:
    for _ in range(2):  # the second time its class is known to be neither a function nor a class
        with pytest.raises(CannotSaveError, match=f"'{name}' may be a function, but it is a torch.nn"):
            saver.dumps(preprocessing.FunctionTransformer(**{name: torch.nn.Linear(2, 2)}))


def test_a_file_that_says_so_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as careless:
        careless.setattr(uses, "check_objects", lambda *_: None)
        forged = saver.dumps(preprocessing.FunctionTransformer(torch.nn.Linear(2, 2)))
    with pytest.raises(saver.IncompatibleError, match="'func' may be a function"):
        saver.loads(forged)


def test_an_object_of_its_own_library_does() -> None:
    model = gaussian_process.GaussianProcessRegressor(kernels.RBF(2.0))
    assert saver.loads(saver.dumps(model)).kernel == kernels.RBF(2.0)
