"""Trees: data that cannot run, and JSON that leaves nothing to guess."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.canonical import canonical
from saver.errors import CannotSaveError, IncompatibleError
from saver.strict import strict_json
from saver.tree import MAX_JSON_DEPTH, Node, Reference, Tensor, parse, reserved, to_json, walk

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: not reserved(key))
trees = st.recursive(
    st.one_of(scalars, st.builds(Tensor, keys), st.builds(Reference, st.integers(0, 99))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.builds(Node, keys, st.none() | keys, st.integers(1, 9), st.none() | st.integers(0, 9), inner),
    ),
)


@given(trees)
def test_a_tree_survives_its_json(tree: Any) -> None:
    found: list[Node | Tensor | Reference] = []
    again = parse(strict_json(to_json(tree), "here"), "here", found)
    assert again == tree
    assert to_json(again) == to_json(tree)


EDGES = [
    1.0,
    -1.0,
    0.0,
    -0.0,
    2.0**53,
    2.0**53 + 2,
    -(2.0**60),
    1e20,
    1e21,
    -1e22,
    1e-6,
    9.5e-6,
    1e-7,
    5e-324,
]


@pytest.mark.parametrize("value", [*EDGES, 1, 0, -1, 2**53, -(2**53), True])
def test_a_number_keeps_its_type_and_its_sign(value: Any) -> None:
    for tree in (value, [value], {"a": value}, Node("list", state=value), Node("list", state=[value, 0.5])):
        again = parse(strict_json(to_json(tree), "here"), "here", [])
        assert repr(again) == repr(tree)


@given(trees)
def test_the_json_of_a_tree_is_canonical(tree: Any) -> None:
    assert canonical(json.loads(to_json(tree))) == to_json(tree)


@given(st.permutations(["a", "b", "", "z", "é", "\uffee", "\U0001f600"]))
def test_an_object_keeps_the_order_of_its_keys(order: list[str]) -> None:
    again = parse(strict_json(to_json(dict.fromkeys(order, 1.5)), "here"), "here", [])
    assert list(again) == order


@given(st.permutations(["a", "b", "", "z", "é", "\uffee", "\U0001f600"]))
def test_an_object_without_an_order_is_sorted_however_its_text_is(order: list[str]) -> None:
    """Hashes and signatures are of the canonical text, so nothing else may say what the order is."""
    for raw in (dict.fromkeys(order, 1.5), {"$": "list", "state": {"x": {key: [1] for key in order}}}):
        found, same = (parse(strict_json(json.dumps(each).encode(), "here", own=True, tree=True), "here", [])
                       for each in (raw, json.loads(canonical(raw))))  # fmt: skip
        assert repr(found) == repr(same)
        assert canonical(raw) == to_json(found)


@pytest.mark.parametrize(
    "raw",
    [{"$order": order, "a": 1, "b": 2}
     for order in ([], [0], [0, 0], [0, 2], [1, 0, 2], [True, 0], [1.0, 0], "10", None)]
    + [{"$order": 5}, {"$order": [[0]], "a": 1}]
    + [{"$order": [0], "$order2": 1}, {"$order": [1, 0], "a": 1, "$x": 2}]
    + [{"$float": value} for value in (1.5, True, None, "1", "x", "nan", "1e5", "", [1], 2**53 + 1, "9" * 22)]
    + [{"$float": 1, "a": 1}],
)  # fmt: skip
def test_marks_that_no_writer_made_are_refused(raw: Any) -> None:
    """Also after an object with the same keys that is sound: what is known of keys is kept."""
    sound = {"$order": [1, 0], "a": 1, "b": 2}
    for before in ([], [sound]):
        with pytest.raises(IncompatibleError, match=r"^here"):
            parse([*map(dict, before), raw], "here", [])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, -(2**64)])
def test_what_a_codec_may_not_leave_to_json_is_refused(value: Any) -> None:
    for tree in (value, Node("list", state=[value]), {"a": {"b": value}}):
        with pytest.raises(CannotSaveError, match="encode it"):
            to_json(tree)


@given(trees)
def test_walking_and_parsing_meet_the_same_things(tree: Any) -> None:
    found: list[Node | Tensor | Reference] = []
    parsed = parse(strict_json(to_json(tree), "here"), "here", found)
    assert sorted(map(repr, found)) == sorted(repr(item) for item in walk(parsed))


def test_walking_follows_the_order_of_the_document() -> None:
    inner = Node("dict", state={"b": Tensor("t"), "a": Tensor("u")})
    tree = Node("list", state=[inner, Reference(1)])
    assert list(walk(tree)) == [tree, inner, Tensor("t"), Tensor("u"), Reference(1)]


@pytest.mark.slow
@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20))
def test_json_of_any_spacing_is_read(value: Any) -> None:
    assert strict_json(json.dumps(value, indent=1).encode(), "here") == value
    assert strict_json(json.dumps(value, ensure_ascii=False).encode(), "here") == value


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"nope", b'{"a":1}{"b":2}', b'{"a":1,}', b"[1,]", b"[NaN]", b"[Infinity]", b"[-Infinity]",
     b"'a'",
     b'"\xff"', b"\xef\xbb\xbf[]", b'{"a":1,"a":1}', b'[{"a":{"b":1,"b":2}}]', b'{"a":1,"\\u0061":2}',
     b"[01]",
     b'["\x00"]', b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 100_000 + b"]", b'"\\ud800"x'],
)  # fmt: skip
def test_what_readers_could_disagree_about_is_refused(text: bytes) -> None:
    with pytest.raises(IncompatibleError, match=r"^here"):
        strict_json(text, "here")


@pytest.mark.parametrize(
    "key", ["$", "$x", "$tensors", "__array_interface__", "__cuda_array_interface__", "__array__"]
)
def test_reserved_keys_are_refused_wherever_they_stand(key: str) -> None:
    for raw in ({key: 1}, [{"a": {key: []}}], {"$": "dict", "state": {key: 1}}):
        with pytest.raises(IncompatibleError):
            parse(raw, "here", [])


@pytest.mark.parametrize("key", ["", "_", "__", "__version__", "__array", "a$", "array", "__dict__"])
def test_other_keys_are_not(key: str) -> None:
    assert parse({key: 1}, "here", []) == {key: 1}


def test_a_tree_may_be_deep_but_not_endless() -> None:
    raw: Any = 1
    for _ in range(300):
        raw = [raw]
    assert parse(raw, "here", []) == raw
    for _ in range(MAX_JSON_DEPTH):
        raw = [raw]
    with pytest.raises(IncompatibleError, match="nested deeper"):
        parse(raw, "here", [])
