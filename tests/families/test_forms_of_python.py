"""Objects of the standard library that models hold: they come back, or the refusal says what to save instead,
and that can be saved."""

from __future__ import annotations

import argparse
import array
import asyncio
import concurrent.futures
import configparser
import contextvars
import datetime
import decimal
import functools
import inspect
import io
import ipaddress
import itertools
import logging
import operator
import optparse
import pathlib
import queue
import random
import re
import socket
import sqlite3
import statistics
import string
import struct
import sys
import textwrap
import threading
import types
import typing
import uuid
import warnings
import weakref
import xml.etree.ElementTree
import zoneinfo
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString, defaultdict, deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple, cast

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import FunctionTransformer

import saver
from saver import registry, trust
from saver.codec import forget_codecs

HERE = __name__


@pytest.fixture(autouse=True)
def registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(trust, "_registered", set())
    forget_codecs()
    yield
    forget_codecs()


def again(obj: Any) -> Any:
    return saver.loads(saver.dumps({"x": obj}), trust=[f"{HERE}.*"])["x"]


# What comes back ------------------------------------------------------------------------------------------


@functools.lru_cache
def kept(word: str) -> str:
    return word.upper()


EQUAL: dict[str, Callable[[], Any]] = {
    "pattern": lambda: re.compile(r"(?P<a>\w+)-\d{2,}", re.IGNORECASE | re.MULTILINE),
    "pattern with its flags inside": lambda: re.compile(r"(?ix) a  b"),
    "pattern of bytes": lambda: re.compile(rb"[a-z]\xff", re.DOTALL),
    "pattern of letters": lambda: re.compile("[\u0400-\u04ff]+|[a-z]+", re.IGNORECASE),
    "logger": lambda: logging.getLogger("a.b"),
    "root logger": logging.getLogger,
    "arguments": lambda: argparse.Namespace(rate=0.1, layers=[1, 2]),
    "options": lambda: optparse.Values({"a": 1}),
    "address": lambda: ipaddress.ip_address("2001:db8::1%eth0"),
    "network": lambda: ipaddress.ip_network("10.0.0.0/31"),
    "interface": lambda: ipaddress.ip_interface("10.0.0.1/8"),
    "user's dict": lambda: UserDict(a=[1]),
    "user's list": lambda: UserList([1, 2]),
    "user's string": lambda: UserString("a"),
    "chain of maps": lambda: ChainMap({1: 2}, {"a": 3}),
    "normal distribution": lambda: statistics.NormalDist(1.5, 2.0),
    "method of texts": lambda: str.lower,
    "function that keeps its results": lambda: kept,
}


@pytest.mark.parametrize("kind", EQUAL)
def test_it_comes_back_equal(kind: str) -> None:
    made = EQUAL[kind]()
    found = again(made)
    assert type(found) is type(made)
    assert found == made


def test_a_pattern_matches_as_before() -> None:
    pattern = re.compile(r"(?P<word>\w+)!", re.ASCII)
    found = again([pattern, pattern])
    assert found[0] is found[1]
    assert (found[0].pattern, found[0].flags) == (pattern.pattern, pattern.flags)
    assert found[0].search("é ab!")["word"] == "ab"


@pytest.mark.parametrize("flags", [re.DEBUG])
def test_a_pattern_that_prints_when_it_is_compiled_is_refused(flags: Any, capsys: Any) -> None:
    with pytest.raises(saver.CannotSaveError, match=r"re\.DEBUG"):
        saver.dumps(re.compile("a", flags))


def test_a_pattern_that_is_slow_to_compile_is_refused() -> None:
    with pytest.raises(saver.CannotSaveError, match="takes too long to compile"):
        saver.dumps(re.compile("[\u0100-\uffff]" * 20))


