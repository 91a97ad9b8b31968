"""How deep values may be nested is said by the format, and by nothing else."""

from __future__ import annotations

import collections
import contextvars
import functools
import operator
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.errors import CannotSaveError, IncompatibleError
from saver.stack import SEGMENT, SHALLOW, is_deep, on_fresh_stack
from saver.strict import strict_json
from saver.tree import MAX_JSON_DEPTH, MAX_OBJECT_DEPTH, Node, parse, to_json

ROOM = 150
"""What a caller must have left: Saver's own way down to the walks, and what it imports on the way."""

TRUST = [f"{__name__}.*"]


@dataclass
class Link:
    """One link of a chain."""

    value: int
    following: Any = None


def object_array(inner: Any) -> Any:
    found = np.empty(1, object)
    found[0] = inner
    return found


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner, 1),
    "dict": lambda inner: {"b": inner, "a": 1},
    "dict by number": lambda inner: {1: inner},
    "long list": lambda inner: [*range(70), inner],
    "frozenset": lambda inner: frozenset({inner, "x"}),
    "deque": lambda inner: collections.deque([inner]),
    "OrderedDict": lambda inner: collections.OrderedDict(a=inner),
    "defaultdict": lambda inner: collections.defaultdict(list, a=inner),
    "namespace": lambda inner: types.SimpleNamespace(b=inner, a=1),
    "partial": lambda inner: functools.partial(operator.add, inner),
    "dataclass": lambda inner: Link(1, inner),
    "objects": object_array,
    "slice": lambda inner: slice(inner, None, None),
}
"""Everything that can hold a value, some with more than one object a level."""


