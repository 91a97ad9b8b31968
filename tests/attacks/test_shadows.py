"""No attribute of a file takes the place of a method, a property or anything else that a class has.

Every class that the default policy can build is enumerated, and every name that it has.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import registry, trust
from saver.codec import Decoder, door
from saver.errors import CannotSaveError, IncompatibleError
from saver.opening import open_file
from saver.restoring import restore
from saver.tree import Node, walk

EVIL = Node("function", "numpy:log1p")

REFUSED = (
    r"is not understood here: (ValueError: .*(attribute|name|cannot be a function)"
    r"|TypeError: Can't instantiate abstract class)"
)

WITHOUT = {
    "sklearn.loss": "built from numbers alone",
    "flax.variable": "what it holds beside its value is in a dict of its own, where Flax looks last",
    "keras.object": "not a codec, but what a configuration of Keras may name",
}
"""Codecs whose nodes set no attributes, and why."""

INSTANCE = {
    "statsmodels.object": {"_cache", "variance", "link", "links", "safe_links", "valid", "data_attr"},
    "flax.module": {"tx"},
}
"""Names that instances hold though their class has a value for them: the codec checks what they are."""

SPECIAL = (
    "__array__", "__array_interface__", "__array_struct__", "__array_ufunc__", "__array_function__",
    "__cuda_array_interface__", "__array_priority__", "__call__", "__class__", "__deepcopy__", "__copy__",
    "__del__", "__dict__", "__dlpack__", "__fspath__", "__getattr__", "__getstate__", "__init__", "__iter__",
    "__len__",
    "__reduce__", "__reduce_ex__", "__repr__", "__setstate__", "__sklearn_tags__", "__sklearn_clone__",
    "__torch_function__", "__jax_array__", "__arrow_c_stream__", "__no_such_protocol_yet__",
)  # fmt: skip


def admitted() -> Iterator[tuple[str, str]]:
    """Codec and class name of all classes that the default policy lets a file ask for; of a library that is
    not installed one, whose tests are skipped."""
    for family in registry.families():
        if family.classes:
            folder = Path(sys.modules[f"saver.families.{family.name}"].__path__[0])
            listed = json.loads((folder / family.classes.partition(":")[2]).read_text())["codecs"]
            items = ((codec, name) for codec, names in listed.items() for name in names)
            items = (item for item in items if item[0] not in WITHOUT)
            yield from items if find_spec(family.name) else islice(items, 1)


ADMITTED = list(admitted())


def resolved(name: str) -> type:
    """The class, or a skip where this version of the library has none of that name."""
    pytest.importorskip(name.partition(".")[0].partition(":")[0])
    try:
        found = trust.resolve(name)
    except (saver.NotFoundError, IncompatibleError):
        pytest.skip(f"{name} is of another version of its library")
    assert isinstance(found, type)
    return found


def taken(cls: type) -> set[str]:
    """All names that a class has for functions, properties, classes and other descriptors. Its slots are
    where attributes belong."""
    slots = {
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if isinstance(value, types.MemberDescriptorType) and base.__flags__ & 1 << 9
    }
    nearest = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return {
        name
        for name, value in nearest.items()
        if callable(value)
        or hasattr(type(value), "__get__")
        or hasattr(type(value), "__set__")
        or isinstance(value, (property, classmethod, staticmethod))
    } - slots | set(SPECIAL)


def state_with(codec: str, cls: type, name: str) -> Any:
    """The least state of a node of that codec that has an attribute of this name."""
    own = {name: EVIL}
    if codec in ("torch.Module", "torch.LRScheduler"):
        return {"attributes": own}
    if codec in ("skorch.net", "skorch.object"):
        return {"attributes": own, "named": {}}
    if codec == "derived":
        base = next(base for base in cls.__mro__ if base.__module__ == "builtins")
        return [base.__name__, [] if base in (list, set) else {}, own]
    if codec == "statsmodels.object":
        return {"attributes": own}
    if codec == "statsmodels.space":
        return {"attributes": own, "apart": [], "makes": {}}
    if codec == "equinox.module":
        return {"fields": own}
    if codec == "flax.module":
        return {"attributes": own, "data": [], "static": []}
    if codec == "tensorflow.module":
        return {"attributes": own, "tracked": [], "scope": ""}
    if codec == "torch.Optimizer":
        return {"attributes": own, "param_groups": Node("list", state=[]), "state": [], "scheduled": False,
                "torch": "0"}  # fmt: skip
    return own


def decode(node: Node) -> Any:
    nodes = [item for item in walk(node) if isinstance(item, Node)]
    return Decoder(nodes, {}, None)(node)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "name"), ADMITTED, ids=lambda value: value)
def test_every_name_that_a_class_has_is_refused(codec: str, name: str) -> None:
    cls = resolved(name)
    names = taken(cls) - INSTANCE.get(codec, set())
    assert len(names) > 20
    for attribute in sorted(names - set(getattr(cls, "__dataclass_fields__", ()))):
        node = Node(codec, name, state=state_with(codec, cls, attribute))
        with pytest.raises(IncompatibleError, match=REFUSED):
            decode(node)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "name"), [item for item in ADMITTED if item[0] == "torch.Module"],
                         ids=lambda value: value)  # fmt: skip
@pytest.mark.parametrize("kind", ["parameters", "buffers", "modules"])
def test_no_parameter_or_module_is_called_like_a_method(kind: str, codec: str, name: str) -> None:
    cls = resolved(name)
    for attribute in sorted(taken(cls)):
        node = Node(codec, name, state={"attributes": {}, kind: {attribute: None}})
        with pytest.raises(IncompatibleError, match=r"attribute|name"):
            decode(node)


def holders() -> Iterator[tuple[str, type, Any]]:
    """Codecs of objects with free attributes, or items that show as such, and how their state is made."""
    yield "stdlib.SimpleNamespace", types.SimpleNamespace, lambda name: {name: EVIL}
    yield "stdlib.OrderedDict", OrderedDict, lambda name: [{}, {name: EVIL}, "attributes"]
    optimize = pytest.importorskip("scipy.optimize")
    yield "scipy.OptimizeResult", optimize.OptimizeResult, lambda name: ["OptimizeResult", [[name], [EVIL]]]
    bunch = pytest.importorskip("sklearn.utils").Bunch
    yield "sklearn.bunch", bunch, lambda name: [[name], [EVIL]]
    torch = pytest.importorskip("torch")
    tensor = {"data": "00000000", "dtype": "float32"}
    yield "torch.Tensor", torch.Tensor, lambda name: {**tensor, "attributes": {name: EVIL}}
    yield "torch.Tensor", torch.nn.Parameter, lambda name: {
        **tensor, "parameter": True, "attributes": {name: EVIL}
    }  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_objects_with_free_attributes_have_none_that_their_class_has(number: int) -> None:
    codec, cls, state = list(holders())[number]
    for attribute in sorted(taken(cls)):
        node = Node(codec, state=state(attribute))
        with pytest.raises(IncompatibleError, match="is not understood here: ValueError"):
            decode(node)


@pytest.mark.parametrize("codec", ["dict", "sklearn.bunch"])
@pytest.mark.parametrize("name", ["__array__", "__array_interface__", "keys", "__deepcopy__"])
def test_no_item_is_restored_into_a_mapping_that_shows_it_as_an_attribute(
    name: str, codec: str, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    from forge import forged
    from sklearn.utils import Bunch

    file = forged(tmp_path, [Bunch(a=1)])
    file.tree["state"][0] = {"$": codec, "state": [[name], [1]]}
    target, whole = Bunch(a=2), open_file(file.write(tmp_path / "bad.saver"))
    if codec == "dict":  # which takes the place of another kind of object
        restore(whole, {"model": [target]}, strict=False)
    else:
        with pytest.raises(IncompatibleError, match="attribute"):
            restore(whole, {"model": [target]}, strict=False)
    assert target == {"a": 2}
    file.tree = file.tree["state"][0]
    with pytest.raises(IncompatibleError, match="attribute"):
        restore(open_file(file.write(tmp_path / "bad.saver")), {"model": target}, strict=False)
    assert target == {"a": 2}


LABELS = ["__array__", "__array_interface__", "__array_struct__", "__deepcopy__", "__anything__"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("where", ["rows", "columns", "categories", "level", "rows of strings"])
def test_no_label_of_pandas_is_looked_up_by_numpy(where: str, label: str, tmp_path: Path) -> None:
    """pandas shows labels as attributes; NumPy would take one for a pointer."""
    pd = pytest.importorskip("pandas")
    labels = pd.Index([label, "b"], dtype=object)
    made = {
        "rows": lambda: pd.Series([1, 2], labels),
        "columns": lambda: pd.DataFrame([[1, 2]], columns=labels),
        "categories": lambda: pd.Series([1, 2], pd.CategoricalIndex([label, "b"])),
        "level": lambda: pd.Series([1, 2], pd.MultiIndex.from_arrays([[label, "b"], [1, 2]])),
        "rows of strings": lambda: pd.Series([1, 2], pd.Index([label, "b"], dtype="str")),
    }
    with pytest.raises(CannotSaveError, match="look up by themselves"):
        saver.dump(made[where](), tmp_path / "a.saver")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", ["row", "column"])
def test_a_forged_label_is_refused(kind: str, label: str, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    from forge import forged

    honest = "q" * len(label)
    labels = pd.Index([honest, "b"], dtype=object)
    file = forged(
        tmp_path, pd.Series([1, 2], labels) if kind == "row" else pd.DataFrame([[1, 2]], columns=labels)
    )
    text = json.dumps(file.manifest)
    assert honest in text
    file.manifest = json.loads(text.replace(honest, label))
    with pytest.raises(IncompatibleError, match="look up by themselves"):
        saver.load(file.write(tmp_path / "bad.saver"))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", ["recarray", "record", "nested"])
def test_no_field_of_a_record_is_looked_up_by_itself(kind: str, label: str, tmp_path: Path) -> None:
    """Records show their fields as attributes."""
    from forge import forged

    def records(name: str) -> Any:
        inner = [("outer", [(name, "<f8")])] if kind == "nested" else [(name, "<f8")]
        made = np.zeros(2, inner).view(np.recarray)
        return made[0] if kind == "record" else made

    with pytest.raises(CannotSaveError, match="look up by themselves"):
        saver.dump(records(label), tmp_path / "a.saver")
    file = forged(tmp_path, records("q" * len(label)))
    file.manifest = json.loads(json.dumps(file.manifest).replace("q" * len(label), label))
    with pytest.raises(IncompatibleError, match="look up by themselves"):
        saver.load(file.write(tmp_path / "bad.saver"))


ran: list[str] = []


@dataclasses.dataclass(slots=True)
class Slotted:
    """A dataclass whose field is a property further down: a setter that runs."""

    size: int

    @property
    def area(self) -> int:
        return self.size**2

    @area.setter
    def area(self, value: int) -> None:
        ran.append("area")


class _Guarded:
    @property
    def size(self) -> int:
        return 0

    @size.setter
    def size(self, value: int) -> None:
        ran.append("size")


@dataclasses.dataclass
class Guarded(_Guarded):
    """A field whose name is a property of a base."""

    other: int = 3


@dataclasses.dataclass
class Plain:
    """Defaults that are functions are data of a dataclass; what is cached is made anew."""

    scale: Any = np.log1p
    names: list[str] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def doubled(self) -> list[str]:
        return self.names * 2

    def __setattr__(self, name: str, value: Any) -> None:
        ran.append(name)
        object.__setattr__(self, name, value)


@pytest.mark.parametrize(("cls", "name"), [(Slotted, "area"), (Guarded, "size"), (Plain, "doubled")])
def test_no_setter_of_a_trusted_class_runs(cls: type, name: str) -> None:
    ran.clear()
    node = Node("dataclass", f"{cls.__module__}:{cls.__qualname__}", state={name: 1})
    with pytest.raises(IncompatibleError, match=f"called '{name}'"):
        decode(node)
    assert ran == []


def test_slots_fields_and_cached_properties_come_back(tmp_path: Path) -> None:
    plain = Plain(np.sqrt, ["a"])
    assert plain.doubled == ["a", "a"]
    ran.clear()
    saver.dump([Slotted(4), plain], tmp_path / "a.saver")
    slotted, found = saver.load(tmp_path / "a.saver", trust=[f"{__name__}.*"])
    assert (slotted.size, found.scale, found.names) == (4, np.sqrt, ["a"])
    assert ran == []
    assert "doubled" not in vars(found)
    assert found.doubled == ["a", "a"]


class Shade(enum.Flag):
    """Flags with code for values that they do not know."""

    LIGHT = 1
    DARK = 2

    @classmethod
    def _missing_(cls, value: object) -> Any:
        ran.append("missing")
        return super()._missing_(value)


def test_no_code_of_an_enum_runs(tmp_path: Path) -> None:
    saver.dump([Shade.LIGHT, Shade.LIGHT | Shade.DARK], tmp_path / "a.saver")
    ran.clear()
    Shade._value2member_map_.pop(3, None)
    found = saver.load(tmp_path / "a.saver", trust=[f"{__name__}.*"])
    assert ran == []
    assert found == [Shade.LIGHT, Shade.LIGHT | Shade.DARK]
    for state in (["x"], [7.0], [[1]], [64]):
        node = Node("enum", f"{__name__}:Shade", state=state)
        with pytest.raises(IncompatibleError):
            decode(node)
    assert ran == []


class Shadowing:
    """Someone's own class, whose instances carry what their class has a method for."""

    def predict(self) -> int:
        return 1


def test_an_honest_attribute_in_the_place_of_a_method_is_reported_when_saving(tmp_path: Path) -> None:
    saver.register(Shadowing)
    mine = Shadowing()
    mine.predict = np.log1p  # type: ignore[method-assign]
    with pytest.raises(CannotSaveError, match="Shadowing has a method called 'predict'"):
        saver.dump(mine, tmp_path / "a.saver")
    assert not (tmp_path / "a.saver").exists()


def test_what_a_class_says_of_itself_is_read_past_its_metaclass() -> None:
    class Lying(type):
        def __getattribute__(cls, name: str) -> Any:
            ran.append(name)
            return super().__getattribute__(name)

    class Victim(metaclass=Lying):
        def method(self) -> None: ...

    ran.clear()
    way = door(Victim)
    assert way.refusal("method") is not None
    assert way.refusal("free") is None
    assert set(ran) <= {"__flags__", "__module__", "__qualname__"}
