# ruff: noqa: E501
"""Files of layer 3: values of Python and NumPy."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from cycles import cycles
from forms import sound, unsound
from layer1 import DTYPES, F64, Case
from layer2 import tree
from pieces import Pack, b64, dumps, node
from randomness import sound as generators
from randomness import unsound as broken_generators
from relations import sound as related
from relations import unsound as unrelated

F = b64(F64[:8])
BIG = "20000000000001"
"""2^53 + 1."""


def array(dtype: Any, shape: Any, data: Any, **more: Any) -> dict[str, Any]:
    return node("numpy.array", {"dtype": dtype, "shape": shape, "data": data} | more)


def column(kind: str, dtype: str, data: bytes, codec: str = "list", shape: list[int] | None = None) -> bytes:
    pack = Pack()
    size = 1 if dtype in ("BOOL", "U8") else int(dtype[1:]) // 8
    found = pack.tensor("column", dtype, shape or [len(data) // size], data)
    pack.tree = node(codec, {kind: found})
    return pack.bytes()


def texts(data: bytes, ends: list[int], **more: Any) -> bytes:
    pack = Pack()
    packed = struct.pack(f"<{len(ends)}q", *ends)
    found = {
        "ends": pack.tensor("ends", "I64", [len(ends)], packed),
        "str": pack.tensor("str", "U8", [len(data)], data),
    }
    pack.tree = node("list", found | more)
    return pack.bytes()


def held(codec: str, data: bytes, dtype: str = "U8", shape: list[int] | None = None) -> bytes:
    """A node whose state is a tensor."""
    pack = Pack()
    pack.tree = node(codec, pack.tensor("data", dtype, [len(data)] if shape is None else shape, data))
    return pack.bytes()


def data_of(dtype: Any, shape: list[int], kind: str, sizes: list[int], data: bytes, **more: Any) -> bytes:
    """An array whose bytes are a tensor."""
    pack = Pack()
    pack.tree = array(dtype, shape, pack.tensor("data", kind, sizes, data), **more)
    return pack.bytes()


DATES = ["2020-01-31", "0001-01-01", "9999-12-31"]
VALUES: dict[str, Any] = {
    "int": node("int", BIG), "int-minus": node("int", "-" + BIG), "int-large": node("int", "f" * 200),
    "nan": node("float", "7ff8000000000000"), "nan-payload": node("float", "fff8000000000001"),
    "inf": node("float", "7ff0000000000000"), "inf-minus": node("float", "fff0000000000000"),
    "complex": node("complex", [{"$float": 1}, node("float", "7ff8000000000000")]),
    "str": node("str", b64("a\ud83d\udc00".encode("utf-8", "surrogatepass"))),
    "str-long": node("str", b64(b"a" * 512)), "str-empty": node("str", ""),
    "bytes": node("bytes", b64(b"\0\xff")), "bytes-empty": node("bytes", ""), "bytearray": node("bytearray", "AA=="),
    "tuple": node("tuple", [1, node("tuple", [])]), "set": node("set", [1, 2]), "set-mixed": node("set", [1, "a"]),
    "set-empty": node("set", []), "frozenset": node("frozenset", ["a"]),
    "dict-items": node("dict", [[1, node("tuple", [2])], ["a", "b"]]), "dict-bool": node("dict", [[True, 2], [1, 2]]),
    "dict-surrogate": node("dict", [[node("str", b64(b"\xed\xa0\xbd"))], [1]]),
    "range": node("range", [0, 10, 2]), "slice": node("slice", [None, 1, "a"]),
    "ellipsis": node("singleton", "Ellipsis"), "not-implemented": node("singleton", "NotImplemented"),
    "ordered": node("stdlib.OrderedDict", {"$order": [1, 0], "a": 1, "b": 2}),
    "counter": node("stdlib.Counter", {"a": 1}),
    "deque": node("stdlib.deque", [None, [1, 2]]), "deque-length": node("stdlib.deque", [2, [1, 2]]),
    "namespace": node("stdlib.SimpleNamespace", {"a": 1}), "decimal": node("stdlib.Decimal", b64(b"1.50")),
    "fraction": node("stdlib.Fraction", [1, 3]), "uuid": node("stdlib.UUID", "0123456789abcdef" * 2),
    "path": node("stdlib.path", ["PurePosixPath", "a/b"]), "date": node("stdlib.date", "2020-01-31"),
    "datetime": node("stdlib.datetime", ["2020-01-31T12:00:00.000001", None, 0]),
    "time": node("stdlib.time", ["12:30:00", node("stdlib.timezone", [node("stdlib.timedelta", [0, 3600, 0])]), 1]),
    "timedelta": node("stdlib.timedelta", [-1, 86399, 999999]),
    "array-array": node("stdlib.array", ["d", 8, F]), "array-u": node("stdlib.array", ["u", "ab"]),
    "pattern": node("stdlib.Pattern", ["a+", 32]),
    "numpy-empty": array("<f8", [0], ""), "numpy-scalar": array("<f8", [], F),
    "numpy-big": array(">i4", [2], b64(b"\0\0\0\1\0\0\0\2")), "numpy-bool": array("|b1", [2], b64(b"\0\1")),
    "numpy-u": array("<U2", [2], b64("ab\0\0".encode("utf-32-le"))), "numpy-s": array("|S3", [1], b64(b"ab\0")),
    "numpy-m": array("<M8[ns]", [1], b64(b"\1" + b"\0" * 7)), "numpy-m10": array("<m8[10s]", [1], b64(b"\1" + b"\0" * 7)),
    "numpy-v": array("|V2", [1], b64(b"\1\2")), "numpy-c": array("<c8", [1], F), "numpy-f2": array("<f2", [1], b64(b"\0\x3c")),
    "numpy-fortran": array("<i2", [3, 2], b64(bytes([1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0])), order="F"),
    "numpy-axes": array("|u1", [2, 1, 3], b64(bytes(range(6))), order=[1, 2, 0]),
    "numpy-objects": node("numpy.array", {"dtype": "|O", "items": [1, "a"], "shape": [2]}),
    "numpy-struct": array({"names": ["a", "b"], "formats": ["|u1", "<i2"], "offsets": [0, 2], "itemsize": 4}, [1],
                          b64(b"\1\0\2\0")),
    "numpy-sub": array({"names": ["a"], "formats": [{"base": "|u1", "shape": [2]}], "offsets": [0], "itemsize": 2}, [1],
                       b64(b"\1\2")),
    "numpy-dtype": node("numpy.dtype", "<f4"), "numpy-dtype-o": node("numpy.dtype", "|O"),
    "scalar": node("numpy.scalar", ["<i4", 5]), "scalar-bool": node("numpy.scalar", ["|b1", True]),
    "scalar-float": node("numpy.scalar", ["<f8", 1.5]), "scalar-b64": node("numpy.scalar", ["<f8", F]),
    "scalar-u": node("numpy.scalar", ["U", "text"]), "scalar-s": node("numpy.scalar", ["S", node("bytes", "YQ==")]),
    "masked": node("numpy.masked", {"data": array("|u1", [1], "AQ=="), "mask": array("|b1", [1], "AQ=="),
                                    "fill_value": None, "hard": False}),
}  # fmt: skip


def valid() -> Iterator[Case]:
    for name, value in {**VALUES, **cycles(), **sound()}.items():
        yield name, None, tree(value), f"the value {dumps(value)[:70]}"
    for name, value, what in (*generators(), *related()):
        yield name, None, tree(value), what
    eighty = range(80)
    yield "column-float", None, column("float", "F64", F64 * 12), "a column of floats"
    yield "column-int", None, column("int", "I64", struct.pack("<80q", *eighty), "tuple"), "a column of ints"
    yield (
        "column-int-large",
        None,
        column("int", "I64", struct.pack("<2q", 2**62, -(2**63))),
        "large ints in a column",
    )
    yield "column-bool", None, column("bool", "BOOL", bytes(at % 2 for at in eighty)), "a column of booleans"
    yield "column-str", None, texts("aä".encode() + b"\xed\xa0\xbd", [1, 1, 3, 6]), "a column of strings"
    yield "column-empty", None, column("float", "F64", b""), "a column of nothing"
    yield "int-tensor", None, held("int", b"1" + b"0" * 600), "an int of 601 digits"
    yield "str-tensor", None, held("str", b"a" * 600), "a string of 600 characters"
    yield "bytes-tensor", None, held("bytes", b"\1" * 600), "600 bytes"
    yield "data-complex", None, data_of("<c16", [2], "F64", [2, 2], F64[:32]), "complex numbers in a tensor"
    yield "data-dates", None, data_of("<M8[D]", [2], "I64", [2], DTYPES["I64"]), "dates in a tensor"
    yield (
        "data-text",
        None,
        data_of("<U2", [2], "U32", [2, 2], "ab\0\0".encode("utf-32-le")),
        "texts in a tensor",
    )
    yield "data-bytes", None, data_of("|S3", [2], "U8", [2, 3], b"abc\0\0\0"), "byte strings in a tensor"
    yield (
        "data-big",
        None,
        data_of(">f4", [2], "U8", [2, 4], b"\x3f\x80\0\0" * 2),
        "big-endian numbers in a tensor",
    )
    yield (
        "data-fortran",
        None,
        data_of("<f8", [3, 2], "F64", [3, 2], F64, order="F"),
        "an array in Fortran order",
    )


def invalid() -> Iterator[Case]:
    yield from states()
    for name, (value, what) in unsound().items():
        yield f"form-{name}", "3.01", tree(value), what
    for name, value, what in broken_generators():
        yield f"form-{name}", "3.01", tree(value), what
    for name, value, rule, what in unrelated():
        yield name, rule, tree(value), what
    yield from numbers()
    yield from containers()
    yield from arrays()
    yield from dtypes()


STATES: list[Any] = [None, 5, "xyz", [], {}, {"a": 1, "b": 2, "c": 3}, [1]]
FINE: dict[str, Callable[[Any], bool]] = {
    "int": lambda s: isinstance(s, str), "float": lambda s: isinstance(s, str), "complex": lambda s: False,
    "str": lambda s: isinstance(s, str), "bytes": lambda s: isinstance(s, str),
    "bytearray": lambda s: isinstance(s, str), "list": lambda s: isinstance(s, (list, dict)),
    "tuple": lambda s: isinstance(s, (list, dict)), "set": lambda s: isinstance(s, (list, dict)),
    "frozenset": lambda s: isinstance(s, (list, dict)), "dict": lambda s: isinstance(s, dict),
    "range": lambda s: False, "slice": lambda s: False, "singleton": lambda s: False,
    "stdlib.OrderedDict": lambda s: isinstance(s, dict), "stdlib.Counter": lambda s: isinstance(s, dict),
    "stdlib.defaultdict": lambda s: False, "stdlib.deque": lambda s: False,
    "stdlib.SimpleNamespace": lambda s: isinstance(s, dict), "stdlib.partial": lambda s: False,
    "stdlib.Decimal": lambda s: isinstance(s, str), "stdlib.Fraction": lambda s: False, "stdlib.UUID": lambda s: False,
    "stdlib.path": lambda s: False, "stdlib.date": lambda s: False, "stdlib.datetime": lambda s: False,
    "stdlib.time": lambda s: False, "stdlib.timedelta": lambda s: False, "stdlib.timezone": lambda s: False,
    "stdlib.ZoneInfo": lambda s: False, "stdlib.array": lambda s: False, "stdlib.Pattern": lambda s: False,
    "stdlib.address": lambda s: False, "stdlib.getter": lambda s: False, "stdlib.record": lambda s: False,
    "stdlib.lock": lambda s: False, "stdlib.Random": lambda s: False, "numpy.scalar": lambda s: False,
    "numpy.masked": lambda s: False, "numpy.masked_constant": lambda s: s is None, "numpy.series": lambda s: False,
    "numpy.poly1d": lambda s: False, "numpy.subclass": lambda s: False, "numpy.SeedSequence": lambda s: False,
    "numpy.BitGenerator": lambda s: False, "numpy.Generator": lambda s: False, "numpy.RandomState": lambda s: False,
}  # fmt: skip
"""Which of these states are not wrong for a codec, or wrong by another rule than 3.01."""


def states() -> Iterator[Case]:
    for codec, fine in FINE.items():
        for at, state in enumerate(STATES):
            if not fine(state) and not (codec == "numpy.Generator" and isinstance(state, (dict, list))):
                yield f"state-{codec}-{at}", "3.01", tree(node(codec, state)), f"a {codec} of {dumps(state)}"
    wrong: dict[str, list[Any]] = {
        "complex": [[1, 2], [{"$float": 1}], [{"$float": 1}, "a"], [{"$float": 1}] * 3],
        "range": [[0, 1], [0, 1, 0], [0, 1, 1, 1], [0, 1.5, 1], ["0", 1, 1], [None, 1, 1], [True, 2, 1]],
        "slice": [[0, 1], [0, 1, 1, 1]], "singleton": ["None", "ellipsis"],
        "stdlib.deque": [[None], [-1, []], ["1", []], [1.5, []], [True, []], [1, [1, 2]], [None, [], 1], [None, 5]],
        "stdlib.Fraction": [[1, 0], [1], [1, 2, 3], [2, 4], [1, -2], [1.5, 2], [True, 2]],
        "stdlib.UUID": ["0" * 31, "0" * 33, "g" * 32, "A" * 32, "{" + "0" * 32 + "}", "0000-" + "0" * 28],
        "stdlib.path": [["Path", "a"], ["PurePosixPath", 5], ["PurePosixPath"], ["os", "a"], ["PurePosixPath", "a", "b"]],
        "stdlib.date": ["2020-02-30", "20200131", "2020-1-31", "2020-W01-1", "2020-01-31T00:00", "٢٠٢٠-01-31", ""],
        "stdlib.datetime": [
            ["2020-01-31T12:00:00", None], ["2020-01-31T12:00:00+01:00", None, 0], ["2020-01-31T25:00:00", None, 0],
            ["2020-01-31T12:00:00", 5, 0], ["2020-01-31T12:00:00", None, 2], ["2020-01-31T12:00:00", None, True],
            ["2020-01-31", None, 0], ["2020-01-31 12:00:00", None, 0], ["2020-01-31T12:00:00Z", None, 0],
        ],
        "stdlib.time": [["12:00:00"], ["12:00:00+01:00", None, 0], ["24:00:00", None, 0], ["T12:00:00", None, 0]],
        "stdlib.timedelta": [[1, 2], [1, 86400, 0], [1, -1, 0], [1, 0, 10**6], [1.5, 0, 0], ["1", 0, 0], [10**9, 0, 0],
                             [True, 0, 0]],
        "stdlib.timezone": [[1], [node("stdlib.timedelta", [1, 0, 0])], [node("stdlib.timedelta", [0, 0, 0]), 5]],
        "stdlib.array": [["d", 8], ["d", 4, F], ["z", 8, F], ["d", 8, b64(b"abc")], ["u", 5], ["u", 4, F], ["dd", 8, F]],
        "stdlib.Pattern": [["(", 32], ["a", -1], ["a", "32"], [5, 32], ["a", 1 << 40]],
        "stdlib.ZoneInfo": ["No/Such", "../etc/passwd", ""],
        "stdlib.Random": [[version, [*words, position], following] for version, words, position, following in (
            (2, [1] * 624, 624, None), (True, [1] * 624, 624, None), (3, [2**32, *[1] * 623], 624, None),
            (3, [-1, *[1] * 623], 624, None), (3, [1] * 624, 625, None), (3, [1] * 624, -1, None),
            (3, [1] * 623, 624, None), (3, [1] * 625, 624, None), (3, [1.5, *[1] * 623], 624, None),
            (3, [1] * 624, 624, "a"), (3, [1] * 624, 624, 1),
        )],
        "stdlib.Decimal": [b64(b"x"), b64(b""), b64("٣".encode()), b64(b" 1 "), b64(b"1_0")],
    }  # fmt: skip
    for codec, values in wrong.items():
        for at, state in enumerate(values):
            yield f"form-{codec}-{at}", "3.01", tree(node(codec, state)), f"a {codec} of {dumps(state)[:60]}"


def numbers() -> Iterator[Case]:
    ints = [
        "", "-", "1_0000000000000000", "0x" + BIG, "+" + BIG, " " + BIG, BIG + " ", BIG + "\n", "2E" + "0" * 14,
        "F" * 20, "0" + BIG, "1" * 19 + "g", "\u0663" * 20, "1", "0", "-0", "20000000000000", "-20000000000000", "--" + BIG,
        "\uff11" * 20, "0b" + "1" * 60, "1.5", "f" * 20 + "_f",
    ]  # fmt: skip
    for at, text in enumerate(ints):
        yield f"int-{at}", "3.02", tree(node("int", text)), f"the int {text!r}"
        data = text.encode()
        yield f"int-tensor-{at}", "3.02", held("int", data), f"the int {text!r} in a tensor"
    floats = [
        "", "7ff8", "7FF8000000000000", "7ff80000000000000", "0x7ff80000000000", "7ff8 00000000000",
        "3ff0000000000000", "0000000000000000", "nan", "\u0667ff8000000000000", "7ff800000000000_", "gff8000000000000",
    ]  # fmt: skip
    for at, text in enumerate(floats):
        yield f"float-{at}", "3.03", tree(node("float", text)), f"the float {text!r}"
    codes = ["A", "AA", "AA=", "AA==A", "AA==\n", " AA==", "AA ==", "AB==", "AAB=", "A===", "AAA", "-_==", "AAAA=",
             "AA==AA==", "\xe4\xe4==", "=", "===="]  # fmt: skip
    for at, text in enumerate(codes):
        yield f"base64-bytes-{at}", "3.04", tree(node("bytes", text)), f"the base64 {text!r} of bytes"
        yield f"base64-array-{at}", "3.04", tree(array("|u1", [1], text)), f"the base64 {text!r} of an array"
        yield f"base64-scalar-{at}", "3.04", tree(node("numpy.scalar", ["|V1", text])), f"the base64 {text!r}"
    for codec in ("bytes", "bytearray", "str", "int"):
        yield f"tensor-{codec}-dtype", "3.04", held(codec, b"1" * 32, "I8"), f"{codec} in a tensor of I8"
        yield f"tensor-{codec}-axes", "3.04", held(codec, b"1" * 32, "U8", [16, 2]), f"{codec} in two axes"
        yield f"tensor-{codec}-none", "3.04", held(codec, b"1", "U8", []), f"{codec} in a tensor of no axis"
    for at, data in enumerate(
        (b"\xff", b"\xc0\x80", b"\xe4", b"\xf4\x90\x80\x80", b"\x80", b"\xf0\x80\x80\x80", b"\xed\xa0")
    ):
        yield f"utf8-{at}", "3.05", tree(node("str", b64(data))), f"the text {data!r}"
        yield f"utf8-column-{at}", "3.05", texts(data, [len(data)]), f"a column with the text {data!r}"


def containers() -> Iterator[Case]:
    f64 = F64 * 12
    yield "column-float-dtype", "3.06", column("float", "F32", f64), "floats of F32"
    yield "column-int-dtype", "3.06", column("int", "I32", f64), "ints of I32"
    yield "column-bool-dtype", "3.06", column("bool", "U8", b"\1" * 70), "booleans of U8"
    yield "column-axes", "3.06", column("float", "F64", f64, shape=[36, 2]), "floats along two axes"
    yield "column-kind", "3.06", column("bytes", "U8", b"\1" * 70), "a column of another kind"
    yield "column-str-alone", "3.06", column("str", "U8", b"a" * 70), "strings without ends"
    for at, state in enumerate(
        ({}, {"float": [1.5]}, {"float": "AAAA"}, {"float": 5}, {"str": "YQ==", "ends": [1]})
    ):
        for codec in ("list", "tuple", "set", "frozenset"):
            yield f"column-state-{codec}-{at}", "3.06", tree(node(codec, state)), f"a column {dumps(state)}"
    yield "column-more", "3.06", texts(b"a", [1], more={"$tensor": "str"}), "a column with another key"
    pack = Pack()
    pack.tree = node("list", {"float": pack.tensor("a", "F64", [1], F64[:8]), "x": 1})
    yield "column-more-float", "3.06", pack.bytes(), "a column with another key"
    ends = {"decrease": [2, 1, 3], "short": [1, 2], "long": [1, 4], "negative": [-1, 3], "none": []}
    for name, each in ends.items():
        yield f"ends-{name}", "3.07", texts(b"abc", each), f"the ends {each} of 3 bytes"
    for at, state in enumerate(([[1], []], [[], [1]], [[1, 2], ["a"]])):
        for codec in ("dict", "stdlib.OrderedDict", "stdlib.Counter"):
            yield f"items-{codec}-{at}", "3.08", tree(node(codec, state)), f"a {codec} of {dumps(state)}"
    for at, state in enumerate(
        ([[1, 1], [1, 2]], [["a", "a"], [1, 2]], [[1, True], [1, 2]], [[1, {"$float": 1}], [1, 2]])
    ):
        yield f"keys-{at}", "3.09", tree(node("dict", state)), f"a dict of {dumps(state)}"
        yield f"elements-{at}", "3.09", tree(node("set", state[0])), f"a set of {dumps(state[0])}"
        yield (
            f"elements-frozen-{at}",
            "3.09",
            tree(node("frozenset", state[0])),
            f"a frozenset of {dumps(state[0])}",
        )
    for at, key in enumerate((node("list", []), node("dict", {}), node("set", []))):
        yield f"unhashable-key-{at}", "3.01", tree(node("dict", [[key], [1]])), f"the key {dumps(key)}"
        yield f"unhashable-{at}", "3.01", tree(node("set", [key])), f"the element {dumps(key)}"


def arrays() -> Iterator[Case]:
    good = {"dtype": "<f8", "shape": [1], "data": F}
    for key in ("dtype", "shape", "data"):
        less = {name: value for name, value in good.items() if name != key}
        yield f"array-{key}-missing", "3.17", tree(node("numpy.array", less)), f"an array without {key}"
    wrong: dict[str, list[Any]] = {
        "shape": [None, 1, "1", [1.5], [-1], ["1"], [True], [None]], "data": [None, 5, [], {}, True],
        "extra": [1], "items": [[1.5]], "fields": [[]],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = tree(node("numpy.array", {**good, key: value}))
            yield f"array-{key}-{at}", "3.17", found, f"an array with {key} {dumps(value)}"
    for at, state in enumerate((None, True, 5, "x", [], {}, [1])):
        yield f"array-state-{at}", "3.17", tree(node("numpy.array", state)), f"an array of {dumps(state)}"
    for at, (dtype, shape, data) in enumerate((
        ("<f8", [2], F), ("<f8", [0], F), ("<f8", [], ""), ("<f8", [1, 2], F), ("<i4", [1], F), ("|S3", [1], "YWI="),
        ("<f8", [2**52, 2**52], F), ("<f8", [2**53], F), ("|V0", [1], "AA=="),
    )):  # fmt: skip
        yield (
            f"bytes-{at}",
            "3.12",
            tree(array(dtype, shape, data)),
            f"{data!r} for the shape {shape} of {dtype}",
        )
    items = {"dtype": "|O", "items": [1, 2], "shape": [3]}
    yield "items-few", "3.12", tree(node("numpy.array", items)), "two items for a shape of three"
    yield (
        "items-dtype",
        "3.17",
        tree(node("numpy.array", items | {"dtype": "<f8", "shape": [2]})),
        "items of <f8",
    )
    yield "data-objects", "3.17", tree(array("|O", [1], F)), "objects as bytes"
    for at, order in enumerate(
        ("X", "C", "f", None, [0], [0, 0], [0, 2], [1, 0, 2], ["0", "1"], [True, False], 5, {})
    ):
        found = tree(array("<f8", [1, 1], F, order=order))
        yield f"order-{at}", "3.13", found, f"an array of two axes with the order {dumps(order)}"
    for at, point in enumerate((0x110000, 0xFFFFFFFF, 1 << 24)):
        data = point.to_bytes(4, "little")
        yield f"point-{at}", "3.14", tree(array("<U1", [1], b64(data))), f"the code point {point:x}"
        yield f"point-big-{at}", "3.14", tree(array(">U1", [1], b64(data[::-1]))), f"the code point {point:x}"
        found = data_of("<U1", [200], "U32", [200, 1], data * 200)
        yield f"point-tensor-{at}", "3.14", found, f"the code point {point:x} in a tensor"
    for name, made in {
        "dtype": ("<c16", [2], "F32", [2, 4], F64[:32]), "shape": ("<c16", [2], "F64", [4], F64[:32]),
        "swapped": ("<c16", [1, 2], "F64", [2, 1, 2], F64[:32]), "dates": ("<M8[D]", [2], "U8", [2, 8], F64[:16]),
        "bytes": ("<f8", [2], "U8", [16], F64[:16]), "big": (">f8", [2], "F64", [2], F64[:16]),
        "text": ("<U2", [1], "U8", [1, 8], b"a\0\0\0" * 2), "i64": ("<u8", [2], "I64", [2], F64[:16]),
    }.items():  # fmt: skip
        yield (
            f"data-{name}",
            "3.15",
            data_of(*made),
            f"an array of {made[0]} {made[1]} as {made[2]} {made[3]}",
        )
    for at, data in enumerate((b"\2", b"\xff")):
        yield f"bool-{at}", "3.16", tree(array("|b1", [1], b64(data))), f"the boolean {data[0]}"
        yield (
            f"bool-scalar-{at}",
            "3.16",
            tree(node("numpy.scalar", ["|b1", b64(data)])),
            f"the boolean {data[0]}",
        )
        struct_ = {"names": ["a"], "formats": ["|b1"], "offsets": [0], "itemsize": 1}
        yield (
            f"bool-struct-{at}",
            "3.16",
            tree(array(struct_, [1], b64(data))),
            f"the boolean {data[0]} in a field",
        )
    for at, state in enumerate((["<i4", "a"], ["<i4", None], ["<i4", 2**31], ["|u1", -1], ["<i4", 1.5], ["|b1", 2],
                                ["<i4"], ["<i4", 1, 2], ["U", 5], ["S", "a"], ["|O", 5], ["<f8", True], ["<i4", True])):  # fmt: skip
        rule = "3.04" if state == ["<i4", "a"] else "3.01"
        yield f"scalar-{at}", rule, tree(node("numpy.scalar", state)), f"a scalar {dumps(state)}"


def dtypes() -> Iterator[Case]:
    wrong: list[Any] = [
        "", "f8", "=f8", "<f", "<i4,<i4", "(2,)<i4", "float64", "d", "<f3", "<f0", "<i3", "<i16", ">b1", "<b1", "|b2", "<u1",
        ">i1", "|i4", "|f8", "<S3", "|U3", "<V4", "<O", "|O8", "<M8[xx]", "<M8[ns", "<M8[-1s]", "<M8[0s]", "<M8[1s]", "<M4[s]",
        "<f8 ", " <f8", "<f08", "<F8", "<f8[s]", "<q8", "!f8", "<U٣", "<c7", "<U1000000000000", None, 5, [], ["<f8"], {},
        {"x": 1}, {"base": "<f8"}, {"base": "<f8", "shape": [-1]}, {"base": "<f8", "shape": 2}, {"base": "<f8", "shape": []},
    ]  # fmt: skip
    for at, dtype in enumerate(wrong):
        yield f"dtype-{at}", "3.10", tree(node("numpy.dtype", dtype)), f"the dtype {dumps(dtype)}"
        if isinstance(dtype, str):
            yield (
                f"dtype-array-{at}",
                "3.10",
                tree(array(dtype, [0], "")),
                f"an array of the dtype {dumps(dtype)}",
            )
    good = {"names": ["a"], "formats": ["<i4"], "offsets": [0], "itemsize": 4}
    for key in good:
        less = {name: value for name, value in good.items() if name != key}
        yield f"struct-{key}-missing", "3.10", tree(node("numpy.dtype", less)), f"a structure without {key}"
    changes: dict[str, list[Any]] = {
        "names": [["a", "a"], [5], "a", ["a", "b"]], "formats": [["x"], "<i4", []], "offsets": ["0", [0.5], [], ["0"]],
        "itemsize": ["4", None, 4.5, -1], "x": [1], "aligned": [False, 1], "titles": ["a", []],
    }  # fmt: skip
    for key, values in changes.items():
        for at, value in enumerate(values):
            found = tree(node("numpy.dtype", {**good, key: value}))
            yield f"struct-{key}-{at}", "3.10", found, f"a structure with {key} {dumps(value)}"
    for at, (offset, size) in enumerate(((1, 4), (-1, 8), (2**31, 8), (4, 4), (0, 3), (2**40, 2**41))):
        found = tree(node("numpy.dtype", {**good, "offsets": [offset], "itemsize": size}))
        rule = "3.10" if size > 2**31 else "3.11"
        yield f"field-{at}", rule, found, f"a field of 4 bytes at {offset} of {size}"


__all__ = ["invalid", "valid"]
