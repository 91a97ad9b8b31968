"""What `dump` accepts comes back whole: no attribute is dropped, no class is saved under a name that leads
nowhere. What cannot come back is refused when it is saved, at its place, with the next step."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import io
import struct
import sys
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

import saver
from saver import trust

HERE = (f"{__name__}.*",)


def back(obj: Any) -> Any:
    return saver.loads(saver.dumps(obj), trust=HERE)


# --- attributes ---------------------------------------------------------------------------------------------


class Point(collections.namedtuple("Pair", "x y")):
    """A named tuple with room for more."""


def test_an_attribute_of_a_named_tuple_comes_back_or_is_refused_with_its_place() -> None:
    point = Point(1, 2)
    assert back(point) == point
    point.colour = ["red", point]
    found = back(point)
    assert found == point
    assert found.colour == ["red", found]
    assert found.colour[1] is found
    vars(point)["count"] = 5
    with pytest.raises(
        saver.CannotSaveError, match=r"^\$\.here\[1\]: .*a method.*'count', which an attribute"
    ):
        saver.dumps({"here": [0, point]})


@pytest.mark.parametrize("items", [(), (1,), (1, 2, 3)])
def test_a_named_tuple_of_the_wrong_length_is_refused_with_its_place(items: tuple[int, ...]) -> None:
    wrong = tuple.__new__(Point, items)
    why = rf"^\$\.here\[1\]: a Point has 2 fields, and this one holds {len(items)} items; make it anew"
    with pytest.raises(saver.CannotSaveError, match=why):
        saver.dumps({"here": [0, wrong]})


@pytest.mark.parametrize("set_by", ["hand", "update_wrapper"])
def test_attributes_of_a_partial_are_refused(set_by: str) -> None:
    found = functools.partial(np.clip, a_min=0)
    assert back(found)(-1, a_max=3) == 0
    if set_by == "hand":
        found.note = 5
    else:
        functools.update_wrapper(found, np.clip)
    with pytest.raises(saver.CannotSaveError, match="was set on a partial"):
        saver.dumps(found)


def test_attributes_of_a_frame_are_refused_and_those_in_attrs_kept() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": ["x"]})
    frame.attrs["note"] = 5
    assert list(frame["a"].str.upper()) == ["X"]  # pandas keeps an accessor, not an attribute of a user
    frame["a"].str  # noqa: B018
    assert back(frame).attrs == {"note": 5}
    column = frame["a"]
    column.str  # noqa: B018
    back(column)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.note = [1]
    with pytest.raises(saver.CannotSaveError, match="'note' was set on a DataFrame"):
        saver.dumps(frame)


@saver.register
class Base:
    __slots__ = ("__hidden", "first")


@saver.register
class Slotted(Base):
    __slots__ = ("second", "unset")

    def __init__(self) -> None:
        self.first, self.second = [1], {"two": 2}
        self._Base__hidden = "kept"


def test_slots_of_a_class_and_of_its_bases_come_back() -> None:
    found = back(Slotted())
    assert (found.first, found.second, found._Base__hidden) == ([1], {"two": 2}, "kept")
    assert not hasattr(found, "unset")


def test_slots_of_estimators_splitters_and_modules_come_back() -> None:
    base = pytest.importorskip("sklearn.base")
    selection, torch = pytest.importorskip("sklearn.model_selection"), pytest.importorskip("torch")
    this = sys.modules[__name__]
    for parent, arguments in ((base.BaseEstimator, ()), (selection.KFold, (3,)), (torch.nn.Linear, (2, 2))):
        name = f"With{parent.__name__}"
        body = {"__slots__": ("extra", "_own"), "__module__": __name__}
        cls = type(name, (parent,), body)
        with mock.patch.object(this, name, cls, create=True):
            made: Any = cls(*arguments)
            object.__setattr__(made, "extra", np.arange(3))
            object.__setattr__(made, "_own", "kept")
            found = back(made)
            assert (found.extra.tolist(), found._own) == ([0, 1, 2], "kept"), name


# --- generators ---------------------------------------------------------------------------------------------


def distributions() -> dict[str, Callable[[], Any]]:
    stats = pytest.importorskip("scipy.stats")
    histogram = (np.array([1, 4, 2]), np.array([0.0, 0.1, 0.2, 0.3]))
    uneven = (np.array([1, 4, 2]), np.array([0.0, 0.1, 0.3, 0.7]))

    def restarted() -> Any:
        frozen = stats.norm(2)
        frozen.random_state = 3
        return frozen

    return {
        "a sample": lambda: stats.rv_discrete(values=([1, 2, 3], [0.2, 0.3, 0.5]), seed=3),
        "a histogram": lambda: stats.rv_histogram(histogram, density=False, seed=np.random.default_rng(3)),
        "an even one": lambda: stats.rv_histogram(histogram, seed=4),
        "an uneven one": lambda: stats.rv_histogram(uneven, density=True, seed=5),
        "a copy": lambda: type(stats.norm)(name="norm", seed=5),
        "a frozen sample": lambda: stats.rv_discrete(values=([1, 2], [0.5, 0.5]), seed=3)(),
        "a frozen one": restarted,
    }


@pytest.mark.parametrize("name", list(distributions()))
def test_the_generator_of_a_distribution_goes_on(name: str) -> None:
    made = distributions()[name]()
    made.rvs(size=5)
    found = back(made)
    assert found.rvs(size=20).tolist() == made.rvs(size=20).tolist()
    if hasattr(made, "freeze"):
        assert found().rvs(size=9).tolist() == made().rvs(size=9).tolist()


# --- names --------------------------------------------------------------------------------------------------

Renamed = collections.namedtuple("Another", "a b")
Colour = enum.Enum("Coloured", "RED GREEN")
Made = dataclasses.make_dataclass("Mode", ["a"])


class Known(collections.namedtuple("Known", "a")):
    __slots__ = ()


Before = Known


class Known(collections.namedtuple("Known", "a")):  # type: ignore[no-redef]
    __slots__ = ()


class Gone:
    pass


gone = trust.register(Gone)
instance = Gone()
del Gone


def local() -> Any:
    @dataclasses.dataclass
    class Inner:
        a: int = 1

    return Inner()


LOST: dict[str, tuple[Callable[[], Any], str]] = {
    "a named tuple whose variable has another name": (lambda: Renamed(1, 2), r"\.Another .*leads nowhere"),
    "an enum whose variable has another name": (lambda: Colour.RED, r"\.Coloured .*leads nowhere"),
    "a dataclass that was made": (lambda: Made(1), r"\.Mode .*leads nowhere"),
    "a class that was deleted": (lambda: instance, r"\.Gone .*leads nowhere"),
    "a class that was defined anew": (lambda: Before(1), "another class of that name"),
    "a class within a function": (local, "defined inside a function"),
    "a class as a value": (lambda: Before, "another class of that name"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_class_that_its_name_does_not_lead_to_is_refused(case: str) -> None:
    make, why = LOST[case]
    with pytest.raises(saver.CannotSaveError, match=rf"^\$\.part\[0\]: .*{why}"):
        saver.dumps({"part": [make()]})


def test_classes_that_libraries_know_are_refused_when_they_were_made() -> None:
    base, torch = pytest.importorskip("sklearn.base"), pytest.importorskip("torch")
    selection = pytest.importorskip("sklearn.model_selection")
    for parents, arguments in (
        ((base.BaseEstimator,), ()), ((selection.KFold,), (3,)), ((torch.nn.Linear,), (2, 2)),
        ((torch.optim.SGD,), ([torch.zeros(1)],)),
    ):  # fmt: skip
        made = type("MadeHere", parents, {})(*arguments)
        with pytest.raises(saver.CannotSaveError, match=r"MadeHere cannot be found again.*class statement"):
            saver.dumps(made)


def test_a_class_within_a_class_is_found() -> None:
    assert back(Outer.Inner(3)) == Outer.Inner(3)


class Outer:
    @dataclasses.dataclass
    class Inner:
        a: int


# --- values that are out of the ordinary --------------------------------------------------------------------


class Open(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        found = object.__new__(cls)
        found._value_, found._name_ = value, None
        return found


def zone_of_a_file() -> Any:
    header = b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4)
    return zoneinfo.ZoneInfo.from_file(
        io.BytesIO(header + struct.pack(">iBB", 0, 0, 0) + b"ABC\0"), key="My/Own"
    )


def padded() -> Any:
    form: Any = {"names": ["a"], "formats": ["O"], "offsets": [0], "itemsize": 100_000}
    return np.zeros(2, np.dtype(form))


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "text beyond Unicode": (lambda: np.array([0x110005], np.uint32).view("U1"), "beyond Unicode"),
    "many empty elements": (lambda: np.empty(1 << 25, "V0"), "too many empty elements"),
    "an array with metadata": (lambda: np.zeros(900, np.dtype("i4", metadata={"a": 1})), "has metadata"),
    "a dtype with metadata": (lambda: np.dtype("i4", metadata={"a": 1}), r"metadata.*numpy\.dtype\('<i4'\)"),
    "a masked matrix": (lambda: np.ma.array(np.eye(2).view(np.matrix)), "are a matrix, not a plain"),
    "fields far apart": (padded, "100000 bytes each"),
    "an enum's value that is not a member": (lambda: Open(7), "not a member of Open; save its value"),
    "a zone from a file": (zone_of_a_file, r"use ZoneInfo\(key\)"),
}


@pytest.mark.parametrize("case", ODD)
def test_a_value_that_could_not_be_loaded_is_refused(case: str) -> None:
    make, why = ODD[case]
    with pytest.raises(saver.CannotSaveError, match=rf"^\$\.part\[0\].*{why}"):
        saver.dumps({"part": [make()]})


def test_a_sample_of_objects_is_refused() -> None:
    stats = pytest.importorskip("scipy.stats")
    with pytest.raises(saver.CannotSaveError, match="not an array of numbers"):
        saver.dumps(stats.rv_discrete(values=(np.array([1, 2], object), [0.5, 0.5])))


def test_an_array_of_records_without_fields_comes_back() -> None:
    made = np.zeros(3).view(np.recarray)
    found = back(made)
    assert (type(found), found.dtype, found.tolist()) == (np.recarray, made.dtype, made.tolist())
