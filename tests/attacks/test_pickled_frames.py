"""Pickles of frames that were changed: read or refused, in bounded time and memory, and nothing runs."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.formats.pickle.writing import Writer
from saver.pickled import Call, Global, Inert, Pairs

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

from formats.pickles import make_frames  # noqa: E402
from formats.test_pickle_frames import golden  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def _frame() -> Any:
    found = pd.DataFrame(np.arange(6).reshape(3, 2), columns=["a", "c"])  # which are one block
    found.insert(1, "b", [0.5, 1, 2])
    found["d"] = pd.Categorical(list("xyx"))
    return found


def _read(data: bytes) -> Inert:
    return run(Machine(memoryview(data)))


def _written(root: Inert) -> bytes:
    return b"".join(piece for piece in Writer(4).pieces(root) if isinstance(piece, bytes))


def _all(value: Any, seen: set[int] | None = None) -> Iterator[Call]:
    """Every call in a value."""
    known = set() if seen is None else seen
    if id(value) in known:
        return
    known.add(id(value))
    if type(value) is Call:
        yield value
        held: Any = [*value.args, value.state, *value.items]
    elif type(value) is Pairs:
        held = [each for pair in value.items for each in pair]
    else:
        held = value if isinstance(value, (list, tuple)) else []
    for each in held:
        yield from _all(each, known)


def _calls(root: Inert, name: str) -> list[Call]:
    return [call for call in _all(root) if call.function.name == name]


def test_what_is_not_changed_is_read() -> None:
    root = _read(pickle.dumps(_frame(), 4))
    pd.testing.assert_frame_equal(saver.loads(_written(root)), _frame())


def _slice(*limits: int) -> Call:
    return Call(Global("builtins", "slice"), limits)


def _place(number: int, place: Any) -> Callable[[Inert], None]:
    def change(root: Inert) -> None:
        block = _calls(root, "_unpickle_block")[number]
        block.args = (block.args[0], place, 2)

    return change


def _array(values: Any) -> Inert:
    return _read(pickle.dumps(np.asarray(values), 4))


PLACES = {
    "twice": _slice(0, 2, 1),
    "beyond": _slice(9, 12, 2),
    "below zero": _slice(-3, -1, 1),
    "backwards": _slice(0, -4, -2),
    "too many": _slice(0, 1 << 60, 1),
    "too few": _slice(0, 1, 1),
    "no step": _slice(0, 2, 0),
    "no range": _slice(0, 2),
    "text": "0",
    "nothing": None,
    "floats": _array([0.0, 2.0]),
    "the same twice": _array([0, 0]),
    "far away": _array([0, 1 << 62]),
    "of two axes": _array([[0, 2]]),
    "another call": Call(Global("collections", "OrderedDict")),
}


@pytest.mark.parametrize("name", PLACES)
def test_wrong_places_of_a_block_are_refused_before_an_import(name: str, tmp_path: Path) -> None:
    root, path = _read(pickle.dumps(_frame(), 4)), tmp_path / "frame.pkl"
    _place(0, PLACES[name])(root)
    path.write_bytes(_written(root))
    with pytest.raises(saver.IncompatibleError, match=r"places (for|of)|do not fill|array is missing|axes"):
        saver.describe(path)


VALUES = {
    "fewer rows": np.zeros((2, 2), "i8"),
    "more rows": np.zeros((2, 4), "i8"),
    "fewer columns": np.zeros((1, 3), "i8"),
    "more columns": np.zeros((3, 3), "i8"),
    "one axis": np.zeros(3, "i8"),
    "three axes": np.zeros((2, 3, 1), "i8"),
    "no axis": np.zeros((), "i8"),
    "texts": np.zeros((2, 3), "U3"),
    "structures": np.zeros((2, 3), [("a", "i4")]),
    "dates of days": np.zeros((2, 3), "M8[D]"),
    "another order": np.zeros((2, 3), ">M8[ns]"),
    "objects, fewer": np.full((2, 2), None),
}


@pytest.mark.parametrize("name", VALUES)
def test_wrong_values_of_a_block_are_refused(name: str) -> None:
    root = _read(pickle.dumps(_frame(), 4))
    block = _calls(root, "_unpickle_block")[0]
    block.args = (_array(VALUES[name]), *block.args[1:])
    with pytest.raises(saver.IncompatibleError):
        saver.loads(_written(root))


def _codes(root: Inert) -> None:
    found = _calls(root, "__pyx_unpickle_NDArrayBacked")[0]
    found.state = tuple(_array(np.array([0, 9, 1], "i1")) if type(part) is Call and not part.made else part
                        for part in found.state)  # fmt: skip


def _manager(change: Callable[[Call], None]) -> Callable[[Inert], None]:
    return lambda root: change(_calls(root, "BlockManager")[0])


def _set(call: Call, **named: Any) -> None:
    for name, value in named.items():
        setattr(call, name, value)


FORGED: dict[str, Callable[[Inert], None]] = {
    "codes of no category": _codes,
    "no blocks": _manager(lambda call: _set(call, args=((), call.args[1]))),
    "a block twice": _manager(lambda call: _set(call, args=(call.args[0][:1] * 2, call.args[1]))),
    "a block too few": _manager(lambda call: _set(call, args=(call.args[0][1:], call.args[1]))),
    "axes the other way round": _manager(lambda call: _set(call, args=(call.args[0], call.args[1][::-1]))),
    "one axis": _manager(lambda call: _set(call, args=(call.args[0], call.args[1][:1]))),
    "three axes": _manager(lambda call: _set(call, args=(call.args[0], call.args[1] * 2))),
    "no axes": _manager(lambda call: _set(call, args=(call.args[0], None))),
    "numbers as blocks": _manager(lambda call: _set(call, args=((1, 2), call.args[1]))),
    "a frame as its own manager": lambda root: _set(root, state=Pairs([("_mgr", root)])),
    "no manager": lambda root: _set(root, state=Pairs([("_typ", "dataframe")])),
    "no state": lambda root: _set(root, state=None, has_state=False),
    "arguments": lambda root: _set(root, args=(1,)),
    "an index of an index": lambda root: _set(
        _calls(root, "_new_Index")[0],
        args=(Global("pandas", "Index"), Pairs([("data", _calls(root, "_new_Index")[0])])),
    ),
    "an index of no class": lambda root: _set(_calls(root, "_new_Index")[0], args=(None, Pairs())),
    "an index of another class": lambda root: _set(
        _calls(root, "_new_Index")[0], args=(Global("os", "system"), Pairs([("data", None)]))
    ),
    "a range without end": lambda root: _set(
        _calls(root, "_new_Index")[-1],
        args=(Global("pandas", "RangeIndex"), Pairs([("start", 0), ("stop", 1 << 62), ("step", 1)])),
    ),
    "levels without codes": lambda root: _set(
        _calls(root, "_new_Index")[0],
        args=(Global("pandas", "MultiIndex"), Pairs([("levels", [None]), ("codes", []), ("names", [])])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_pandas_does_not_write_is_refused(name: str) -> None:
    root = _read(pickle.dumps(_frame(), 4))
    FORGED[name](root)
    with pytest.raises(saver.IncompatibleError):
        saver.loads(_written(root))


OLD: dict[str, Callable[[Pairs, Pairs], None]] = {
    "nothing": lambda state, kept: state.items.clear(),
    "no blocks": lambda state, kept: kept.items.append(("blocks", None)),
    "numbers as blocks": lambda state, kept: kept.items.append(("blocks", [1])),
    "a block without values": lambda state, kept: kept.items.append(
        ("blocks", [Pairs([("mgr_locs", _slice(0, 1, 1))])])
    ),
    "no axes": lambda state, kept: kept.items.append(("axes", None)),
}


@pytest.mark.parametrize("name", OLD)
def test_the_state_of_old_managers_is_checked(name: str) -> None:
    """Those before 1.3 have rows of blocks and, beside them, a dict of what counts."""
    root = _read(golden()["1.0.5/frame.pkl"])
    state = _calls(root, "BlockManager")[0].state[3]
    OLD[name](state, dict(state.items)["0.14.1"])
    with pytest.raises(saver.IncompatibleError):
        saver.loads(_written(root))


ELSEWHERE = (
    "pandas:eval", "pandas:read_pickle", "pandas.io.pickle:read_pickle", "pandas.io.pickle:DataFrame",
    "pandas.core.computation.eval:eval", "pandas.core.frame:DataFrame.eval", "pandas.core.frame:os.system",
    "pandas:DataFrame.query", "pandas.core.common:pipe", "pandas.compat.pickle_compat:loads",
    "pandas._libs.internals:BlockValuesRefs", "pandas._libs.arrays:__pyx_unpickle_Other",
    "pandasx:DataFrame", "pyarrow:foreign_buffer", "pyarrow.lib:foreign_buffer", "pyarrow:memory_map",
    "pyarrow.lib:read_tensor", "pyarrow.compute:DataFrame", "dateutil.parser:parse", "dateutil.tz:gettz",
    "dateutil.rrule:rrulestr", "pytz:timezone", "pytz.tzinfo:unpickler", "zoneinfo:ZoneInfo.from_file",
    "functools:reduce",
)  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_names_of_these_libraries_are_refused(name: str, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "frame.pkl"
    module, _, what = name.partition(":")
    path.write_bytes(_written([Call(Global(module, what), ("touch exploded",))]))
    refused(path, saver.IncompatibleError, f"{module}.{what}")


@pytest.mark.parametrize(
    ("owner", "name"),
    [("pandas:DataFrame", "eval"), ("zoneinfo:ZoneInfo", "from_file"), ("zoneinfo:ZoneInfo", "__init__"),
     ("os:path", "join"), ("zoneinfo:TZPATH", "_unpickle")],
)  # fmt: skip
def test_attributes_that_no_library_names_are_refused(
    owner: str, name: str, tmp_path: Path, refused: Any
) -> None:
    path = tmp_path / "frame.pkl"
    module, _, what = owner.partition(":")
    found = f"c{module}\n{what}\n".encode()
    path.write_bytes(b"\x80\x02cbuiltins\ngetattr\n(" + found + b"V%s\ntR(VUTC\ntR." % name.encode())
    refused(path, saver.IncompatibleError, "builtins.getattr")


def test_a_partial_is_applied_and_judged_by_its_function(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "frame.pkl"
    partial = b"cfunctools\npartial\n(cos\nsystem\nVtouch exploded\ntR)R"
    path.write_bytes(b"\x80\x02" + partial + b".")
    refused(path, saver.IncompatibleError, "os.system\\('touch exploded'\\)")
    path.write_bytes(b"\x80\x02cfunctools\npartial\n)R)R.")
    refused(path, saver.IncompatibleError)


SAMPLES = {
    "3.0.0/frame.pkl", "3.0.0/frame_of_zones.pkl", "3.0.0/frame_of_extensions.pkl",
    "3.0.0/index_of_levels.pkl", "2.2.3/series_of_arrow_lists.pkl",
    "1.3.5/frame_of_categories.pkl", "1.0.5/frame_of_periods.pkl",
    "0.25.3/frame_of_sparse.pkl", "0.24.2/frame.pkl", "0.20.3/index_of_intervals.pkl", "3.0.0/scalars.pkl",
    "0.20.3/offsets_with_settings.pkl",
}  # fmt: skip

MADE: dict[str, Callable[[], Any]] = {
    "dictionaries of Arrow": lambda: pa.array(
        [["a", "b"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))
    ),
    "maps of Arrow": lambda: pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
    "lists of Arrow of one length": lambda: pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
    "views of Arrow": lambda: pa.array(["a", None, "x" * 30], pa.string_view()),
    "a series of words of Arrow": lambda: pd.Series(["a", "b", "a"], dtype=WORDS),
}
WORDS = pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))


@cache
def _sample(name: str) -> bytes:
    return pickle.dumps(MADE[name](), 4) if name in MADE else golden()[name]


def _opens(data: bytes) -> None:
    try:
        saver.loads(data)
    except saver.SaverError:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES | {*MADE}))
def test_every_cut_is_refused(name: str) -> None:
    data = _sample(name)
    for end in range(len(data)):
        with pytest.raises(saver.SaverError):
            saver.loads(data[:end])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES | {*MADE}))
def test_every_byte_changed_is_read_or_refused(name: str) -> None:
    sample, chance = _sample(name), random.Random(name)
    for at in range(len(sample)):
        data = bytearray(sample)
        data[at] = (data[at] + chance.choice((1, 128, 255))) % 256
        _opens(bytes(data))


NUMBERS = (-1, 0, 1, 2, 1 << 31, (1 << 63) - 1, 1 << 70)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES | {*MADE}))
def test_every_number_changed_is_read_or_refused(name: str) -> None:
    """Counts, sizes, shapes, offsets, places, codes, units: in turn, another one, or a text."""

    def numbers() -> list[tuple[Call, int]]:
        found = []
        for call in _all(root):
            found += [(call, at) for at, arg in enumerate(call.args) if type(arg) in (int, tuple)]
        return found

    root = _read(_sample(name))
    for at in range(len(numbers())):
        for other in (*NUMBERS, None, "x", (), ((1 << 40),)):
            root = _read(_sample(name))
            call, place = numbers()[at]
            old = call.args[place]
            if type(old) is tuple and old and type(other) is int:
                for within in range(min(len(old), 8)):
                    changed = (*old[:within], other, *old[within + 1 :])
                    call.args = (*call.args[:place], changed, *call.args[place + 1 :])
                    _opens(_written(root))
                continue
            call.args = (*call.args[:place], other, *call.args[place + 1 :])
            _opens(_written(root))


def _repeated(make: Callable[[], Any], again: Callable[[Call], Call], name: str, times: int) -> bytes:
    """A list of many instances that hold the same long value."""
    root = _read(pickle.dumps(make(), 4))
    found = _calls(root, name)[0]
    return _written([again(found) for _ in range(times)])


def _anew(call: Call) -> Call:
    return Call(call.function, call.args, call.kwargs, call.made, call.state, has_state=call.has_state)


REPEATED = {
    "frames of objects": (lambda: pd.DataFrame({"a": [None] * 20_000}, dtype=object), "DataFrame"),
    "strings": (lambda: pd.array(["a"] * 20_000, dtype="string[python]"), "__pyx_unpickle_NDArrayBacked"),
    "Arrow": (lambda: pd.array(["a"] * 20_000, dtype="string[pyarrow]"), "_restore_array"),
    "dates in a zone": (
        lambda: pd.DataFrame({"a": pd.DatetimeIndex(["2014-01-01"] * 20_000, tz="UTC")}), "DataFrame",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REPEATED)
def test_long_values_that_occur_often_are_bounded(name: str) -> None:
    make, what = REPEATED[name]
    data = _repeated(make, _anew, what, 20_000)
    with pytest.raises(saver.SaverError, match="occur so often"):
        saver.loads(data)


def test_types_of_arrow_that_hold_the_next_one_twice_are_refused(tmp_path: Path, refused: Any) -> None:
    kind: Any = Call(Global("pyarrow.lib", "type_for_alias"), ("int8",))
    for _ in range(15):
        fields = [Call(Global("pyarrow.lib", "field"), (str(at), kind, True, None)) for at in range(9)]
        kind = Call(Global("pyarrow.lib", "struct"), (fields,))
    path = tmp_path / "type.pkl"
    path.write_bytes(_written([kind]))
    refused(path, saver.IncompatibleError, "consists of more than")


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_an_archive_of_one_pickle_is_read_and_of_others_is_not() -> None:
    data = pickle.dumps([1, 2], 4)
    assert saver.loads(_zip({"frame.pkl": data})) == [1, 2]
    assert saver.loads(_zip({"frame": data}, zipfile.ZIP_STORED)) == [1, 2]
    for entries in ({"a": data, "b": data}, {"a": b"text"}, {"a": b""}, {}):
        with pytest.raises(saver.SaverError):
            saver.loads(_zip(entries))


def test_an_archive_that_unpacks_to_too_much_or_was_changed_is_refused() -> None:
    with pytest.raises(saver.LimitExceededError, match="unpacks to more than"):
        saver.loads(_zip({"a": pickle.dumps(bytes(300 << 20), 4)}))
    whole = _zip({"a": pickle.dumps(list(range(50)), 4)})
    for end in range(len(whole)):
        with pytest.raises(saver.SaverError):
            saver.loads(whole[:end])
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1
        _opens(bytes(data))


def test_every_maker_of_golden_values_is_covered() -> None:
    assert {name.partition("/")[2].partition(".")[0] for name in golden()} == set(make_frames.makers())
