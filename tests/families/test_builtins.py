"""Python's own values come back with their types, their bits and the way they share."""

from __future__ import annotations

import enum
import functools
import math
import operator
import random
import struct
import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

import saver
from equality import assert_same
from saver.codec import Decoder
from saver.errors import LimitExceededError
from saver.tree import Node, Reference

Roundtrip = Callable[..., Any]


offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**2000), 2**2000),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),
    st.text(st.characters(categories=["Cs", "L"]), max_size=5),
    st.binary(),
    st.binary(min_size=600, max_size=700),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.none() | offsets | st.sampled_from([ZoneInfo("Europe/Oslo"), UTC])),
    st.timedeltas(),
    st.builds(range, st.integers(-99, 99), st.integers(-(2**70), 2**70), st.integers(1, 9)),
    st.builds(slice, st.integers() | st.none(), st.integers() | st.none(), st.none()),
    st.sampled_from(
        [Ellipsis, NotImplemented, PurePosixPath("/a b/c"), PureWindowsPath("c:/x"), Path("x/y")]
    ),
)
hashables = st.recursive(
    scalars.filter(lambda v: not isinstance(v, slice)),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(deque),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=4).map(OrderedDict),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
    ),
    max_leaves=20,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(values)
def test_any_value_comes_back(roundtrip: Roundtrip, value: Any) -> None:
    assert_same(value, roundtrip(value))


@pytest.mark.slow
@given(st.sets(hashables, max_size=12), st.randoms())
def test_equal_sets_give_equal_bytes(tmp_path_factory: Any, items: set[Any], shuffled: random.Random) -> None:
    folder = tmp_path_factory.mktemp("sets")
    order = list(items)
    shuffled.shuffle(order)
    saver.dump({"s": set(items)}, folder / "a")
    saver.dump({"s": set(order)}, folder / "b")
    assert saver.describe(folder / "a").parts[0].hash == saver.describe(folder / "b").parts[0].hash


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(st.floats(), min_size=60, max_size=200)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=60, max_size=200)
    | st.lists(st.booleans(), min_size=60, max_size=200)
    | st.lists(st.text(), min_size=60, max_size=100)
)
def test_long_runs_are_tensors_and_come_back(roundtrip: Roundtrip, run: list[Any]) -> None:
    assert_same(run, roundtrip(run))
    assert_same(tuple(run), roundtrip(tuple(run)))
    keyed = dict(zip(map(str, range(len(run))), run, strict=True))
    assert_same(keyed, roundtrip(keyed))


def test_a_vocabulary_is_a_few_tensors(tmp_path: Path) -> None:
    words = {f"word{i}": i for i in range(100_000)}
    assert saver.dump(words, tmp_path / "w") < 3_500_000
    assert len(saver.describe(tmp_path / "w").parts[0].tensors) == 3
    assert_same(words, saver.load(tmp_path / "w"))


