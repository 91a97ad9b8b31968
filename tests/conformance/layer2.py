# ruff: noqa: E501
"""Files of layer 2: manifests, and trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from layer1 import F64, Case, one
from pieces import Pack, b64, canonical, dumps, node

LIST = node("list", [])


def tree(value: Any) -> bytes:
    return Pack(tree=value).bytes()


def deep(levels: int) -> Any:
    """A list with so many levels of JSON, in a shape that is not a value: what is too deep is that first."""
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return node("object", {"a": found}, "m:C")


def nested(count: int) -> Any:
    found: Any = node("list", [])
    for _ in range(count - 1):
        found = node("list", [found])
    return found


def valid() -> Iterator[Case]:
    values = {
        "true": True, "string": "ä\U0001f600", "escapes": 'a"\\/\b\f\n\r\t\x00\x1f\x7f', "int": 2**53, "minus": -(2**53),
        "zero": 0, "float": 1.5, "float-small": 5e-324, "float-large": 1.7976931348623157e308,
        "float-digits": 0.1 + 0.2, "float-whole": {"$float": 1}, "float-zero": {"$float": 0},
        "float-minus-zero": {"$float": "-0"}, "float-text": {"$float": "9007199254740994"},
        "float-21": {"$float": "999999999999999900000"}, "float-minus": {"$float": "-100000000000000000000"},
        "list": node("list", [1, "a", None, True, 2.5]), "list-empty": LIST,
        "dict": node("dict", {"a": 1, "b": LIST}), "order": node("dict", {"$order": [1, 0], "a": 1, "b": 2}),
        "order-utf16": node("dict", {"$order": [1, 0], "\ufb01": 1, "\U0001f600": 2}),
        "order-none": node("dict", {"$order": [], }), "version": node("list", [], v=1),
        "shared": node("list", [node("list", [1], id=1), {"$ref": 1}]),
        "forward": node("list", [{"$ref": 7}, node("list", [], id=7)]),
        "cycle": node("list", [{"$ref": 1}], id=1),
        "cycle-dict": node("dict", {"a": {"$ref": 1}, "b": node("list", [{"$ref": 1}])}, id=1),
        "cycle-of-tuple": node("tuple", [node("list", [{"$ref": 1}])], id=1),
        "cycle-tuple": node("list", [node("tuple", [{"$ref": 1}])], id=1), "nested-149": nested(149),
        "nested-150": nested(150), "keys": node("dict", {"_": 1, "__array": 2, "a$": 3, "": 4, "__proto__": 5}),
        "part-of-another": node("list", []),
    }  # fmt: skip
    for name, value in values.items():
        yield name, None, tree(value), f"the value {dumps(value)[:70]}"
    for name, value in unsorted().items():
        made = Pack(tree=value)
        yield f"unsorted-{name}", None, replace(made, manifest_text=dumps(turned(made.made_manifest()))).bytes(), (
            f"keys that stand in the text in another order than the sorted one: {dumps(turned(value))[:70]}")  # fmt: skip
    parts = {"a": {"tree": 1}, "b": {"tree": 2}}
    made = Pack(parts=parts, manifest={"whole": True})
    found = replace(made, manifest_text=dumps(turned(made.made_manifest()))).bytes()
    yield "unsorted-parts", None, found, "parts that stand in the text in another order than the sorted one"
    parts = {"a": {"tree": node("list", [{"$ref": 1, "part": "b"}])}, "b": {"tree": node("list", [1], id=1)}}
    yield (
        "parts-ref",
        None,
        Pack(parts=parts, manifest={"whole": True}).bytes(),
        "a reference to another part",
    )
    parts = {"b": {"tree": 1}, "a": {"tree": 2}}
    found = Pack(parts=parts, manifest={"whole": True, "order": [1, 0]}).bytes()
    yield "parts-order", None, found, "parts in an order of their own"
    more = {
        "time": 1.5,
        "environment": {"packages": {"numpy": "2"}, "x": [1]},
        "requires": [],
        "unknown": {"a": 1},
    }
    yield "manifest-more", None, Pack(manifest=more).bytes(), "a manifest with optional and unknown fields"
    nulls = dict.fromkeys(("model", "number", "parent", "step"))
    yield "manifest-nulls", None, Pack(manifest=nulls).bytes(), "what belongs to a store is null"
    yield (
        "part-more",
        None,
        Pack(part={"version": 2, "packages": ["numpy"]}).bytes(),
        "a part with optional fields",
    )
    yield (
        "manifest-spaces",
        None,
        Pack(manifest_text=dumps(Pack().made_manifest()).replace(",", " ,\t")).bytes(),
        ("a manifest that is not canonical"),
    )


def unsorted() -> dict[str, Any]:
    """Values whose objects say their order otherwise than by how their keys stand in the text."""
    keys = dict.fromkeys(("", "10", "9", "a", "b", "\U0001f600", "\ufb01"), 1)
    return {
        "sorted": node("dict", {"a": 1, "b": node("list", [node("dict", {"c": 1, "d": 2})])}), "order": node("dict", {"$order": [1, 0, 2], "a": 1, "b": 2, "c": 3}),
        "utf16": node("dict", keys),
    }  # fmt: skip


def turned(value: Any) -> Any:
    """The same JSON, with the keys of each object the other way round."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def invalid() -> Iterator[Case]:
    yield from manifests()
    yield from nodes()
    yield from leaves()
    yield from classes()


