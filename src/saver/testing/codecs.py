"""Tests of what every family must do."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from saver import registry, trust
from saver.codec import Budget, Decoder, check
from saver.encoding import encode
from saver.errors import SaverError, UntrustedError
from saver.repo.manifest import structure
from saver.tensors import MemoryTensors, TensorData, pieces
from saver.tree import Node, Reference, Tensor, parse, settle, to_json

CHANGES = 200
"""How many changed trees are tried for each sample."""


class CodecTests:
    """Tests of a family: subclass it, name the family and what it saves, and run pytest.

        class TestGeometry(CodecTests):
            family = "geometry"
            samples = {"square": lambda: Polygon(...), "empty": lambda: Polygon(...)}
            trust = ("family:geometry",)

    Each sample is made anew for each test, and must be equal each time. The tests check what the page on
    families calls duties: the same bits, equal bytes for equal objects, no code run and no input trusted,
    and a declaration that imports nothing.
    """

    family: ClassVar[str]
    """The family's name."""

    samples: ClassVar[Mapping[str, Callable[[], Any]]]
    """Name → a function that makes an object; together they should use every codec of the family."""

    trust: ClassVar[tuple[str, ...]] = ()
    """What loading must trust, as in `saver.load(trust=...)`."""

    def same(self, saved: Any, loaded: Any) -> bool:
        """Whether the loaded object equals the saved one. By default: whether it would be saved as the same
        bytes."""
        return bytes_of(saved) == bytes_of(loaded)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each sample."""
        if "sample" in metafunc.fixturenames:
            metafunc.parametrize("sample", list(type(self).samples))

    def test_it_comes_back(self, sample: str) -> None:
        made = self.samples[sample]()
        assert self.same(made, load(StoredObject(made), self.trust))

    def test_equal_objects_have_equal_bytes(self, sample: str) -> None:
        assert bytes_of(self.samples[sample]()) == bytes_of(self.samples[sample]())

    def test_what_is_shared_is_shared_again(self, sample: str) -> None:
        made = self.samples[sample]()
        first, again = load(StoredObject([made, made]), self.trust)
        assert first is again or self.same(first, again)

    def test_the_declaration_imports_nothing_of_the_library(self) -> None:
        package = registry.family(self.family).packages[0]
        if package in ("builtins", "numpy", "saver"):
            return  # always importable
        program = (
            "import sys\nfrom saver import registry\n"
            f"family = registry.family({self.family!r})\n"
            "family.named_references, family.module('reading')\n"
            f"assert {package!r} not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)

    def test_a_foreign_class_is_refused(self, sample: str) -> None:
        saved = StoredObject(self.samples[sample]())
        for node in list(saved.nodes()):
            if "class" in node:
                node["class"] = "os:system"
                with pytest.raises(UntrustedError, match=r"os\.system"):
                    load(saved, self.trust)
                return

    def test_no_attribute_takes_the_place_of_a_method(self, sample: str) -> None:
        """A name of the class, put into any object of a state, is refused, or does not become an
        attribute."""
        saved = StoredObject(self.samples[sample]())
        evil = {"$": "function", "class": "builtins:abs"}
        before = overridden(load(saved, self.trust))
        for number, node in enumerate(list(saved.nodes())):
            cls = resolved(node)
            for at in range(len(objects(node.get("state")))) if cls is not None else ():
                for name in methods(cls):
                    changed = saved.copy()
                    target = objects(list(changed.nodes())[number]["state"])[at]
                    target[name] = copy.deepcopy(evil)
                    try:
                        found = load(changed, self.trust)
                    except SaverError:
                        continue
                    assert overridden(found) == before, f"{trust.dotted(node['class'])}: {name}"

    def test_a_changed_tree_loads_or_raises_a_saver_error(self, sample: str) -> None:
        """No other error, no crash."""
        honest, draw = StoredObject(self.samples[sample]()), random.Random(sample)
        for _ in range(CHANGES):
            changed = honest.copy()
            change(changed.trees, draw)
            try:
                load(changed, self.trust)
            except SaverError:
                continue


class StoredObject:
    """An object as it would be stored: the JSON of its trees, and its tensors."""

    def __init__(self, obj: Any) -> None:
        encoded = encode({"part": obj})
        part = encoded.parts["part"]
        self.trees: Any = msgspec.json.decode(structure(part.tree, part.batches))
        self.tensors = {name: _copied(data) for name, data in encoded.tensors.items()}

    def copy(self) -> StoredObject:
        """A copy that may be changed."""
        found = copy.copy(self)
        found.trees = copy.deepcopy(self.trees)
        return found

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Every node, as it is written."""
        return (item for item in everything(self.trees) if isinstance(item, dict) and "$" in item)


