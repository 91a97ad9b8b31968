"""What cannot be saved or loaded is named all at once, with a way out that works."""

from __future__ import annotations

import functools
import operator
import random
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver import registry
from saver.codec.names import Names
from saver.codec.refusals import LIMIT


class Own:
    """A class of which Saver knows nothing."""

    def method(self) -> None:
        pass


class Other(Own):
    pass


class Plain:
    a: list[int]

    def __repr__(self) -> str:
        return "plain"


class Slotted:
    __slots__ = ("a",)
    a: list[int]


class Derived(Plain):
    __str__ = object.__str__  # a function in C, of another class


class Array(np.ndarray[Any, Any]):
    pass


class Frame(pd.DataFrame):
    pass


INSTEAD: dict[str, tuple[Callable[[], Any], str]] = {
    "a bound method": (lambda: Own().method, "the name of the method"),
    "what calls a method": (lambda: operator.methodcaller("close"), "write a function"),
    "a cache": (lambda: joblib.Memory(None), "the path of its folder"),
    "an array of its own": (lambda: np.zeros(2).view(Array), r"save numpy\.asarray\(it\)"),
    "a frame of its own": (lambda: Frame({"a": [1]}), r"save pandas\.DataFrame\(it\)"),
}


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_has_no_data_form_says_what_to_save_instead(kind: str) -> None:
    make, way = INSTEAD[kind]
    with pytest.raises(saver.CannotSaveError, match=rf"\$\.a\.b: .* has no data form; .*{way}") as caught:
        saver.dumps({"a": {"b": make()}})
    assert "saver.register" not in str(caught.value)


def test_every_sentence_fits_into_a_message() -> None:
    told = {name: way for family in registry.families() for name, way in family.instead.items()}
    assert len(told) > 20
    assert all(way[-1] != "." and "\n" not in way for way in told.values())


class Seeded(random.Random):
    pass


NATIVE = [
    re.Pattern, operator.itemgetter, functools.partial, random.Random, np.random.Generator, np.ndarray, dict,
    Array, Seeded, type(None),
]  # fmt: skip
"""Static classes of C, those on the heap, and classes that derive from them."""


@pytest.mark.parametrize("cls", NATIVE, ids=lambda cls: cls.__name__)
def test_a_class_made_in_c_cannot_be_registered(cls: type) -> None:
    with pytest.raises(saver.CannotSaveError, match="whose state is not in attributes"):
        saver.register(cls)


def test_nor_can_a_class_of_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    cls = type("Colored", (torch.Tensor,), {"__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Colored", cls, raising=False)
    test_a_class_made_in_c_cannot_be_registered(cls)


def test_classes_made_by_class_statements_can() -> None:
    for cls in (Plain, Slotted, Derived):
        saver.register(cls)
        made = cls()
        made.a = [1]
        assert saver.loads(saver.dumps(made)).a == [1]


def test_register_is_offered_where_it_works() -> None:
    with pytest.raises(saver.CannotSaveError, match=r"saver\.register\(Own\)"):
        saver.dumps(Own())

    class Local:
        pass

    with pytest.raises(saver.CannotSaveError, match="Local has no data form") as caught:
        saver.dumps(Local())
    assert "saver.register" not in str(caught.value)


structures = st.recursive(
    st.sampled_from(["good", "lock", "own", "lambda"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def built(plan: Any, path: str, bad: list[str]) -> Any:
    """The object of a plan; the paths of what cannot be saved are added to `bad`."""
    if isinstance(plan, list):
        return [built(item, f"{path}[{at}]", bad) for at, item in enumerate(plan)]
    if isinstance(plan, dict):
        return {key: built(item, f"{path}.{key}", bad) for key, item in plan.items()}
    if plan == "good":
        return 1
    bad.append(path)
    return {"lock": threading.Lock, "own": Own, "lambda": lambda: lambda: 0}[plan]()


@given(structures, structures)
def test_all_that_cannot_be_saved_is_named_at_once(first: Any, second: Any) -> None:
    bad: list[str] = []
    obj = {"x": built(first, "$.x", bad), "y": built(second, "$.y", bad)}
    if not bad:
        saver.dumps(obj)
        return
    with pytest.raises(saver.CannotSaveError) as caught:
        saver.dumps(obj)
    found = re.findall(r"\$[.][xy][\w.\[\]]*(?=[,:])", str(caught.value))
    if len(bad) < LIMIT:
        assert sorted(found) == sorted(bad)
    else:
        assert len(found) == LIMIT
        assert set(found) <= set(bad)


def test_classes_to_register_come_as_one_line() -> None:
    with pytest.raises(saver.CannotSaveError) as caught:
        saver.dumps([Own(), Other(), Own()])
    assert str(caught.value).endswith(": saver.register(Own); saver.register(Other)")
    assert "(1) $.model[0], $.model[2]: " in str(caught.value)


def test_of_very_many_only_some_are_named() -> None:
    with pytest.raises(saver.CannotSaveError, match="at least 20 objects cannot be saved") as caught:
        saver.dumps([threading.Lock() for _ in range(1000)])
    assert str(caught.value).count("$.model[") == LIMIT


def test_a_container_is_not_blamed_for_what_it_holds() -> None:
    with pytest.raises(saver.CannotSaveError) as caught:
        saver.dumps({"a": {1, threading.Lock()}, "b": (lambda: 0,)})
    assert "2 objects" in str(caught.value)


@pytest.mark.parametrize("place", ["a.saver", Path("a.saver")])
def test_swapped_arguments_are_reported(place: Any) -> None:
    with pytest.raises(TypeError, match=r"the object comes first: saver\.dump\(obj, 'a\.saver'\)"):
        saver.dump(place, {"model": 1})  # type: ignore[arg-type]


def test_trust_is_a_list_of_names() -> None:
    data = saver.dumps(1)
    with pytest.raises(TypeError, match=r'trust=\["mypackage\.\*"\]'):
        saver.loads(data, trust=True)  # type: ignore[arg-type]
    for given_class in (Own, [Own]):
        with pytest.raises(TypeError, match=rf'trust=\["{Own.__module__}\.Own"\]'):
            saver.loads(data, trust=given_class)  # type: ignore[arg-type]


def test_a_restore_that_matched_nothing_warns_and_suggests_what_would(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    saver.dump({"model": torch.nn.Sequential(torch.nn.Linear(2, 3))}, tmp_path / "a.saver")
    target = torch.nn.ModuleDict({"encoder": torch.nn.Sequential(torch.nn.Linear(2, 3))})
    with pytest.warns(UserWarning, match="of model, no name matched") as met:
        report = saver.restore(tmp_path / "a.saver", {"model": target}, strict=False)
    assert met[0].filename == __file__
    old, new = report.parts["model"].renaming or ("", "")
    assert f"names={{{old!r}: {new!r}}}" in str(met[0].message)
    assert saver.restore(tmp_path / "a.saver", {"model": target}, names={old: new})


class Text(str):
    """A string of another class, which a JSON object would not keep."""


def test_a_key_is_not_taken_for_an_equal_one_of_another_class() -> None:
    names = Names()
    assert names.are(["a"])
    assert names.are({"a": 1})
    assert not names.are([Text("a")])
    assert not names.are(["a", "$a"])
    assert not names.are(["a", "\ud800"])