def manifests() -> Iterator[Case]:
    yield "manifest-missing", "2.01", Pack(without=("saver.manifest",)).bytes(), "a pack of a store"
    for name, text in {"list": "[]", "null": "null", "text": '"a"', "number": "1"}.items():
        yield f"manifest-{name}", "2.01", Pack(manifest_text=text).bytes(), f"the manifest {text}"
    for name, value in {"2": 2, "0": 0, "text": "1", "true": True, "null": None, "list": [1]}.items():
        yield (
            f"manifest-format-{name}",
            "2.02",
            Pack(manifest={"format": value}).bytes(),
            f"the format {value}",
        )
    yield "manifest-format-missing", "2.02", Pack(without=("manifest.format",)).bytes(), "no format"
    yield "manifest-parts-missing", "2.03", Pack(without=("manifest.parts",)).bytes(), "no parts"
    wrong: dict[str, list[Any]] = {
        "parts": [[], None, "a", 5, {"model": []}, {"model": None}],
        "whole": [1, "true", None], "order": ["a", None, {}, [0.5], ["0"], [True]], "time": ["0", None, []],
        "environment": [[], None, "a", {"packages": []}, {"packages": {"a": 1}}], "requires": ["a", None, {}, [1]],
        "grid": [None, [], 5], "model": [5, []], "number": ["1", True, 1.5], "parent": ["1", []], "step": ["1", []],
        "metrics": [None, [], {"a": None}, {"a": []}], "notes": [None, 5], "author": [None, 5], "data": [None, []],
        "packs": [None, "a", {}], "tensors": [None, [], {"a": None}], "transaction": [None, 5],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = Pack(manifest_text=canonical(Pack().made_manifest() | {key: value})).bytes()
            yield f"manifest-{key}-kind-{at}", "2.03", found, f"`{key}` is {dumps(value)}"
    wrong = {
        "hash": [5, None], "version": ["1", None, 1.5, [], True], "batches": [[], None, "a"],
        "packages": ["a", None, {}, [1]], "document": [5, None, []], "content": [5, None],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = Pack(part={key: value}).bytes()
            yield f"part-{key}-kind-{at}", "2.03", found, f"`{key}` of a part is {dumps(value)}"
    text = canonical(Pack().made_manifest()).replace('"hash":"', '"hush":"')
    yield "part-hash-missing", "2.03", Pack(manifest_text=text).bytes(), "a part without hash"
    yield "requires", "2.04", Pack(manifest={"requires": ["new"]}).bytes(), "an unknown feature"
    yield "sole-name", "2.05", Pack(parts={"other": {"tree": 1}}).bytes(), "another part than `model`"
    two = {"model": {"tree": 1}, "other": {"tree": 2}}
    yield "sole-two", "2.05", Pack(parts=two).bytes(), "two parts, and not `whole`"
    yield "sole-none", "2.05", Pack(parts={}).bytes(), "no part, and not `whole`"
    for name, order in {
        "twice": [0, 0],
        "beyond": [0, 2],
        "few": [0],
        "many": [0, 1, 2],
        "minus": [-1, 0],
    }.items():
        found = Pack(
            parts={"a": {"tree": 1}, "b": {"tree": 2}}, manifest={"whole": True, "order": order}
        ).bytes()
        yield (
            f"parts-order-{name}",
            "2.03" if name == "minus" else "2.06",
            found,
            f"the order {order} of two parts",
        )
    text = canonical(Pack(tree="x").made_manifest()).replace(',"tree":"x"', "")
    yield "part-tree-missing", "2.07", Pack(manifest_text=text).bytes(), "a part without tree"
    yield "part-document", "2.07", Pack(part={"document": "0" * 64}).bytes(), "a part with a document"
    grid = {"cuts": [], "pages": [], "tensors": {}}
    found = Pack(manifest={"grid": grid, "requires": ["grid"]}).bytes()
    yield "manifest-grid", "2.07", found, "a file with a grid"


def nodes() -> Iterator[Case]:
    wrong: dict[str, list[Any]] = {
        "$": [5, None, []], "class": [5, None, []], "v": ["1", None, 1.5, [], True], "id": ["1", None, 1.5, [], True, -1],
        "x": [1], "State": [1],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = tree(node("list", []) | {key: value})
            yield (
                f"node-{key.strip('$') or 'codec'}-{at}",
                "2.08",
                found,
                f"a node with {key!r}: {dumps(value)}",
            )
    marked = {"tensor": {"$tensor": "a"}, "ref": {"$ref": 1}, "order": {"$order": []}, "float": {"$float": 1}}
    for name, more in marked.items():
        yield f"node-{name}", "2.08", tree(node("list", []) | more), f"a node that is also a {name}"
    twice = node("list", [node("list", [], id=1), node("list", [], id=1)])
    yield "id-twice", "2.09", tree(twice), "two nodes with the id 1"
    yield (
        "id-within",
        "2.09",
        tree(node("list", [node("list", [], id=1)], id=1)),
        "a node in one of the same id",
    )
    yield "codec-unknown", "2.17", tree(node("no.such.codec", [])), "an unknown codec"
    yield "codec-unknown-deep", "2.17", tree(node("list", [node("List", [])])), "an unknown codec in a list"
    yield "codec-empty", "2.17", tree(node("", [])), "a codec without name"
    for version in (0, 2, -1, 1000):
        found = tree(node("list", []) | {"v": version})
        yield f"version-{version}", "2.18", found, f"the version {version} of a list"
    bare = {"list": [], "dict": {}, "items": [1, 2], "object": {"a": 1}}
    for name, value in bare.items():
        yield f"bare-{name}", "2.21", tree(value), f"a bare {dumps(value)}"
        yield f"bare-{name}-in-list", "2.21", tree(node("list", [value])), f"a bare {dumps(value)} in a list"
        yield (
            f"bare-{name}-in-dict",
            "2.21",
            tree(node("dict", {"a": value})),
            f"a bare {dumps(value)} in a dict",
        )
    yield "bare-tensor", "2.21", bare_tensor(), "a tensor where a value belongs"
    yield "levels", "2.16", tree(deep(599)), "601 levels of JSON"
    yield "levels-many", "2.16", tree(deep(900)), "900 levels of JSON"
    cycles = {
        "tuple": node("tuple", [{"$ref": 1}], id=1), "set": node("set", [node("tuple", [{"$ref": 1}])], id=1),
        "frozenset": node("frozenset", [{"$ref": 1}], id=1),
        "key": node("dict", [[node("tuple", [{"$ref": 1}])], [1]], id=1),
        "slice": node("slice", [{"$ref": 1}, 1, 1], id=1), "two": node(
            "tuple", [node("tuple", [{"$ref": 1}])], id=1),
    }  # fmt: skip
    del cycles["key"], cycles["set"]
    for name, value in cycles.items():
        yield f"cycle-{name}", "2.22", tree(value), f"a {name} that contains itself"


def bare_tensor() -> bytes:
    pack = one()
    pack.tree = {"$tensor": "model"}
    return pack.bytes()


def leaves() -> Iterator[Case]:
    wrong: list[Any] = [
        {"$tensor": 5}, {"$tensor": None}, {"$tensor": "model", "x": 1}, {"$ref": "1"}, {"$ref": None},
        {"$ref": 1.5}, {"$ref": True}, {"$ref": 1, "x": 1}, {"$ref": 1, "part": 5}, {"$ref": 1, "part": None},
        {"$ref": 1, "part": "model", "x": 1}, {"$ref": 1, "$tensor": "model"}, {"$ref": []},
    ]  # fmt: skip
    for at, leaf in enumerate(wrong):
        pack = one()
        pack.tree = node("list", [leaf, node("list", [], id=1)])
        yield f"leaf-{at}", "2.10", pack.bytes(), f"a leaf {dumps(leaf)}"
    yield "tensor-unknown", "2.11", tree(node("numpy.array", {"$tensor": "x"})), "a tensor that is not there"
    pack = Pack(tree=node("list", []), part={"batches": {"list": {"$tensor": "x"}}})
    yield "tensor-unknown-batch", "2.11", pack.bytes(), "a tensor of a batch that is not there"
    for name, value in {"id": {"$ref": 2}, "part": {"$ref": 1, "part": "x"}, "zero": {"$ref": 0}}.items():
        found = tree(node("list", [node("list", [], id=1), value]))
        yield f"ref-{name}", "2.12", found, f"a reference {dumps(value)} to nothing"
    floats = [
        True, None, 2**53 + 2, "1", "0", "+1", "1.5", "nan", "inf", "-1", "1e5", "1_000_000_000_000_000_000", "",
        "٩٠٠٧١٩٩٢٥٤٧٤٠٩٩٤", " 9007199254740994", "09007199254740994", "1000000000000000000000", [], "9007199254740992",
        "9007199254740993", 1.5, "999999999999999868928", "58037902590534464",
    ]  # fmt: skip
    for at, value in enumerate(floats):
        rule = "1.08" if value == 2**53 + 2 and isinstance(value, int) else "2.13"
        yield f"float-{at}", rule, tree({"$float": value}), f"a $float of {dumps(value)}"
    yield "float-more", "2.13", tree({"$float": 1, "x": 1}), "a $float with another key"
    orders: list[Any] = [
        [0, 0],
        [0, 2],
        [0],
        [0, 1, 2],
        [-1, 0],
        ["0", "1"],
        [False, True],
        None,
        "ab",
        [0.5, 1],
        {},
    ]
    for at, order in enumerate(orders):
        found = tree(node("dict", {"$order": order, "a": 1, "b": 2}))
        yield f"order-{at}", "2.14", found, f"the order {dumps(order)} of two keys"
    for at, key in enumerate(
        ["$", "$a", "$$", "__array_interface__", "__array_", "__cuda_array_interface__"]
    ):
        if key != "$":
            yield f"key-{at}", "2.15", tree(node("dict", {key: 1})), f"the key {key!r}"
    yield (
        "key-order",
        "2.15",
        tree(node("dict", {"$order": [0, 1], "$a": 1, "b": 1})),
        "a reserved key beside $order",
    )


def classes() -> Iterator[Case]:
    names = [
        "", "a", ":", "a:", ":a", "a:b:c", "a.b", "a..b:c", "a:b..c", ".a:b", "a.:b", "a b:c", "a:b c", "1a:b", "a:1b",
        "a/b:c", "a:b()", "a:<locals>", "a:b\n", "a-b:c", "a:" + "b" * 499,
    ]  # fmt: skip
    for at, name in enumerate(names):
        yield f"class-{at}", "2.19", tree(node("function", None, name)), f"the class {name[:40]!r}"
    yield "class-needless", "2.20", tree(node("list", [], "builtins:list")), "a list with a class"
    yield "class-needless-int", "2.20", tree(node("int", "f" * 20, "builtins:int")), "an int with a class"
    yield "class-missing", "2.20", tree(node("function")), "a function without a class"
    yield "class-missing-2", "2.20", tree(node("object", {})), "an object without a class"
    yield "class-state", "3.01", tree(node("function", 1, "math:sqrt")), "a function with a state"
    yield "class-state-2", "3.01", tree(node("class", [], "builtins:int")), "a class with a state"


__all__ = ["F64", "b64", "invalid", "valid"]