@pytest.mark.parametrize(
    "bits", ["7ff8000000000001", "fff8000000000000", "7ff0000000000000", "8000000000000000"]
)
def test_nan_payloads_infinities_and_signed_zeros_keep_their_bits(roundtrip: Roundtrip, bits: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert struct.pack(">d", roundtrip(number)).hex() == bits
    assert struct.pack(">d", roundtrip(complex(0.0, number)).imag).hex() == bits


def test_shared_objects_are_shared_again(roundtrip: Roundtrip) -> None:
    shared = [1, 2]
    loaded = roundtrip({"a": shared, "b": (shared, {"deep": shared})})
    assert loaded["a"] is loaded["b"][0] is loaded["b"][1]["deep"]


def test_shared_tuples_do_not_grow_without_bound(roundtrip: Roundtrip) -> None:
    pair: Any = (1,)
    for _ in range(60):
        pair = (pair, pair)
    assert roundtrip(pair)[0][1] is roundtrip(pair)[0][1] or roundtrip(pair)[0][0] is not None


def test_cycles_come_back(roundtrip: Roundtrip) -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    loaded = roundtrip(ring)
    assert loaded[1] is loaded
    table: dict[str, Any] = {"x" * 3: 1}
    table["self"] = [table]
    for loaded in (roundtrip([table])[0], roundtrip(table)):
        assert loaded["self"][0] is loaded
    bent: Any = ([],)
    bent[0].append(bent)
    loaded = roundtrip(bent)
    assert loaded[0][0] is loaded


class ByIdentity(tuple[Any, ...]):
    """A tuple that can be an element although what it holds cannot."""

    __hash__ = object.__hash__


def test_a_cycle_that_cannot_be_built_is_refused_by_path(tmp_path: Path) -> None:
    inner: Any = [None]
    outer = (deque([inner]),)
    inner[0] = outer
    saver.dump({"fine": inner}, tmp_path / "f")
    assert saver.load(tmp_path / "f")["fine"][0][0][0] is not None
    elements: set[Any] = set()
    elements.add(ByIdentity((elements,)))
    where = r"\$\.part\.keys\[0\]\[0\]: a cycle leads through a set"
    with pytest.raises(saver.CannotSaveError, match=where):
        saver.dump({"part": elements}, tmp_path / "c")


def test_objects_too_deep_are_an_error_with_a_way_out(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(saver.CannotSaveError, match="flatten"):
        saver.dump(deep, tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_reasonable_depth_is_fine(roundtrip: Roundtrip) -> None:
    deep: Any = 1
    for level in range(140):
        deep = {"a": deep} if level % 2 else [deep]
    assert roundtrip(deep) == deep


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796  an alias, which comes back as what it stands for
    BLUE = "b"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


Point = namedtuple("Point", ["x", "y"])


class Typed(NamedTuple):
    name: str
    items: list[int]


@dataclass
class Config:
    rate: float
    tags: list[str] = field(default_factory=list)
    parent: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: Any


TRUST = [f"{__name__}.*"]


@pytest.mark.parametrize(
    "value",
    [
        Color.RED,
        Color.CRIMSON,
        Color.BLUE,
        Access.READ | Access.WRITE,
        Access(0),
        Point(1, [2.5]),
        Typed("a", [1]),
        Config(0.1, ["x"]),
        Frozen(1, {"k": (1, 2)}),
        Point,
    ],
    ids=repr,
)
def test_classes_of_your_own_come_back_with_trust(roundtrip: Roundtrip, value: Any) -> None:
    with pytest.raises(saver.UntrustedError, match=r'trust=\["'):
        roundtrip(value)
    assert_same(value, roundtrip(value, trust=TRUST))


def test_a_dataclass_can_be_in_a_cycle(roundtrip: Roundtrip) -> None:
    config = Config(0.5)
    config.parent = [config]
    loaded = roundtrip(config, trust=TRUST)
    assert loaded.parent[0] is loaded
    assert loaded.rate == 0.5


def test_post_init_does_not_run_when_loading(roundtrip: Roundtrip, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(0.5)
    monkeypatch.setattr(Config, "__init__", lambda self, *a: pytest.fail("ran"))
    monkeypatch.setattr(Config, "__post_init__", lambda self: pytest.fail("ran"), raising=False)
    monkeypatch.setattr(Config, "__setstate__", lambda self, state: pytest.fail("ran"), raising=False)
    assert roundtrip(config, trust=TRUST).rate == 0.5


class Plain:
    __slots__ = ("__dict__", "fast")

    def __init__(self) -> None:
        self.fast = 1
        self.slow = [2]


def test_a_registered_class_is_saved_by_its_attributes(roundtrip: Roundtrip) -> None:
    with pytest.raises(saver.CannotSaveError, match=r"saver\.register\(Plain\)"):
        roundtrip([Plain()])
    saver.register(Plain)
    loaded = roundtrip(Plain())
    assert (loaded.fast, loaded.slow) == (1, [2])


def test_a_class_with_state_in_c_cannot_be_registered() -> None:
    class Numbers(deque[int]):
        pass

    with pytest.raises(saver.CannotSaveError, match=r"inherits from collections\.deque"):
        saver.register(Numbers)


@pytest.mark.parametrize(
    "value",
    [
        Counter("abca"),
        Counter(),
        defaultdict(list, {"a": [1]}),
        defaultdict(None, {1: 2}),
        OrderedDict([(2, "b"), (1, "a")]),
        deque([1, 2], maxlen=2),
        deque(),
        SimpleNamespace(a=1, b=[2]),
        array("d", [1.5, -0.0]),
        array("B", b"xyz" * 400),
        array("w" if sys.version_info >= (3, 13) else "u", "héllo"),
        bytearray(b"x" * 999),
        Decimal("sNaN123"),
        Decimal("-0.00"),
        Decimal("Infinity"),
        Decimal("1e-999999"),
        Fraction(-1, 3),
        UUID(int=5),
        uuid4(),
        date.max,
        datetime.min,
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Rome")),
        time(1, 2, 3, 4, fold=1),
        timezone(timedelta(minutes=-61), "odd"),
        UTC,
        timedelta.min,
        range(0, 10**30, 7),
        slice([1], "a", None),
        {"$": 1, "$ref": 2},
        {1: "a", None: "b", (1, 2): "c", 1.5: "d"},
        {True: 1, "a": 2},
        "\ud800",
        "x" * 5000,
        "é" * 5000,
        [],
        (),
        {},
        set(),
        frozenset({frozenset()}),
        b"",
        [float("nan")] * 3,
        2**53,
        -(2**53),
        2**53 + 1,
        10**5000,
        math.pi,
        [[]] * 3,
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_corners_come_back(roundtrip: Roundtrip, value: Any) -> None:
    assert_same(value, roundtrip(value))
    assert_same([value], roundtrip([value]))


@pytest.mark.parametrize("function", [math.sqrt, operator.add, len, sum, math.comb])
def test_functions_that_only_compute_are_kept_by_name(roundtrip: Roundtrip, function: Any) -> None:
    assert roundtrip([function])[0] is function


def test_partials_of_such_functions_are_kept(roundtrip: Roundtrip) -> None:
    loaded = roundtrip(functools.partial(math.pow, 2.0))
    assert loaded(10) == 1024


def test_random_generators_go_on(roundtrip: Roundtrip) -> None:
    generator = random.Random(7)
    generator.gauss(0, 1)
    loaded = roundtrip(generator)
    assert [generator.gauss(0, 1) for _ in range(5)] == [loaded.gauss(0, 1) for _ in range(5)]


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (lambda: 1, "a lambda has no data form"),
        ((i for i in ()), "a generator has no data form"),
        (open, "has no data form|not trusted|UntrustedError"),
        (object(), "an object has no data form"),
        ("".join, "has no data form"),
    ],
)
def test_what_has_no_data_form_is_refused_with_its_path(tmp_path: Path, thing: Any, why: str) -> None:
    if thing is open:
        with pytest.warns(UserWarning, match=r"^_?io\.open: .*will need trust="):
            saver.dump([thing], tmp_path / "o")
        with pytest.raises(saver.UntrustedError, match="open"):
            saver.load(tmp_path / "o")
        return
    with pytest.raises(saver.CannotSaveError, match=why) as caught:
        saver.dump({"part": {"inner": [1, thing]}}, tmp_path / "x")
    assert str(caught.value).startswith("$.part.inner[1]: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("holder", ["dict", "set", "frozenset"])
@pytest.mark.parametrize("within", ["tuple", "frozenset"])
def test_a_key_that_would_take_forever_to_hash_is_refused(holder: str, within: str) -> None:
    """Tuples or frozensets, each of which holds the one before twice."""
    key: Any = Node("tuple", id=0, state=[1])
    nodes = [key]
    for level in range(1, 60):
        key = Node(within, id=level, state=[key, Reference(level - 1)])
        if within == "frozenset":
            key.state[1] = Node("tuple", state=[Reference(level - 1)])
        nodes.append(key)
    root = Node(holder, state=[[key], [None]] if holder == "dict" else [key])
    with pytest.raises(LimitExceededError, match="steps more"):
        Decoder([root, *nodes], {}, None)(root)  # type: ignore[arg-type]


def test_a_key_that_holds_much_is_not_one_of_those(roundtrip: Roundtrip) -> None:
    large = tuple(range(300_000))
    key = (large, (large, large[:10]))
    assert roundtrip({key: 1, (1, key): 2}) == {key: 1, (1, key): 2}


LONE = "a \ud800 alone"


@pytest.mark.parametrize(
    "value", [np.arange(300.0), b"x" * 1000, {1: 2}, LONE, RandomForestClassifier(random_state=1)]
)
def test_keys_that_are_no_unicode_text_may_have_any_value(roundtrip: Roundtrip, value: Any) -> None:
    """Keys enter the names of tensors, and of seeds, which are text of a file."""
    for saved in ({LONE: value}, [{LONE: value}, {LONE: [value]}]):
        assert_same(saved, roundtrip(saved))


@pytest.mark.parametrize("count", [1, 300])
def test_a_key_may_have_more_digits_than_python_writes_out(roundtrip: Roundtrip, count: int) -> None:
    saved = {10**5000 + at: at for at in range(count)}
    assert roundtrip(saved) == saved
    assert list(roundtrip({10**5000: np.arange(300.0)})) == [10**5000]


@pytest.mark.parametrize(
    "make",
    [SimpleNamespace, lambda: OrderedDict(a=1), DecisionTreeClassifier],
    ids=["namespace", "ordered", "estimator"],
)
def test_an_attribute_that_is_not_unicode_text_is_refused_by_its_path(make: Any, tmp_path: Path) -> None:
    thing = make()
    setattr(thing, LONE, 1)
    with pytest.raises(saver.CannotSaveError, match=r"^\$\.part\[0\]: .*not valid Unicode"):
        saver.dump({"part": [thing]}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_field_of_a_structure_that_is_not_unicode_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(saver.CannotSaveError, match="not Unicode text"):
        saver.dump(np.zeros(3, [(LONE, "f8")]), tmp_path / "x")
    assert not list(tmp_path.iterdir())
