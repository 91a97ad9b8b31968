"""What is within containers stays the same object where it can take what was saved; and what comes back is
what `load` gives, to the bit and in what it shares."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from equality import assert_same
from forging import forged
from saver.codec import budget
from saver.errors import DamagedError, LimitExceededError, SaverError, UntrustedError
from saver.opened import Opened
from saver.opening import open_file
from saver.restoring import restore
from saver.tree import Node, Reference
from saver.tree import walk as nodes_of

Save = Callable[[Any], Opened]
MINE = [f"{__name__}.*"]


@dataclass(eq=False)
class Record:
    first: Any
    second: Any = None


# Any containers

DTYPES = ["f8", ">f4", "i2", "?", "c8", "M8[s]", "U2", "row", "O"]
ROW = np.dtype([("a", "i4"), ("b", "f8")])
SHAPES = [(), (0, 2), (3,), (2, 3), (40, 5)]

arrays = st.tuples(st.just("array"), st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.sampled_from("CF"))
numbers = st.lists(st.integers(0, 30), max_size=4)
steps = st.one_of(
    arrays,
    st.tuples(
        st.just("view"), st.integers(0, 30), st.sampled_from(["whole", "tail", "odd", "back", "field"])
    ),
    st.tuples(
        st.sampled_from(["list", "tuple", "dict", "ordered", "default", "deque", "record", "items"]), numbers
    ),
    st.tuples(st.sampled_from(["set", "bytearray", "many", "plain"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["number", "text", "keys"]), st.integers(0, 30)),
    st.tuples(st.just("cycle"), st.integers(0, 30)),
)
recipes = st.lists(steps, min_size=1, max_size=14)


def filled(dtype: Any, shape: tuple[int, ...], order: Any, seed: int) -> Any:
    values = np.arange(int(np.prod(shape))).reshape(shape) * 3 + seed
    if dtype == "O":
        array = np.empty(shape, object, order)
        array[...] = values
        return array
    if dtype == "row":
        array = np.zeros(shape, ROW, order)
        array["a"], array["b"] = values, values / 7
        return array
    return np.asarray(values.astype("i8").astype(dtype), order=order)


def view(array: Any, how: str) -> Any:
    if how == "field" and array.dtype.names:
        return array["b"]
    if array.ndim == 0:
        return array[...]
    return {"whole": array[:], "tail": array[1:], "odd": array[1::2], "back": array[::-1]}.get(how, array.T)


def cook(recipe: list[Any], seed: int) -> Any:
    """The object that a recipe describes; its numbers depend on `seed`, its form does not."""
    made: list[Any] = []

    def pick(number: int) -> Any:
        return made[number % len(made)] if made else seed

    for kind, *rest in recipe:
        held = [pick(number) for number in rest[0]] if isinstance(rest[0], list) else []
        if kind == "array":
            made.append(filled(*rest, seed))
        elif kind == "view":
            base = pick(rest[0])
            made.append(view(base, rest[1]) if isinstance(base, np.ndarray) else seed)
        elif kind == "items":
            objects = np.empty(len(held), object)
            for index, item in enumerate(held):
                objects[index : index + 1] = [item] if not isinstance(item, np.ndarray) else None
            made.append(objects)
        elif kind == "cycle":
            around = pick(rest[0])
            if isinstance(around, list):
                around.append(around)
            elif type(around) is dict:
                around["itself"] = [around]
        else:
            made.append(MAKE[kind](held or rest[0], seed))
    return made


MAKE: dict[str, Callable[[Any, int], Any]] = {
    "list": lambda held, seed: [seed, *held] if isinstance(held, list) else [held],
    "tuple": lambda held, seed: (seed, *held) if isinstance(held, list) else (held,),
    "dict": lambda held, seed: dict(enumerate(held or [seed])),
    "ordered": lambda held, seed: OrderedDict((f"k{n}", item) for n, item in enumerate(held)),
    "default": lambda held, seed: defaultdict(list, {(n, "k"): item for n, item in enumerate(held)}),
    "deque": lambda held, seed: deque([seed, *held], 9),
    "record": lambda held, seed: Record(seed, held[0] if held else None),
    "set": lambda count, seed: {seed + n for n in range(count)},
    "bytearray": lambda count, seed: bytearray(bytes([seed] * count * 200)),
    "many": lambda count, seed: [seed / 3] * (count * 30),
    "plain": lambda count, seed: {
        f"k{n}": (seed, seed / 3, f"t{seed}", None, n > seed)[n] for n in range(count)
    },
    "number": lambda number, seed: number + seed,
    "text": lambda number, seed: f"{number} and {seed}",
    "keys": lambda number, seed: {frozenset((number, 1)): seed},
}


def sharing(value: Any) -> list[int]:
    """Which objects are met again, in the order of a walk."""
    met: dict[int, int] = {}
    found: list[int] = []
    alive: list[Any] = []
    for item in walk(value):
        if not isinstance(item, (int, float, str, bytes, type(None), frozenset)) and not (
            isinstance(item, tuple) and not item
        ):
            alive.append(item)
            found.append(met.setdefault(id(item), len(met)))
    return found


def walk(value: Any, met: set[int] | None = None) -> Iterator[Any]:
    met = set() if met is None else met
    yield value
    if id(value) in met:
        return
    met.add(id(value))
    within: Any = ()
    if isinstance(value, dict):
        within = value.values()
    elif isinstance(value, (list, tuple, deque)):
        within = value
    elif isinstance(value, Record):
        within = (value.first, value.second)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        within = value.ravel().tolist()
    for item in within:
        yield from walk(item, met)


def by_path(value: Any, path: tuple[Any, ...] = (), met: set[int] | None = None) -> Iterator[tuple[Any, Any]]:
    """All that lies within dicts, lists and tuples, by where it lies."""
    met = set() if met is None else met
    if isinstance(value, (dict, list, tuple)):
        if id(value) in met:
            return
        met.add(id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(item, tuple):
                yield (*path, key), item
            yield from by_path(item, (*path, key), met)


def assert_as_loaded(opened: Opened, target: Any) -> None:
    expected = saver.load(opened.where, trust=MINE)["part"]
    assert_same(expected, target)
    assert sharing(expected) == sharing(target)


@given(recipes)
@settings(max_examples=200)
def test_everything_stays_in_an_object_of_the_same_form(save: Save, recipe: list[Any]) -> None:
    opened, target = save({"part": cook(recipe, 1)}), cook(recipe, 2)
    before = dict(by_path(target))
    restore(opened, {"part": target}, trust=MINE)
    assert_as_loaded(opened, target)
    mutable = (np.ndarray, list, dict, set, deque, bytearray, Record)
    views = any(kind == "view" for kind, *_ in recipe)
    for path, item in by_path(target):
        objects = isinstance(item, np.ndarray) and item.dtype == object
        if isinstance(item, mutable) and not (views and objects):
            assert item is before[path], path


@pytest.mark.slow
@given(recipes, recipes)
@settings(max_examples=300)
def test_into_any_other_object_goes_what_load_would_give(save: Save, recipe: Any, other: Any) -> None:
    opened, target = save({"part": cook(recipe, 1)}), cook(other, 2)
    restore(opened, {"part": target}, trust=MINE)
    assert_as_loaded(opened, target)


@given(recipes, recipes)
@settings(max_examples=100)
def test_two_parts_share_what_they_shared(save: Save, recipe: Any, other: Any) -> None:
    value = cook(recipe, 1)
    opened = save({"part": {"a": value}, "second": {"b": value, "c": value[:1]}})
    target = cook(other, 2)
    into = {"part": {"a": target}, "second": {"b": target, "c": []}}
    restore(opened, into, trust=MINE)
    expected = saver.load(opened.where, trust=MINE)
    assert_same(expected, into)
    assert sharing(expected) == sharing(into)


# What fits, and what does not


def read_only() -> Any:
    array = np.zeros(100)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("there", [
    np.zeros(99), np.zeros(100, np.float32), np.zeros((100, 1)), np.zeros(100, ">f8"), np.ma.zeros(100),
    5, None, (1, 2), [0.0] * 100, read_only(), np.broadcast_to(np.zeros(1), 100), {"a": 1}, np.float64(1),
    Record(1),
])  # fmt: skip
def test_what_cannot_take_an_array_is_replaced(save: Save, there: Any) -> None:
    w = np.arange(100.0)
    target = {"w": there, "deep": [there]}
    report = restore(save({"params": {"w": w, "deep": [w + 1]}}), {"params": target})
    assert report.parts["params"].matched == ("w", "deep")
    assert_same(target, {"w": w, "deep": [w + 1]})
    assert target["w"] is not there


def test_a_dict_may_grow_and_shrink(save: Save) -> None:
    w, gone = np.zeros(3), np.zeros(2)
    target = {"gone": gone, "params": {"w": w, "gone": gone}}
    restore(save({"x": {"params": {"w": np.ones(3), "new": np.ones(4)}, "more": [1]}}), {"x": target})
    assert_same(target, {"params": {"w": np.ones(3), "new": np.ones(4)}, "more": [1]})
    assert target["params"]["w"] is w
    assert gone.sum() == 0


@dataclass(frozen=True)
class Frozen:
    value: int


@dataclass(unsafe_hash=True)
class Key:
    name: str


class Unsaved:
    """A key that has no data form."""


def test_keys_that_are_objects_find_what_is_under_them(save: Save) -> None:
    key = (0, (1, 2))

    def make(value: float) -> dict[Any, Any]:
        return {
            key: np.full(3, value),
            frozenset({1}): [value],
            Key("k"): {2.5: np.full(2, value), key: [{}]},
        }

    for wrap in (lambda found: found, lambda found: {"deep": found}):
        target = make(0)
        target[Unsaved()] = np.zeros(3)
        there, inner = list(target.values()), list(target[Key("k")].values())
        restore(save({"part": wrap(make(1))}), {"part": wrap(target)}, trust=MINE)
        assert_same(target, make(1))
        assert all(here is item for here, item in zip(target.values(), there, strict=False))
        assert target[Key("k")][2.5] is inner[0]
        assert target[Key("k")][key] is inner[1]


@pytest.mark.parametrize("how", ["tail", "odd", "back", "whole"])
def test_views_that_would_disagree_are_not_both_filled(save: Save, how: str) -> None:
    buffer = np.zeros(6)
    target = {"w": buffer, "v": view(buffer, how)}
    first, second = np.arange(6.0), np.full(target["v"].shape, -1.0)
    restore(save({"part": {"w": first, "v": second}}), {"part": target})
    assert_same(target, {"w": first, "v": second})
    assert target["w"] is buffer
    assert not np.shares_memory(target["w"], target["v"])


def test_a_view_that_agrees_with_a_target_of_its_own_stays(save: Save) -> None:
    values, buffer = np.arange(600.0), np.zeros(600)
    tail = buffer[100:]
    target = {"tail": tail}
    opened = save({"part": {"tail": values[100:]}, "buffer": values})
    restore(opened, {"part": target, "buffer": buffer})
    assert target["tail"] is tail
    assert_same(buffer, values)
    other = save({"part": {"tail": values[:500]}, "buffer": values})
    restore(other, {"part": target, "buffer": buffer})
    assert_same(target["tail"], values[:500])
    assert_same(buffer, values)


def test_overlapping_items_of_one_array_are_not_filled(save: Save) -> None:
    windows = np.lib.stride_tricks.as_strided(np.zeros(6), (4, 3), (8, 8))
    target = {"w": windows}
    restore(save({"part": {"w": np.arange(12.0).reshape(4, 3)}}), {"part": target})
    assert_same(target["w"], np.arange(12.0).reshape(4, 3))


def test_bytes_that_an_array_looks_at_stay_if_they_are_as_many(save: Save) -> None:
    for size, stays in ((1000, True), (3, True), (1001, False)):
        data = bytearray(min(size, 1000))
        looking = np.frombuffer(data, np.uint8)
        target = {"data": data, "looking": looking}
        saved = bytearray(b"x" * size)
        restore(save({"part": {"data": saved, "looking": np.frombuffer(saved, np.uint8)}}), {"part": target})
        assert target["data"] == saved
        assert (target["data"] is data) is stays
        assert target["looking"].tobytes() == saved
        assert (target["looking"] is looking) is stays


def test_what_counts_or_checks_is_given_what_was_saved(save: Save) -> None:
    """A matrix is checked while it is built: an array that it shares is replaced, never filled later."""
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.eye(300))
    target = {"data": np.zeros(300), "other": np.zeros(3), "matrix": None}
    there = dict(target)
    opened = save({"part": {"data": matrix.data, "matrix": matrix, "other": np.ones(3)}})
    restore(opened, {"part": target})
    assert target["data"] is target["matrix"].data
    assert target["data"] is not there["data"]
    assert there["data"].sum() == 0
    assert target["other"] is there["other"]
    assert (target["matrix"] != matrix).nnz == 0


def test_a_hashed_object_is_not_filled_under_its_hash(save: Save) -> None:
    here, saved = Key("here"), Key("saved")
    target = {"key": here, "seen": {here}, "table": {here: 1}}
    restore(
        save({"part": {"key": saved, "seen": {saved}, "table": {saved: 2}}}), {"part": target}, trust=MINE
    )
    assert target["key"] in target["seen"]
    assert target["table"][target["key"]] == 2
    assert here.name == "here"


def test_an_object_stays_and_needs_no_trust_where_it_fits(save: Save) -> None:
    opened = save({"part": {"record": Record(1, np.ones(3)), "more": [Record(2)]}})
    record, more = Record(0), Record(0)
    target = {"record": record, "more": [more]}
    restore(opened, {"part": target})
    assert target["record"] is record
    assert target["more"][0] is more
    assert (record.first, more.first) == (1, 2)
    with pytest.raises(UntrustedError, match="Record"):
        restore(opened, {"part": {"record": record, "more": []}})
    assert record.first == 1


def test_a_frozen_object_is_replaced(save: Save) -> None:
    here = Frozen(1)
    target = {"frozen": here}
    restore(save({"part": {"frozen": Frozen(2)}}), {"part": target}, trust=MINE)
    assert (target["frozen"], here) == (Frozen(2), Frozen(1))


def test_an_estimator_within_a_dict_stays(save: Save) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import SGDClassifier
    from sklearn.svm import SVC

    rows, labels = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    fitted, there = SGDClassifier(random_state=1).fit(rows, labels), SGDClassifier()
    coefficients = np.zeros_like(fitted.coef_)
    target = {"model": there, "coef": coefficients}
    restore(save({"part": {"model": fitted, "coef": fitted.coef_}}), {"part": target})
    assert target["model"] is there
    assert_same(there.predict(rows), fitted.predict(rows))
    assert there.coef_ is target["coef"]
    into = {"model": SGDClassifier(), "part": {"coef": coefficients}}
    restore(save({"model": fitted, "part": {"coef": fitted.coef_}}), into)
    assert into["model"].coef_ is into["part"]["coef"]
    assert_same(into["part"]["coef"], fitted.coef_)
    assert coefficients.sum() == 0
    other = {"model": SVC()}
    restore(save({"part": {"model": fitted}}), {"part": other})
    assert type(other["model"]) is SGDClassifier


def test_a_part_of_its_own_is_the_array_that_a_dict_shares(save: Save) -> None:
    w, data, names = np.zeros(100), bytearray(5), {"a"}
    saved = {"w": np.ones(100), "data": bytearray(b"12"), "names": {"b"}}
    opened = save({**saved, "all": dict(saved)})
    for all_of_it in ({"w": w, "data": data, "names": names}, {"w": np.zeros(100), "data": bytearray()}, {}):
        target = {"all": all_of_it, "w": w, "data": data, "names": names}
        restore(opened, target)
        assert all_of_it["w"] is w
        assert all_of_it["data"] is data
        assert all_of_it["names"] is names
        assert_same(target, {"all": saved, **saved})
        w[:] = 0


def test_damage_changes_none_of_what_stays(save: Save) -> None:
    opened = save({"part": {"first": np.ones(1000), "list": [1, 2], "last": np.ones(1000) * 2}})
    entry = opened.tensors.info("part/last")
    with open(opened.where, "r+b") as file:
        data = file.read()
        at = data.index((np.ones(1000) * 2).tobytes())
        assert entry.length == 8000
        file.seek(at + 100)
        file.write(b"\xff" * 8)
    first, items = np.zeros(1000), [0]
    target = {"first": first, "list": items, "last": np.zeros(1000)}
    with pytest.raises(DamagedError):
        restore(open_file(opened.where), {"part": target})
    assert first.sum() == 0
    assert items == [0]
    assert target["last"].sum() == 0


@pytest.mark.parametrize("state", [
    None, 5, {}, {"shape": 5, "dtype": "f8", "data": ""}, {"shape": [3], "dtype": "nonsense", "data": ""},
    {"shape": [3], "dtype": "<f8", "data": "!"}, {"shape": [3], "dtype": "<f8", "data": ""}, [1, 2, 3],
])  # fmt: skip
@pytest.mark.parametrize("codec", ["numpy.array", "dict", "list", "bytearray", "stdlib.deque", "set"])
def test_a_tree_that_lies_is_refused_and_changes_nothing(save: Save, codec: str, state: Any) -> None:
    there = {
        "numpy.array": np.zeros(3), "dict": {"a": np.zeros(3)}, "list": [np.zeros(3)],
        "bytearray": bytearray(3), "stdlib.deque": deque([1]), "set": {1},
    }  # fmt: skip
    kept = np.zeros(100)
    opened = save({"part": {"kept": np.ones(100), "forged": [1]}})
    opened.trees["part"].root.state["forged"] = Node(codec, state=state)
    target = {"kept": kept, "forged": there[codec]}
    try:
        restore(opened, {"part": target})
    except SaverError:
        assert kept.sum() == 0
        assert target["forged"] is there[codec]
    else:
        tree = opened.trees["part"].root
        decoder = opened.decoder(item for item in nodes_of(tree) if type(item) is Node)
        assert_same(decoder(tree), target)


SMALL = {"many": [{"number": at, "name": f"n{at}"} for at in range(3)]}


def test_small_dicts_take_what_was_saved_of_them(save: Save) -> None:
    opened, kept, other = save({"part": SMALL}), {"number": 7, "old": 8}, OrderedDict(number=9)
    target = {"many": [kept, other, kept]}
    restore(opened, {"part": target})
    assert_as_loaded(opened, target)
    assert target["many"][0] is kept
    assert target["many"][1] is not other


@pytest.mark.parametrize(("wrong", "error"), [({"version": 2}, "version 2 of 'dict' is newer"),
                                              ({"cls": "os:system"}, "os.system")])  # fmt: skip
def test_small_dicts_are_of_a_known_form_and_need_no_class(save: Save, wrong: Any, error: str) -> None:
    opened = save({"part": SMALL})
    root = opened.trees["part"].root
    root.state["many"].state[1] = msgspec.structs.replace(root.state["many"].state[1], **wrong)
    target = {"many": [{"number": 5} for _ in range(3)]}
    with pytest.raises(SaverError, match=error):
        restore(opened, {"part": target})
    assert target == {"many": [{"number": 5} for _ in range(3)]}


def test_small_dicts_may_not_take_more_steps_than_the_limit(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "STEPS_FLOOR", 250)
    opened = save({"part": {"many": [{"number": at} for at in range(300)]}})
    target: Any = {"many": [{"number": 5} for _ in range(300)]}
    with pytest.raises(LimitExceededError):
        restore(opened, {"part": target}, limit=16 * 250)
    assert target["many"][0] == {"number": 5}


def test_what_was_two_objects_is_two_again(save: Save) -> None:
    w, items = np.zeros(3), [0]
    target = {"w": w, "again": w, "items": items, "deep": {"items": items}}
    saved = {"w": np.ones(3), "again": np.ones(3), "items": [1], "deep": {"items": [1]}}
    for into in ({"part": target}, {"part": target, "w": w}):
        opened = save({"part": saved, "w": np.ones(3)})
        restore(opened, into)
        expected = saver.load(opened.where)
        assert_same(into, {name: expected[name] for name in into})
        assert sharing(into) == sharing({name: expected[name] for name in into})
        target.update(w=w, again=w, items=items, deep={"items": items})
        w[:] = 0


def test_what_was_one_object_is_one_again(save: Save) -> None:
    w, items = np.ones(3), [1]
    first, second, mine = np.zeros(3), np.zeros(3), [0]
    target = {"w": np.zeros(4), "again": first, "last": second, "items": 5, "mine": mine}
    restore(save({"part": {"w": w, "again": w, "last": w, "items": items, "mine": items}}), {"part": target})
    assert target["w"] is target["again"] is target["last"] is first
    assert target["items"] is target["mine"] is mine
    assert (first.tolist(), second.tolist(), mine) == ([1, 1, 1], [0, 0, 0], [1])


def test_only_views_that_disagree_with_what_stays_are_replaced(save: Save) -> None:
    buffer = np.zeros(9)
    target = {"first": buffer[:6], "odd": buffer[3:8], "last": buffer[2:9]}
    there = dict(target)
    values = np.arange(9.0)
    saved = {"first": values[:6], "odd": np.full(5, -1.0), "last": values[2:]}
    restore(save({"part": saved}), {"part": target})
    assert_same(target, saved)
    assert {name for name in target if target[name] is there[name]} == {"first", "last"}


def test_objects_in_memory_that_is_shared_are_replaced(save: Save) -> None:
    whole = np.empty(3, object)
    target = {"whole": whole, "view": whole[1:]}
    saved = np.empty(3, object)
    saved[:] = [1, 2, 3]
    view = np.empty(2, object)
    saved[0], view[0], view[1] = saved, view, saved
    restore(save({"part": {"whole": saved, "view": view}}), {"part": target})
    assert target["whole"] is whole
    assert whole[0] is whole
    assert target["view"][0] is target["view"]
    assert target["view"][1] is whole
    assert whole[1:].tolist() == [2, 3]


def test_bytes_and_an_array_that_looks_at_them_need_not_agree(save: Save) -> None:
    data = bytearray(600)
    target = {"data": data, "looking": np.frombuffer(data, np.uint8)[1:]}
    saved = {"data": bytearray(b"a" * 600), "looking": np.full(599, 5, np.uint8)}
    restore(save({"part": saved}), {"part": target})
    assert target["data"] is data
    assert_same(target, saved)


def test_containers_take_all_that_was_saved_of_them(save: Save) -> None:
    ordered: Any = OrderedDict(a=np.ones(3))
    ordered.kept = {"version": [2]}
    saved = {"ordered": ordered, "default": defaultdict(list, a=[1]), "recent": deque([1, 2, 3], 3)}
    there: Any = OrderedDict(b=1)
    there.old = 1
    target: Any = {"ordered": there, "default": defaultdict(dict), "recent": deque([0], 2), "more": 1}
    before = dict(target)
    opened = save({"part": saved})
    restore(opened, {"part": target})
    assert_same(target, saved)
    assert vars(there) == {"kept": {"version": [2]}}
    assert target["default"]["new"] == []
    assert [name for name in saved if target[name] is before[name]] == ["ordered", "default"]
    assert target["recent"].maxlen == 3
    restore(opened, {"part": target})
    assert target["ordered"] is there


def test_keys_without_end_end(save: Save) -> None:
    target = {"table": {(1, 2): np.zeros(3)}}
    opened = save({"part": {"table": {(0, 1): np.ones(3)}, "keys": [1]}})
    table = opened.trees["part"].root.state["table"]
    state: Any = 1
    for number in range(40):
        node = Node("list", id=f"part/{number}", state=[state, state])
        if number:
            node.state = [node.state[0], Reference(f"part/{number - 1}")]
        state = node
    table.state[0][0] = state

    before = target["table"][1, 2]
    with pytest.raises(SaverError):
        restore(forged(opened), {"part": target})
    assert before.sum() == 0
