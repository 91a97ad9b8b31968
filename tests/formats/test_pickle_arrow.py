"""Arrays of Arrow in pickles become streams that Arrow reads, and the same that it writes."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest

import saver
from saver.families.pyarrow import pickles
from saver.families.pyarrow.streams import stream_of
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.pickled import Repeats

pa = pytest.importorskip("pyarrow")

KINDS: dict[str, Any] = {
    "whole": lambda: pa.array([1, None, 3]),
    **{f"{kind}{bits}": lambda kind=kind, bits=bits: pa.array([1, 2, 3], getattr(pa, f"{kind}{bits}")())
       for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "double": lambda: pa.array([1.5, None]),
    "float": lambda: pa.array([1.5, 2.5], pa.float32()),
    "flags": lambda: pa.array([True, None, False] * 20),
    "nothing": lambda: pa.nulls(3),
    "texts": lambda: pa.array(["a", None, "xyz"]),
    "large texts": lambda: pa.array(["a", None, "xyz"], pa.large_string()),
    "bytes": lambda: pa.array([b"a", b""], pa.binary()),
    "large bytes": lambda: pa.array([b"a", None], pa.large_binary()),
    "bytes of one size": lambda: pa.array([b"abcd", None], pa.binary(4)),
    "times in a zone": lambda: pa.array([1, 2], pa.timestamp("us", "Europe/Rome")),
    **{f"{kind}, {unit}": lambda kind=kind, unit=unit: pa.array([1, None], getattr(pa, kind)(unit))
       for kind in ("timestamp", "duration") for unit in ("s", "ms", "us", "ns")},
    **{f"clock, {unit}": lambda unit=unit: pa.array([1], pa.time32(unit)) for unit in ("s", "ms")},
    **{f"clock, {unit}": lambda unit=unit: pa.array([1], pa.time64(unit)) for unit in ("us", "ns")},
    "days": lambda: pa.array([1, None], pa.date32()),
    "days in milliseconds": lambda: pa.array([86_400_000], pa.date64()),
    "decimals": lambda: pa.array([Decimal("1.25"), None], pa.decimal128(5, 2)),
    "large decimals": lambda: pa.array([Decimal("1.25")], pa.decimal256(50, 2)),
    "lists": lambda: pa.array([[1, 2], None, [3]]),
    "large lists": lambda: pa.array([["a"], [None, "b"]], pa.large_list(pa.string())),
    "structs": lambda: pa.array([{"a": 1, "b": "x"}, None]),
    "words": lambda: pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "ordered words": lambda: pa.DictionaryArray.from_arrays(
        pa.array([1, 0, None], pa.int8()), ["x", "y"], ordered=True),
    "numbers in a dictionary": lambda: pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1], pa.uint16()), pa.array([2.5, None])),
    "lists of words": lambda: pa.array(
        [["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "lists in a dictionary": lambda: pa.DictionaryArray.from_arrays([1, 0], pa.array([["a"], ["b", None]])),
    "words in lists in a dictionary": lambda: pa.DictionaryArray.from_arrays(
        [0, 1], pa.array([["a"], ["b", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))),
    "structs of two dictionaries": lambda: pa.StructArray.from_arrays(
        [pa.array(["a", "b"]).dictionary_encode(), pa.array([1, 1]).dictionary_encode()], ["a", "b"]),
    "maps": lambda: pa.array([[("a", 1)], None, [("b", None), ("c", 3)]], pa.map_(pa.string(), pa.int8())),
    "maps of maps": lambda: pa.array([[(1, [(2, "x")])], []], pa.map_(
        pa.int8(), pa.map_(pa.int8(), pa.string()))),
    "maps with names": lambda: pa.array([[(1, 2)]], pa.map_(
        pa.field("k", pa.int8(), False), pa.field("v", pa.int8(), False))),
    "lists of one length": lambda: pa.array([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
    "lists of nothing": lambda: pa.array([[], []], pa.list_(pa.int8(), 0)),
    "views": lambda: pa.array(["a", None, "x" * 30, "y" * 40], pa.string_view()),
    "views of bytes": lambda: pa.array([b"a" * 20, None, b"b"], pa.binary_view()),
    "spans": lambda: pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
    "small decimals": lambda: pa.array([Decimal("1.25"), None], pa.decimal32(5, 2)),
    "decimals of 64 bits": lambda: pa.array([Decimal("1.25")], pa.decimal64(15, 2)),
    "lists of structs": lambda: pa.array([[{"a": 1}], None, [{"a": None}, {"a": 2}]]),
    "no texts": lambda: pa.array([], pa.string()),
    "no lists": lambda: pa.array([], pa.list_(pa.int8())),
}  # fmt: skip

PARTS = {"whole": slice(None), "the end": slice(1, None), "the middle": slice(1, 2), "none": slice(0, 0)}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", KINDS)
def test_an_array_is_what_it_was(name: str, part: str) -> None:
    array = KINDS[name]()[PARTS[part]]
    for protocol in (2, 5):
        (found,) = saver.loads(pickle.dumps([array], protocol))
        found.validate(full=True)
        assert found.equals(array)
        chunked = pa.chunked_array([array, array])
        (found,) = saver.loads(pickle.dumps([chunked], protocol))
        assert found.equals(chunked)
        assert [len(chunk) for chunk in found.chunks] == [len(array)] * 2


@pytest.mark.parametrize("name", KINDS)
def test_the_stream_is_the_one_that_arrow_writes(name: str) -> None:
    array = KINDS[name]()
    call = run(Machine(memoryview(pickle.dumps(array))))
    (state,) = call.args
    kind = pickles.kind_of(state[0])
    schema, sink = pa.schema([pa.field("", array.type)]), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([array], schema=schema))
    assert stream_of(kind, [pickles._column(state, kind, Repeats())]) == sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", KINDS)
def test_a_type_is_what_it_was(name: str) -> None:
    kind = KINDS[name]().type
    assert saver.loads(pickle.dumps([kind])) == [kind]


def test_chunks_have_dictionaries_of_their_own() -> None:
    chunks = [pa.array(each).dictionary_encode() for each in (["a", "b"], ["b", "c", "b"], ["b", "c"])]
    array = pa.chunked_array(chunks)
    (found,) = saver.loads(pickle.dumps([array]))
    assert [chunk.equals(other) for chunk, other in zip(found.chunks, chunks, strict=True)] == [True] * 3


UNREAD: dict[str, Any] = {
    "a union": lambda: pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    "runs": lambda: pa.RunEndEncodedArray.from_arrays([2], ["a"]),
    "a view of lists": lambda: pa.array([[1]], pa.list_view(pa.int8())),
}


@pytest.mark.parametrize("name", UNREAD)
def test_other_types_are_refused_by_name(name: str) -> None:
    with pytest.raises(saver.IncompatibleError, match=r"Arrow|pyarrow"):
        saver.loads(pickle.dumps([UNREAD[name]()]))