def _copied(data: TensorData) -> TensorData:
    """A copy in its own memory, flat."""
    return TensorData(data.dtype, data.shape, np.concatenate([np.empty(0, np.uint8), *pieces(data)]))


def load(saved: StoredObject, trusted: tuple[str, ...]) -> Any:
    """What loading would return: parsed, audited, built."""
    found: list[Node | Tensor | Reference] = []
    trees = parse(copy.deepcopy(saved.trees), "$", found)
    settle(found, "part")
    nodes = check(found, saved.tensors, "$")
    trust.audit(nodes, trusted, "$")
    if type(trees) is not list or len(trees) != 2 or type(trees[1]) is not dict:
        return None  # it was not a tree with its batches
    return Decoder(nodes, trees[1], MemoryTensors(saved.tensors), "$", Budget(1 << 20))(trees[0])


def bytes_of(obj: Any) -> tuple[bytes, list[Any]]:
    """All bytes that an object is stored as."""
    saved = StoredObject(obj)
    tensors = sorted(saved.tensors.items())
    return to_json(saved.trees), [
        (name, d.dtype, d.shape, b"".join(map(bytes, pieces(d)))) for name, d in tensors
    ]


def everything(value: Any) -> Iterator[Any]:
    """Every value below a JSON value, and itself."""
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(item)


def objects(state: Any) -> list[dict[str, Any]]:
    """The JSON objects that belong to a state itself."""
    if isinstance(state, list):
        return [found for item in state for found in objects(item)]
    if not isinstance(state, dict) or any(key.startswith("$") for key in state):
        return []
    return [state, *(found for item in state.values() for found in objects(item))]


def resolved(node: dict[str, Any]) -> type | None:
    """The class of which a node is an instance; None if it names no class."""
    found = trust.resolve(node["class"]) if isinstance(node.get("class"), str) else None
    return found if isinstance(found, type) and node["$"] not in trust.REFERENCE_CODECS else None


def methods(cls: type | None) -> list[str]:
    """Some names that a class has functions for, and some that Python looks up."""
    names = sorted(
        {name for base in (cls or object).__mro__ for name, value in vars(base).items() if callable(value)}
    )
    plain = [name for name in names if not name.startswith("__")]
    return [*plain[:: max(1, len(plain) // 8)], "__array__", "__reduce_ex__", "__deepcopy__"]


def overridden(found: Any) -> set[str]:
    """The names of functions of its class that an object overrides with a function of its own."""
    kinds = (types.FunctionType, types.BuiltinFunctionType)
    own = getattr(found, "__dict__", {})
    return {name for name, value in own.items() if isinstance(value, kinds) and hasattr(type(found), name)}


_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3,
    2**31,
    2**63,
    -(2**63),
    0.5,
    "",
    "x",
    "<f8",
    "$",
    [],
    {},
    [1],
    {"a": 1},
)


def change(root: Any, draw: random.Random) -> None:
    """Replace, remove, duplicate or move something, somewhere in a JSON value."""
    places = [
        (holder, key)
        for holder in everything(root)
        if isinstance(holder, (dict, list))
        for key in (list(holder) if isinstance(holder, dict) else range(len(holder)))
    ]
    holder, key = draw.choice(places)
    other, there = draw.choice(places)
    what = draw.randrange(4)
    if what == 0:
        del holder[key]
    elif what == 1:
        holder[key] = copy.deepcopy(other[there])
    elif what == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = copy.deepcopy(draw.choice(_VALUES))
