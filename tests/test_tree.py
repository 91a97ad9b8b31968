"""Trees: data that cannot run, and JSON that leaves nothing to guess."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.errors import IncompatibleError
from saver.tree import MAX_JSON_DEPTH, Node, Ref, Tensor, parse, reserved, strict_json, to_json, walk

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: not reserved(key))
trees = st.recursive(
    st.one_of(scalars, st.builds(Tensor, keys), st.builds(Ref, st.integers(0, 99))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.builds(Node, keys, st.none() | keys, st.integers(1, 9), st.none() | st.integers(0, 9), inner),
    ),
)


@given(trees)
def test_a_tree_survives_its_json(tree: Any) -> None:
    found: list[Node | Tensor | Ref] = []
    again = parse(strict_json(to_json(tree), "here"), "here", found)
    assert again == tree
    assert to_json(again) == to_json(tree)


@given(trees)
def test_walking_and_parsing_meet_the_same_things(tree: Any) -> None:
    found: list[Node | Tensor | Ref] = []
    parsed = parse(strict_json(to_json(tree), "here"), "here", found)
    assert sorted(map(repr, found)) == sorted(repr(item) for item in walk(parsed))


def test_walking_follows_the_order_of_the_document() -> None:
    inner = Node("dict", state={"b": Tensor("t"), "a": Tensor("u")})
    tree = Node("list", state=[inner, Ref(1)])
    assert list(walk(tree)) == [tree, inner, Tensor("t"), Tensor("u"), Ref(1)]


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