def nested(kind: str, levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = WRAPPERS[kind](value)
    return value


def below(frames: int, function: Callable[[], Any]) -> Any:
    """Call it so many frames further down."""
    return function() if frames <= 0 else below(frames - 1, function)


def depth_here() -> int:
    frame, found = sys._getframe(), 0
    while frame.f_back is not None:
        frame, found = frame.f_back, found + 1
    return found


def anywhere(function: Callable[[], Any]) -> list[Any]:
    """What it gives at depths from here to near the limit."""
    last = sys.getrecursionlimit() - ROOM - depth_here()
    return [below(frames, function) for frames in (0, last // 3, last // 2, last * 3 // 4, last)]


def deepest(kind: str, path: Path) -> int:
    """How many levels can be saved."""
    for levels in range(MAX_OBJECT_DEPTH + 2, 0, -1):
        try:
            saver.dump({"part": nested(kind, levels)}, path)  # refused before a byte is written
        except CannotSaveError:
            continue
        return levels
    raise AssertionError


KINDS = list(WRAPPERS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_saved_can_be_loaded_anywhere(kind: str, tmp_path: Path) -> None:
    levels = deepest(kind, tmp_path / "a.saver")
    assert levels >= MAX_OBJECT_DEPTH // 2 - 1
    wanted = nested(kind, levels)
    for found in anywhere(lambda: saver.load(tmp_path / "a.saver", trust=TRUST)["part"]):
        for _ in range(levels):
            wanted_type = type(wanted)
            assert type(found) is wanted_type
            found, wanted = within(found), within(wanted)
        assert found == wanted == 0
        wanted = nested(kind, levels)


def within(value: Any) -> Any:
    """What a level holds."""
    if isinstance(value, (list, collections.deque)):
        return value[-1]
    if isinstance(value, tuple):
        return value[0]
    if isinstance(value, frozenset):
        (inner,) = value - {"x"}
        return inner
    if isinstance(value, dict):
        return next(iter(value.values()))
    if isinstance(value, types.SimpleNamespace):
        return value.b
    if isinstance(value, functools.partial):
        return value.args[0]
    if isinstance(value, Link):
        return value.following
    return value.start if isinstance(value, slice) else value[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_how_deep_the_caller_stands_does_not_show_in_what_is_written(kind: str, tmp_path: Path) -> None:
    value = nested(kind, deepest(kind, tmp_path / "a.saver"))

    def saved() -> str:
        saver.dump(value, tmp_path / "b.saver")
        return saver.describe(tmp_path / "b.saver").parts[0].hash

    assert len(set(anywhere(saved))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_too_deep_is_said_at_save_anywhere(kind: str, tmp_path: Path) -> None:
    value = nested(kind, MAX_OBJECT_DEPTH + 4)

    def refused() -> str:
        with pytest.raises(CannotSaveError, match="deep") as error:
            saver.dump(value, tmp_path / "b.saver")
        return str(error.value)

    assert len(set(anywhere(refused))) == 1


@settings(max_examples=15)
@given(st.integers(0, 800), st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
def test_any_accepted_value_loads_at_any_depth(
    tmp_path_factory: pytest.TempPathFactory, frames: int, kinds: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "deep.saver"
    frames = min(frames, sys.getrecursionlimit() - ROOM - depth_here())
    for levels in (MAX_OBJECT_DEPTH, MAX_OBJECT_DEPTH // 2, 10):
        value: Any = 0
        for level in range(levels):
            kind = kinds[level % len(kinds)]
            value = WRAPPERS[kind](value if kind != "frozenset" else 1)
        try:
            below(frames, lambda value=value: saver.dump(value, path))  # type: ignore[misc]
        except CannotSaveError:
            continue
        below(frames, lambda: saver.load(path, trust=TRUST))


def test_a_deep_version_of_a_store_can_be_used_anywhere(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "store")
    value = nested("list", deepest("list", tmp_path / "a.saver"))
    store.save("model", {"part": value})
    store.save("model", {"part": [value[0], 1]})

    def used() -> Any:
        into: dict[str, Any] = {"part": []}
        store.restore("model@1", into=into)
        different = store.diff("model@1", "model@2").fields
        return store.load("model@1"), into, different, store.check().damage

    for loaded, restored, different, damage in anywhere(used):
        assert loaded == restored == {"part": value}
        assert different
        assert not damage


IN_PLACE = ["list", "dict", "dict by number", "long list", "OrderedDict", "defaultdict", "dataclass"]
"""Those that can be restored into."""


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_deep_value_is_restored_into_its_own_shape_anywhere(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.saver"
    levels = deepest(kind, path)
    value = nested(kind, levels)
    hashed = saver.describe(path).parts[0].hash

    def restored() -> Any:
        into = nested(kind, levels)
        assert saver.restore(path, {"part": into}, trust=TRUST)
        saver.dump({"part": into}, tmp_path / "b.saver")
        assert not saver.diff(path, tmp_path / "b.saver").fields
        return saver.describe(tmp_path / "b.saver").parts[0].hash

    saver.dump({"part": value}, path)
    assert set(anywhere(restored)) == {hashed}


class Counter:
    """Something live: it must be restored itself, wherever it is."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


@pytest.mark.parametrize("kind", ["list", "dict", "OrderedDict"])
def test_what_is_live_at_the_end_of_a_deep_value_is_restored_anywhere(kind: str, tmp_path: Path) -> None:
    levels = MAX_OBJECT_DEPTH // 2 - 3
    saved: Any = {"count": 5}
    for _ in range(levels):
        saved = WRAPPERS[kind](saved)
    saver.dump({"part": saved}, tmp_path / "a.saver")

    def restored() -> int:
        counter = Counter()
        into: Any = counter
        for _ in range(levels):
            into = WRAPPERS[kind](into)
        saver.restore(tmp_path / "a.saver", {"part": into})
        return counter.count

    assert anywhere(restored) == [5] * 5


@pytest.mark.parametrize("kind", [*IN_PLACE, "deque"])
def test_a_run_with_a_deep_value_is_resumed_anywhere(kind: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "store")
    levels = deepest(kind, tmp_path / "a.saver") - 2
    wanted = store.save("wanted", {"part": {"x": nested(kind, levels)}}).parts["part"].hash

    def resumed() -> str:
        with store.checkpoints(
            "run", {"part": {"x": nested(kind, levels)}}, every=saver.Every(steps=1)
        ) as run:
            step = run.resume()
            run.step(step, loss=1.0)
        return store.version("run").parts["part"].hash

    assert set(anywhere(resumed)) == {wanted}


def test_a_deep_dtype_is_saved_and_restored_anywhere(tmp_path: Path) -> None:
    dtype = np.dtype("f4")
    for _ in range(100):
        dtype = np.dtype([("a", dtype)])
    path = tmp_path / "a.saver"

    def again() -> Any:
        into = {"x": np.zeros(3, dtype)}
        saver.dump({"x": np.ones(3, dtype)}, path)
        saver.restore(path, into)
        assert not saver.diff(path, path)
        assert "100" not in repr(saver.describe(path))
        return saver.load(path)["x"].dtype == into["x"].dtype == dtype

    assert all(anywhere(again))


@pytest.mark.parametrize("argument", ["labels", "metrics", "tags", "seeds", "data", "notes"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_deep_argument_is_treated_alike_anywhere(kind: str, argument: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "store")
    value = nested(kind, MAX_OBJECT_DEPTH)

    def outcome() -> str:
        try:
            store.save("model", 1, **{argument: [value] if argument == "tags" else {"a": value}})
        except (TypeError, ValueError) as error:
            return type(error).__name__
        return "saved"

    found = set(anywhere(outcome))
    assert len(found) == 1
    assert found != {"saved"} or (kind, argument) == ("objects", "data")


def test_json_is_written_and_read_anywhere_up_to_the_limit() -> None:
    tree: Any = Node("list", state=1.0)
    for level in range(MAX_JSON_DEPTH - 1):
        tree = {"b": tree, "a": 1e-6} if level % 2 else [tree]

    def again() -> bytes:
        return to_json(parse(strict_json(to_json(tree), "here"), "here", []))

    assert len(set(anywhere(again))) == 1
    with pytest.raises(CannotSaveError, match="600 levels"):
        to_json([tree])
    with pytest.raises(IncompatibleError, match="600 levels"):
        parse(strict_json(b"[" + to_json(tree) + b"]", "here"), "here", [])


def test_a_fresh_stack_returns_and_raises_as_a_call_does() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(5)
    assert on_fresh_stack(lambda a, b: (a, b, variable.get()), 1, b=2) == (1, 2, 5)
    with pytest.raises(KeyError, match="x"):
        on_fresh_stack({}.__getitem__, "x")
    before = threading.active_count()
    assert on_fresh_stack(lambda: below(SHALLOW * 2, is_deep))
    assert not on_fresh_stack(is_deep)
    assert threading.active_count() == before


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_without_threads_the_stack_of_the_caller_serves(no_threads: None, tmp_path: Path) -> None:
    path = tmp_path / "a.saver"
    saver.dump({"part": nested("list", 60)}, path)
    assert saver.load(path) == {"part": nested("list", 60)}
    into: Any = {"part": nested("list", 60)}
    saver.restore(path, into)
    frames = sys.getrecursionlimit() - ROOM - depth_here()
    assert below(frames, lambda: saver.loads(saver.dumps({"a": 1}))) == {"a": 1}


def test_where_it_does_not_serve_the_depth_is_the_reason(tmp_path: Path, no_threads: None) -> None:
    value = nested("list", 120)
    frames = sys.getrecursionlimit() - ROOM - depth_here()
    with pytest.raises(MemoryError, match=r"nested deeper than the stack has room for: .* of 1,000 calls"):
        below(frames, lambda: saver.dumps({"part": value}))
    data = saver.dumps({"part": nested("list", 70)})
    # Python 3.12 says that recursion is too deep where others still try to begin a thread
    with pytest.raises(
        (MemoryError, saver.IncompatibleError), match=r"can't start new thread|deeper recursion"
    ):
        below(frames, lambda: saver.loads(data))


def test_a_segment_fits_on_a_fresh_stack_many_times() -> None:
    assert sys.getrecursionlimit() // 2 >= SEGMENT * 20
