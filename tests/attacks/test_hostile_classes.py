"""A class that the user gives for a name: a file may have it built as Saver saves it, and in no other way."""

from __future__ import annotations

import collections
import dataclasses
import enum
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from forge import node, places, take_apart

import saver

pytestmark = pytest.mark.filterwarnings("ignore")

called: list[str] = []
"""What ran of the classes below."""

METHODS = (
    "__init__", "__setstate__", "__call__", "__reduce__", "__reduce_ex__", "__getstate__", "__len__",
    "__iter__", "__getitem__", "__setitem__", "__copy__", "__deepcopy__", "__array__", "__bool__",
    "__float__", "__int__", "__index__", "__str__", "__repr__", "__missing__", "__post_init__",
    "__contains__", "__getattr__", "update", "append", "extend", "add", "keys", "items", "get_params",
    "set_params", "load_state_dict", "from_config",
)  # fmt: skip


def loud(name: str, *bases: type, **more: Any) -> type:
    """A class that tells of every method that runs."""

    def telling(method: str) -> Callable[..., None]:
        def run(self: Any, *args: Any, **keywords: Any) -> None:
            called.append(f"{name}.{method}")
            if method == "__getattr__":
                raise AttributeError

        return run

    methods: dict[str, Any] = {method: telling(method) for method in METHODS}
    methods["seen"] = property(telling("seen"), telling("seen ="))
    return type(name, bases or (object,), {"__module__": "somewhere", **methods, **more})


class Loud(type):
    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        called.append(f"{cls.__name__}()")
        return super().__call__(*args, **keywords)


class Color(enum.Enum):
    RED = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        called.append("_missing_")


class Pair(NamedTuple):
    a: int = 1
    b: int = 2


class Plain:
    def __init__(self) -> None:
        self.a = 1


@dataclasses.dataclass
class Point:
    a: int = 1


class Table(dict[Any, Any]):
    pass


class Word(str):
    pass


for each in (Plain, Table, Word):
    saver.register(each)

SAVED: dict[str, Callable[[], Any]] = {
    "object": Plain,
    "dataclass": Point,
    "enum": lambda: Color.RED,
    "namedtuple": Pair,
    "derived": lambda: Table(a=1),
    "derived_value": lambda: Word("a"),
    "class": lambda: Plain,
}

GIVEN: dict[str, Any] = {
    "plain": loud("Plain"),
    "of a loud class": Loud("OfLoud", (object,), {"__module__": "somewhere"}),
    "enum": Color,
    "named tuple": Pair,
    "dataclass": dataclasses.dataclass(init=False, repr=False)(loud("Data", __annotations__={"a": int})),
    **{
        base.__name__: loud(f"Of{base.__name__}", base)
        for base in (
            dict, list, set, str, int, float, tuple, bytes, Exception, collections.OrderedDict,
            collections.UserDict, collections.deque, np.ndarray,
        )
    },
    "a process": subprocess.Popen,
    "a thread": threading.Thread,
    "type": type,
    "object": object,
    "eval": eval,
    "open": open,
}  # fmt: skip

FITS = {
    "object": {"plain", "of a loud class", "dataclass", "a process", "a thread", "UserDict", "object"},
    "dataclass": {"dataclass"},
    "enum": {"enum"},
    "namedtuple": {"named tuple"},
    "derived": {"dict", "list", "set", "OrderedDict"},
    "derived_value": {"str", "int", "float", "tuple", "bytes"},
}
"""Codec → what may be given: of these, none needs anything else to be built."""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    called.clear()
    yield
    called.clear()


def renamed(obj: Any, codec: str, folder: Path) -> Path:
    """A file with `obj`, whose class goes by another name there."""
    saver.dump([obj], folder / "honest.saver")
    file = take_apart(folder / "honest.saver")
    (found,) = (held[key] for held, key in places(file.manifest) if _is_node(held[key], codec))
    found["class"] = "__main__:Net"
    return file.write(folder / "forged.saver")


def _is_node(value: Any, codec: str) -> bool:
    return isinstance(value, dict) and value.get("$") == codec and "class" in value


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("codec", SAVED)
def test_nothing_of_a_class_runs_whatever_is_built_of_it(codec: str, given: str, tmp_path: Path) -> None:
    path = renamed(SAVED[codec](), codec, tmp_path)
    called.clear()
    try:
        found = saver.load(path, classes={"__main__.Net": GIVEN[given]})
    except saver.IncompatibleError:
        found = None
    heard, called[:] = list(called), []
    assert heard == []
    if codec != "class" and found is not None:
        assert given in FITS[codec]


@pytest.mark.parametrize("name", ["__main__:Net.Inner", "__main__:Ne", "main:Net", "a.__main__:Net"])
def test_another_name_is_not_the_one_that_was_given(name: str, tmp_path: Path) -> None:
    saver.dump([Plain()], tmp_path / "honest.saver")
    file = take_apart(tmp_path / "honest.saver")
    file.tree = node("object", {"a": 1}, name)
    with pytest.raises(saver.UntrustedError):
        saver.load(file.write(tmp_path / "forged.saver"), classes={"__main__.Net": Plain})


def test_whose_form_looks_at_it_whole_is_never_built_by_attributes_alone(tmp_path: Path) -> None:
    """A user's own tree did predict from rows of one feature, and read those of four."""
    tree = pytest.importorskip("sklearn.tree")
    tables = np.random.default_rng(0).random((30, 4))

    class Tree(tree.DecisionTreeClassifier):  # type: ignore[misc, name-defined]
        pass

    Tree.__qualname__ = "Tree"
    globals()["Tree"] = Tree
    saver.dump([Tree().fit(tables, tables[:, 3] > 0.5)], tmp_path / "honest.saver")
    for codec in ("object", "dataclass", "derived", "namedtuple", "sklearn.estimator"):
        file = take_apart(tmp_path / "honest.saver")
        places_of = (held[key] for held, key in places(file.manifest))
        (found,) = (each for each in places_of if _is_node(each, "sklearn.estimator"))
        found["$"], found["state"]["n_features_in_"] = codec, 1
        path = file.write(tmp_path / "forged.saver")
        for allowed in ({"classes": {f"{__name__}.Tree": Tree}}, {"trust": [f"{__name__}.*"]}):
            with pytest.raises(saver.IncompatibleError, match=r"Tree"):
                saver.load(path, **allowed)  # type: ignore[arg-type]