@pytest.mark.parametrize("text", ["[[a]", "[a&&b]", "[a||b]", "[a~~b]", "x[[:alpha:]]"])
def test_a_pattern_is_loaded_without_a_warning(text: str, capsys: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = saver.dumps(re.compile(text))
    re.purge()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saver.loads(data).pattern == text
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("cls", [ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network])
@pytest.mark.parametrize("length", [1, 150, 180, 200, 300])
def test_an_address_with_a_long_scope_comes_back_or_is_refused(cls: Any, length: int) -> None:
    made = cls("fe80::1%" + "a" * length)
    if len(str(made)) > 200:
        with pytest.raises(saver.CannotSaveError, match="address"):
            saver.dumps(made)
    else:
        assert str(again(made)) == str(made)


def test_a_logger_keeps_the_handlers_of_the_process() -> None:
    logger = logging.getLogger("saver.tests.forms")
    data = saver.dumps(logger)
    logger.addHandler(logging.NullHandler())
    assert saver.loads(data) is logger
    logger.handlers.clear()
    with pytest.raises(saver.CannotSaveError, match="did not make"):
        saver.dumps(logging.Logger("saver.tests.forms"))


def test_an_adapter_adds_the_same() -> None:
    found = again(logging.LoggerAdapter(logging.getLogger("a"), {"run": 7}))
    assert (found.logger, found.extra) == (logging.getLogger("a"), {"run": 7})


def test_getters_get_the_same() -> None:
    row = {"text": "a", 1: types.SimpleNamespace(b=types.SimpleNamespace(c=5))}
    assert again(operator.itemgetter("text"))(row) == "a"
    assert again(operator.itemgetter("text", 1))(row) == ("a", row[1])
    assert again(operator.attrgetter("b.c"))(row[1]) == 5
    for name in ("__class__", "a._b", "a.__init__.__globals__"):
        with pytest.raises(saver.CannotSaveError, match="public attributes"):
            saver.dumps(operator.attrgetter(name))


def test_getters_and_methods_of_texts_are_steps_of_pipelines() -> None:
    frame = pd.DataFrame({"text": ["A b", "C"]})
    step = again(FunctionTransformer(operator.itemgetter("text")))
    assert step.transform(frame).tolist() == ["A b", "C"]
    counts = CountVectorizer(analyzer=str.split, preprocessor=None)
    assert set(again(counts.fit(["A b", "C"])).vocabulary_) == {"A", "b", "C"}


def test_a_template_and_a_wrapper_do_the_same() -> None:
    assert again(string.Template("$a!")).substitute(a=1) == "1!"
    assert again(textwrap.TextWrapper(width=9)).wrap("one two three") == ["one two", "three"]


# Classes derived from containers, texts and numbers -------------------------------------------------------


class Mapped(dict[Any, Any]):
    loud = False

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError("no code of the class runs")

    __init__ = __getitem__ = update = items = keys = values = __iter__ = cast("Any", __setitem__)


class Listed(list[Any]):
    def append(self, item: Any) -> None:
        raise AssertionError("no code of the class runs")

    __init__ = extend = __iter__ = __len__ = cast("Any", append)


class Ordered(OrderedDict[Any, Any]):
    __slots__ = ("mark",)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError("no code of the class runs")

    __init__ = __getitem__ = __delitem__ = __len__ = __contains__ = cast("Any", __setitem__)
    update = clear = items = keys = values = __iter__ = cast("Any", __setitem__)


class Grouped(set[Any]):
    def add(self, item: Any) -> None:
        raise AssertionError("no code of the class runs")

    __init__ = update = __iter__ = cast("Any", add)


class Pair(tuple[Any, ...]):
    def __iter__(self) -> Any:
        raise AssertionError("no code of the class runs")

    __len__ = __getitem__ = cast("Any", __iter__)


class Fixed(frozenset[Any]):
    def __iter__(self) -> Any:
        raise AssertionError("no code of the class runs")

    __len__ = __contains__ = cast("Any", __iter__)


class Word(str):
    def __new__(cls, *args: Any) -> Any:
        raise AssertionError("no code of the class runs")

    def __str__(self) -> str:
        return "something else"


class Octets(bytes):
    pass


class Whole(int):
    def __int__(self) -> int:
        return 0


class Real(float):
    pass


def ordered(**items: Any) -> Ordered:
    made = OrderedDict.__new__(Ordered)
    for key, value in items.items():
        OrderedDict.__setitem__(made, key, value)
    return made


def derived() -> dict[type, Any]:
    """An instance of each, with an attribute; made without the classes' own methods."""
    mapped = dict.__new__(Mapped)
    dict.update(mapped, {"a": [1], 2: "b"})
    listed = list.__new__(Listed)
    list.extend(listed, [1, "a"])
    grouped = set.__new__(Grouped)
    set.update(grouped, {1, "a"})
    made: list[Any] = [
        mapped, listed, grouped, ordered(b=1, a=2), Pair((1, [2])), Fixed({1, 2}),
        str.__new__(Word, "w" * 600), Octets(b"\0x"), Whole(2**70), Real("-0.0"),
    ]  # fmt: skip
    for each in made:
        if hasattr(each, "__dict__"):
            each.note = {"me": [each]} if isinstance(each, (dict, list)) else "n"
    made[3].mark = 7
    return {type(each): each for each in made}


PLAIN: dict[type, Callable[[Any], Any]] = {
    Mapped: lambda it: dict(dict.items(it)),
    Listed: lambda it: list.__getitem__(it, slice(None)),
    Grouped: lambda it: set.copy(it),
    Ordered: lambda it: list(OrderedDict.items(it)),
    Pair: lambda it: tuple.__getitem__(it, slice(None)),
    Fixed: lambda it: frozenset.copy(it) | set(),
    Word: lambda it: str.__getitem__(it, slice(None)),
    Octets: bytes,
    Whole: lambda it: int.__add__(it, 0),
    Real: lambda it: it.hex(),
}


@pytest.mark.parametrize("cls", PLAIN, ids=lambda cls: cls.__name__)
def test_an_instance_of_a_derived_class_comes_back_with_its_attributes(cls: type) -> None:
    made = derived()[cls]
    found = again(made)
    assert type(found) is cls
    assert PLAIN[cls](found) == PLAIN[cls](made)
    if cls is Ordered:
        assert found.mark == 7
    else:
        assert found.note == "n" or found.note["me"][0] is found
    with pytest.raises(saver.UntrustedError, match=rf"{HERE}\.{cls.__name__}"):
        saver.loads(saver.dumps(made))


class Looped(list[Any]):
    pass


class Keyed(dict[Any, Any]):
    pass


def test_a_derived_container_may_hold_itself() -> None:
    looped = Looped()
    looped += [1, looped, Keyed(me=looped)]
    found = again(looped)
    assert found[1] is found
    assert found[2]["me"] is found


def test_a_derived_container_is_restored_in_place() -> None:
    saved = {"a": Keyed(x=1, y=[2]), "b": Looped([1, 2])}
    saved["a"].note = "saved"
    data = io.BytesIO(saver.dumps(saved))
    live: dict[str, Any] = {"a": Keyed(z=0), "b": Looped()}
    inner, parts = live["a"], [f"{HERE}.*"]
    saver.restore(data, live, trust=parts)
    assert live["a"] is inner
    assert (dict(inner), inner.note, list(live["b"])) == ({"x": 1, "y": [2]}, "saved", [1, 2])


@pytest.mark.parametrize("count", [1, 300])
def test_an_ordered_dict_of_a_class_is_filled_past_its_methods(count: int) -> None:
    made = ordered()
    for key in range(count):
        OrderedDict.__setitem__(made, key, key / 2)
    items = list(OrderedDict.items(made))
    assert list(OrderedDict.items(again(made))) == items
    live = {"x": ordered(z=0)}
    inner = live["x"]
    saver.restore(io.BytesIO(saver.dumps({"x": made})), live, trust=[f"{HERE}.*"])
    assert live["x"] is inner
    assert list(OrderedDict.items(inner)) == items


def test_keys_are_weighed_without_the_methods_of_their_class() -> None:
    keys: list[Any] = [Pair((1, 2)), Fixed((1, 2))]
    found = again([{key: 1, (key, 2): 2} for key in keys])
    assert [[type(key) for key in each] for each in found] == [[type(key), tuple] for key in keys]


class Itself(dict[str, Any]):
    def __init__(self, **items: Any) -> None:
        super().__init__(**items)
        self.__dict__ = self


def test_a_dict_that_is_its_own_attributes_is_refused() -> None:
    with pytest.raises(saver.CannotSaveError, match=r"save dict\(it\)"):
        saver.dumps(Itself(a=1))
    assert again(dict(Itself(a=1))) == {"a": 1}


# Locks, for those who ask ---------------------------------------------------------------------------------

LOCKS: dict[str, Any] = {
    name: getattr(threading, name)
    for name in ("Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier")
}


def lock(name: str) -> Any:
    return LOCKS[name](3) if name == "Barrier" else LOCKS[name]()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_comes_back_as_a_new_one_if_asked(name: str) -> None:
    made = lock(name)
    with pytest.raises(saver.CannotSaveError, match=rf"`saver\.register\(threading\.{name}\)` saves"):
        saver.dumps(made)
    for each in {name, *(("RLock",) if name == "Condition" else ())}:
        assert saver.register(LOCKS[each]) is LOCKS[each]
    data = saver.dumps([made, made])
    trust._registered.clear()
    found, same = saver.loads(data)
    assert found is same
    assert found is not made
    assert type(found) is type(made)


def test_a_lock_that_is_held_comes_back_open() -> None:
    saver.register(threading.Lock)
    made = threading.Lock()
    with made:
        found = again(made)
    assert not found.locked()


# What is refused, with a way out that works ---------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 5, 0.5])
def test_a_barrier_keeps_its_timeout(timeout: float | None) -> None:
    saver.register(threading.Barrier)
    found: Any = again(threading.Barrier(2, timeout=timeout))
    assert (found.parties, found._timeout) == (2, timeout)


def emptied() -> threading.Semaphore:
    made = threading.Semaphore(1)
    made.acquire()
    return made


UNUSABLE: dict[str, Callable[[], Any]] = {
    "a semaphore that was taken": emptied,
    "a semaphore of nobody": lambda: threading.Semaphore(0),
    "a bounded semaphore of nobody": lambda: threading.BoundedSemaphore(0),
    "a semaphore of too many": lambda: threading.Semaphore(1 << 40),
    "a barrier that never waits": lambda: threading.Barrier(2, timeout=-1),
    "a barrier that waits too long": lambda: threading.Barrier(2, timeout=1e30),
    "a barrier that waits for no number": lambda: threading.Barrier(2, timeout=cast("Any", "5")),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_lock_that_would_not_work_is_refused(what: str) -> None:
    made = UNUSABLE[what]()
    saver.register(type(made))
    with pytest.raises(
        saver.CannotSaveError, match=r"semaphore.*release it|barrier's timeout|semaphore.*not more than"
    ):
        saver.dumps(made)


class Own:
    def method(self) -> int:
        return 1


class Zone(datetime.tzinfo):
    pass


class Instant(datetime.datetime):
    pass


class Day(datetime.date):
    pass


class Hour(datetime.time):
    pass


class Span(datetime.timedelta):
    pass


class Third(Fraction):
    pass


class Exact(decimal.Decimal):
    pass


class Ident(uuid.UUID):
    pass


class Folder(pathlib.PurePosixPath):
    pass


class Place(zoneinfo.ZoneInfo):
    pass


class Queue(deque[Any]):
    pass


class Numbers(array.array):  # type: ignore[type-arg]
    pass


class Seeded(random.Random):
    pass


class Defaults(defaultdict[Any, Any]):
    pass


class Imaginary(complex):
    pass


class Buffer(bytearray):
    pass


class Array(np.ndarray[Any, Any]):
    pass


class Frame(pd.DataFrame):
    pass


class Column(pd.Series):  # type: ignore[type-arg]
    pass


class Way(NamedTuple):
    """What makes an object, and what the refusal says to save instead of it."""

    make: Callable[[], Any]
    instead: Callable[[Any], Any]


def same(it: Any) -> Any:
    return it


def text(it: Any) -> Any:
    return str(it)


def nothing(it: Any) -> Any:
    """It is left out, or made again."""


def made_from(it: Any) -> Any:
    return list(it)


class Held:
    """A weakref needs something to lead to."""


HELD = Held()


async def _later() -> None:
    pass


def _coroutine() -> Any:
    found = _later()
    found.close()
    return found


def _cell() -> Any:
    value = 5
    return cast("Any", (lambda: value)).__closure__[0]


def _traceback() -> Any:
    try:
        raise KeyError
    except KeyError as error:
        return error.__traceback__


def _parser() -> Any:
    parser = configparser.ConfigParser()
    parser.read_dict({"a": {"b": "1"}})
    return parser


WAYS: dict[str, Way] = {
    "builtins.method": Way(lambda: UserList([1]).count, lambda it: (it.__self__, it.__name__)),
    "builtins.builtin_function_or_method": Way(lambda: [1].count, lambda it: it.__self__),
    "builtins.method-wrapper": Way(lambda: (1).__add__, nothing),
    "builtins.wrapper_descriptor": Way(lambda: int.__add__, nothing),
    "builtins.classmethod_descriptor": Way(lambda: vars(dict)["fromkeys"], nothing),
    "operator.methodcaller": Way(lambda: operator.methodcaller("lower"), lambda it: kept),
    "functools.partialmethod": Way(lambda: functools.partialmethod(print), nothing),
    "functools.singledispatchmethod": Way(lambda: functools.singledispatchmethod(print), nothing),
    "builtins.property": Way(property, nothing),
    "builtins.classmethod": Way(lambda: classmethod(print), nothing),
    "builtins.staticmethod": Way(lambda: staticmethod(print), nothing),
    "builtins.code": Way(lambda: text.__code__, nothing),
    "builtins.generator": Way(lambda: (n for n in (1, 2)), made_from),
    "builtins.coroutine": Way(_coroutine, nothing),
    "builtins.module": Way(lambda: math_module(), lambda it: it.__name__),
    "builtins.dict_keys": Way(lambda: {1: 2}.keys(), made_from),
    "builtins.dict_values": Way(lambda: {1: 2}.values(), made_from),
    "builtins.dict_items": Way(lambda: {1: 2}.items(), made_from),
    "builtins.mappingproxy": Way(lambda: types.MappingProxyType({1: 2}), dict),
    "builtins.memoryview": Way(lambda: memoryview(b"ab"), bytes),
    "builtins.BaseException": Way(lambda: ValueError("a"), text),
    "builtins.frame": Way(inspect.currentframe, text),
    "builtins.traceback": Way(_traceback, text),
    "builtins.cell": Way(_cell, lambda it: it.cell_contents),
    "types.GenericAlias": Way(lambda: list[int], text),
    "types.UnionType": Way(lambda: int | str, text),
    "typing._BaseGenericAlias": Way(lambda: typing.List[int], text),  # noqa: UP006  an object of typing
    "typing._SpecialForm": Way(lambda: typing.Any if sys.version_info < (3, 11) else typing.Final, text),
    "typing.TypeVar": Way(lambda: typing.TypeVar("T"), text),
    "inspect.Signature": Way(lambda: inspect.signature(text), text),
    "inspect.Parameter": Way(lambda: inspect.signature(text).parameters["it"], text),
    "_io.BytesIO": Way(lambda: io.BytesIO(b"a"), lambda it: it.getvalue()),
    "_io.StringIO": Way(lambda: io.StringIO("a"), lambda it: it.getvalue()),
    "_io._IOBase": Way(lambda: open(__file__), lambda it: it.name),  # noqa: SIM115
    "_socket.socket": Way(socket.socket, nothing),
    "sqlite3.Connection": Way(lambda: sqlite3.connect(":memory:"), lambda it: ":memory:"),
    "weakref.ReferenceType": Way(lambda: weakref.ref(HELD), nothing),
    "weakref.ProxyType": Way(lambda: weakref.proxy(HELD), nothing),
    "weakref.WeakValueDictionary": Way(weakref.WeakValueDictionary, dict),
    "weakref.WeakKeyDictionary": Way(weakref.WeakKeyDictionary, dict),
    "_weakrefset.WeakSet": Way(weakref.WeakSet, set),
    "_struct.Struct": Way(lambda: struct.Struct("<i"), lambda it: it.format),
    "decimal.Context": Way(decimal.Context, lambda it: it.prec),
    "random.SystemRandom": Way(random.SystemRandom, nothing),
    "datetime.tzinfo": Way(Zone, lambda it: datetime.timezone.utc),  # noqa: UP017
    "xml.etree.ElementTree.Element": Way(
        lambda: xml.etree.ElementTree.Element("a"), xml.etree.ElementTree.tostring
    ),
    "configparser.RawConfigParser": Way(_parser, lambda it: {name: dict(it[name]) for name in it}),
    "collections.defaultdict": Way(lambda: Defaults(int), dict),
    "random.Random": Way(Seeded, lambda it: it.getstate()),
    "datetime.datetime": Way(lambda: Instant(2020, 1, 1), lambda it: it.isoformat()),
    "datetime.date": Way(lambda: Day(2020, 1, 1), lambda it: it.isoformat()),
    "datetime.time": Way(lambda: Hour(1), lambda it: it.isoformat()),
    "datetime.timedelta": Way(lambda: Span(1), lambda it: it.total_seconds()),
    "uuid.UUID": Way(lambda: Ident(int=1), lambda it: it.hex),
    "pathlib.PurePath": Way(lambda: Folder("a"), text),
    "zoneinfo.ZoneInfo": Way(lambda: Place("UTC"), lambda it: it.key),
    "array.array": Way(lambda: Numbers("d", [1.0]), lambda it: it.tolist()),
    "collections.deque": Way(lambda: Queue([1]), deque),
    "decimal.Decimal": Way(lambda: Exact(1), decimal.Decimal),
    "fractions.Fraction": Way(lambda: Third(1, 3), lambda it: Fraction(it.numerator, it.denominator)),
    "builtins.complex": Way(lambda: Imaginary(1j), complex),
    "builtins.bytearray": Way(lambda: Buffer(b"a"), bytearray),
    "builtins.tuple": Way(lambda: sys.version_info, tuple),
    "builtins.dict": Way(lambda: Counted(a=1), dict),
    "numpy.ndarray": Way(lambda: np.zeros(2).view(Array), np.asarray),
    "pandas.DataFrame": Way(lambda: Frame({"a": [1]}), pd.DataFrame),
    "pandas.Series": Way(lambda: Column([1]), pd.Series),
    "joblib.memory.Memory": Way(lambda: joblib.Memory(None), nothing),
}
"""For a class that has no data form, by the name under which a family says what to do instead."""


class Counted(Itself):
    pass


def math_module() -> Any:
    import math

    return math


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_what_a_refusal_says_to_save_instead_can_be_saved(name: str) -> None:
    made = WAYS[name].make()
    with pytest.raises(saver.CannotSaveError) as caught:
        saver.dumps({"a": made})
    why = str(caught.value)
    assert why.startswith("$.a: ")
    told = {each: way for family in registry.families() for each, way in family.instead.items()}
    ways = {
        told[f"{base.__module__}.{base.__qualname__}"]
        for base in type(made).__mro__
        if f"{base.__module__}.{base.__qualname__}" in told
    }
    assert any(way in why for way in ways) or "save dict(it)" in why
    again({"a": WAYS[name].instead(made)})
    if hasattr(type(made), "close"):
        made.close()


def test_every_sentence_that_says_to_save_something_is_tried() -> None:
    told = {
        name: way
        for family in registry.families()
        if family.name == "python"
        for name, way in family.instead.items()
    }
    saves = {name for name, way in told.items() if way.startswith("save ") and "save builtins" not in way}
    covered = {told[name] for name in WAYS if name in told}
    assert all(told[name] in covered or "(it), or hold a" in told[name] for name in saves)


LEFT_OUT: list[Callable[[], Any]] = [
    lambda: threading.Thread(target=print), threading.local, queue.Queue, queue.SimpleQueue,
    lambda: concurrent.futures.Future(), lambda: concurrent.futures.ThreadPoolExecutor(1),
    asyncio.new_event_loop, lambda: contextvars.ContextVar("a"), contextvars.copy_context,
    logging.StreamHandler,
]  # fmt: skip


@pytest.mark.parametrize("make", LEFT_OUT)
def test_what_lives_in_its_process_is_made_again(make: Callable[[], Any]) -> None:
    made = make()
    try:
        with pytest.raises(saver.CannotSaveError, match="leave it out, and make it again after loading"):
            saver.dumps(made)
    finally:
        if hasattr(made, "close"):
            made.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: itertools.count(1), lambda: itertools.cycle("ab"), lambda: zip("ab", [1, 2], strict=True),
        lambda: enumerate("ab"), lambda: map(str, [1]), lambda: iter([1]), lambda: iter({1: 2}),
        lambda: reversed([1]), lambda: itertools.chain([1]),
    ],
)  # fmt: skip
def test_what_can_be_gone_through_once_says_to_save_its_items(make: Callable[[], Any]) -> None:
    with pytest.raises(saver.CannotSaveError, match="save what it is made from, or a list of its items"):
        saver.dumps(make())


def test_counters_and_others_are_still_exact() -> None:
    for made in (Counter("aab"), OrderedDict(b=1, a=2), defaultdict(list, {1: [2]}), deque([1], 3)):
        assert again(made) == made
