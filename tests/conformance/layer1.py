# ruff: noqa: E501
"""Files of layer 1: packs, their hashes, JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pieces import IDENT, Pack, dumps, node, sealed

Case = tuple[str, str | None, bytes, str]
"""Name, the rule that it breaks (None: it is valid), the bytes, and what it is."""

F64 = b"\0\0\0\0\0\0\xf0\x3f" * 6


def one(**more: Any) -> Pack:
    """A file with one tensor of six numbers."""
    pack = Pack(**more)
    pack.tree = node("numpy.array", pack.tensor("model", "F64", [2, 3], F64))
    return pack


def two(boxes: dict[str, list[int]] | None = None, shape: list[int] | None = None, **more: Any) -> Pack:
    """A file with a tensor of two shards."""
    pack = Pack(**more)
    half = [1, 3]
    pack.tensor("model#0", "F64", half, F64[:24])
    pack.tensor("model#3", "F64", half, F64[24:])
    shards = {"model#0": [0, 0], "model#3": [1, 0]} if boxes is None else boxes
    pack.cuts = {"model": {"shape": shape or [2, 3], "shards": shards}}
    pack.tree = node("numpy.array", {"$tensor": "model"})
    return pack


DTYPES = {
    "BOOL": b"\0\1", "I8": b"\xff\x7f", "U8": b"\xff\0", "F8_E4M3": b"\x38\xb8", "F8_E5M2": b"\x3c\xbc",
    "I16": b"\xff\xff\1\0", "U16": b"\xff\xff\1\0", "F16": b"\0\x3c\0\xbc", "BF16": b"\x80\x3f\x80\xbf",
    "I32": b"\xff" * 8, "U32": b"\xff" * 8, "F32": b"\0\0\x80\x3f\0\0\xc0\x7f", "I64": b"\xff" * 16,
    "U64": b"\xff" * 16, "F64": b"\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf8\x7f",
}  # fmt: skip
NUMPY = [each for each in DTYPES if each not in ("F8_E4M3", "F8_E5M2", "BF16")]


def valid() -> Iterator[Case]:
    yield "null", None, Pack().bytes(), "a file without tensors"
    yield "one", None, one().bytes(), "one tensor"
    for dtype in NUMPY:
        pack = Pack()
        pack.tree = node("numpy.array", pack.tensor("model", dtype, [2], DTYPES[dtype]))
        yield f"dtype-{dtype}", None, pack.bytes(), f"a tensor of {dtype}"
    for dtype in ("F8_E4M3", "F8_E5M2", "BF16"):
        pack = Pack(tree=None)
        pack.tensor("unused", dtype, [2], DTYPES[dtype])
        yield f"dtype-{dtype}", None, pack.bytes(), f"a tensor of {dtype} that no tree names"
    for shape in ([], [0], [0, 3], [1, 1, 1], [1] * 64):
        pack = Pack()
        count = 0 if 0 in shape else 1
        pack.tree = node("numpy.array", pack.tensor("model", "U8", shape, b"\7" * count))
        yield f"shape-{len(shape)}-{count}", None, pack.bytes(), f"a tensor of {len(shape)} axes"
    yield "shards", None, two().bytes(), "a tensor of two shards"
    yield "shards-columns", None, columns().bytes(), "a tensor of two shards, cut along the other axis"
    pack = one(metadata={"other": "text"}, own={"new": [1]})
    yield "unknown-metadata", None, pack.bytes(), "unknown keys, which are ignored"
    yield "padding-large", None, one(length=3 * 4096 - 8).bytes(), "a header with more padding than it needs"
    pack = Pack(tree=None)
    pack.tensor("größe/\U0001f600", "U8", [1], b"x")
    yield "tensor-name", None, pack.bytes(), "a name beyond ASCII"
    yield (
        "tensor-name-dots",
        None,
        named("../../etc/passwd"),
        "a name that looks like a path; it means nothing",
    )


def columns() -> Pack:
    pack = Pack()
    pack.tensor("m#0", "I32", [2, 1], (1).to_bytes(4, "little") + (3).to_bytes(4, "little"))
    pack.tensor("m#1", "I32", [2, 1], (2).to_bytes(4, "little") + (4).to_bytes(4, "little"))
    pack.cuts = {"model": {"shape": [2, 2], "shards": {"m#0": [0, 0], "m#1": [0, 1]}}}
    pack.tree = node("numpy.array", {"$tensor": "model"})
    return pack


def named(name: str) -> bytes:
    pack = Pack(tree=None)
    pack.tensor(name, "U8", [1], b"x")
    return pack.bytes()


def invalid() -> Iterator[Case]:
    whole = one().bytes()
    yield from headers(whole)
    yield from json_texts()
    yield from owns()
    yield from slots()
    yield from cuts()


def headers(whole: bytes) -> Iterator[Case]:
    yield "cut-in-header", "1.01", whole[:2000], "the file ends within the header"
    yield "cut-at-header", "1.20", whole[:4096], "the file ends after the header"
    yield "cut-in-data", "1.20", whole[:-1], "the last byte is missing"
    yield "appended", "1.20", whole + b"x", "a byte follows the data"
    yield "length-limit", "1.02", (100_000_001).to_bytes(8, "little") + whole[8:], "N is 100,000,001"
    yield "length-huge", "1.02", b"\xff" * 8 + whole[8:], "N is 2^64 - 1"
    yield "length-odd", "1.03", one(length=5000).bytes(), "8 + N is not a multiple of 4096"
    yield "space-first", "1.04", Pack(header_text=" " + "{}").bytes(), "a space before the header"
    swapped = one().bytes().replace(b'{"__metadata__":{"saver.header"', b'{"__metadata__":{"saver_header"')
    yield "other-key", "1.04", swapped, "`saver.header` is not the first key"
    yield "header-bit", "1.05", whole.replace(b'"F64"', b'"I64"', 1), "a changed header"
    yield "header-hash", "1.05", one(digest="f" * 64).bytes(), "another hash"
    upper = whole[:41] + whole[41:105].upper() + whole[105:]
    yield "header-hash-upper", "1.05", upper, "the hash in capital letters"
    yield "padding-zeros", "1.09", one(padding=b"\0").bytes(), "padding of zeros"
    yield "padding-tabs", "1.09", one(padding=b"\t").bytes(), "padding of tabs"
    yield "padding-text", "1.06", trailing(whole), "a second value after the header's JSON"


def trailing(whole: bytes) -> bytes:
    text = whole[8:4096].rstrip(b" ").replace(whole[41:105], b"0" * 64)
    return sealed(text + b" {}") + whole[4096:]


def json_texts() -> Iterator[Case]:
    manifest = '{"format":1,"parts":{"model":{"hash":"%s","tree":%s}}}'
    trees = {
        "nan": ("1.06", "NaN"), "infinity": ("1.06", "-Infinity"), "comma": ("1.06", '{"$":"list","state":[1,]}'),
        "quotes": ("1.06", "'a'"), "comment": ("1.06", "1/**/"), "zeros": ("1.06", "01"), "plus": ("1.06", "+1"),
        "dot": ("1.06", "1."), "hex": ("1.06", "0x1"), "surrogate-high": ("1.06", r'"\ud83d"'),
        "surrogate-low": ("1.06", r'"\udc00"'), "surrogate-twice": ("1.06", r'"\ud83d\ud83d\ude00"'),
        "surrogate-key": ("1.06", r'{"$":"dict","state":{"\ud83d":1}}'), "control": ("1.06", '"a\tb"'),
        "escape": ("1.06", r'"\x41"'), "two-values": ("1.06", "1 2"), "nothing": ("1.06", ""),
        "true": ("1.06", "True"), "twice": ("1.07", '{"$":"list","$":"tuple","state":[]}'),
        "twice-state": ("1.07", '{"$":"dict","state":{"a":1,"a":2}}'),
        "twice-escaped": ("1.07", r'{"$":"dict","state":{"a":1,"\u0061":2}}'),
        "twice-ref": ("1.07", '{"$":"dict","state":{"a":{"$":"list","id":1,"state":[]},"b":{"$ref":1,"$ref":1}}}'),
        "large": ("1.08", "9007199254740993"), "large-exact": ("1.08", "9007199254740994"),
        "negative": ("1.08", "-9007199254740993"), "huge": ("1.08", "1" * 40), "fraction": ("1.08", "2.0"),
        "fraction-nested": ("1.08", '{"$":"list","state":[1,2.0,3]}'), "exponent": ("1.08", "1e3"),
        "exponent-fraction": ("1.08", "1.5e3"), "minus-zero": ("1.08", "-0"), "minus-zero-float": ("1.08", "-0.0"),
        "zero-float": ("1.08", "0.0"), "overflow": ("1.08", "1e400"), "overflow-negative": ("1.08", "-1e400"),
        "whole-float": ("1.08", "1e20"),
    }  # fmt: skip
    for name, (rule, text) in trees.items():
        found = Pack(manifest_text=manifest % ("0" * 64, text)).bytes()
        yield f"json-{name}", rule, found, f"a tree with this JSON: {text[:60]}"
    whole = one().bytes()
    text = whole[8:4096].rstrip(b" ").replace(whole[41:105], b"0" * 64)
    for at, name in enumerate((b"\xff\xff\xff\xff\xff", b"m\xed\xa0\xbdl", b"m\xc0\x80el")):
        found = sealed(text.replace(b'"model":{"dtype"', b'"%b":{"dtype"' % name)) + whole[4096:]
        yield f"json-utf8-{at}", "1.06", found, f"a name of the bytes {name!r}"
    yield "json-header-twice", "1.07", doubled(), "a tensor stands twice in the header"
    yield "json-header-fraction", "1.08", one(replaced=(("[2,3]", "[2.0,3]"),)).bytes(), "an axis of 2.0"
    own = dumps(one().made_own()).replace('"format":1', '"format":1,"format":1')
    yield "json-own-twice", "1.07", one(own_text=own).bytes(), "`saver` has a key twice"
    yield "json-own-text", "1.06", one(own_text="{").bytes(), "`saver` is not JSON"


def doubled() -> bytes:
    slot = dumps(one().made_slots())[1:-1]
    return one(replaced=((slot, f"{slot},{slot}"),)).bytes()


def owns() -> Iterator[Case]:
    for name, value in {"number": 5, "null": None, "list": [], "bool": True}.items():
        yield f"metadata-{name}", "1.10", one(metadata={"other": value}).bytes(), f"metadata that is {value}"
    yield "own-missing", "1.11", one(without=("saver",)).bytes(), "`saver` is missing"
    yield "own-list", "1.11", one(own_text="[]").bytes(), "`saver` is a list"
    for key in ("format", "id", "hashes", "blocks"):
        yield f"own-{key}-missing", "1.11", one(without=(f"own.{key}",)).bytes(), f"`{key}` is missing"
    wrong: dict[str, list[Any]] = {
        "format": ["1", None, True, [1]], "id": [5, None, []], "hashes": [{}, None, "a", [5]],
        "blocks": [[], None, "a", {"model": "a"}, {"model": [5]}], "cuts": [[], None, "a", {"a": 5}],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = one(own={key: value}).bytes()
            yield f"own-{key}-kind-{at}", "1.11", found, f"`{key}` is {dumps(value)}"
    for number in (0, 2, 999, -1):
        yield f"own-format-{number}", "1.12", one(own={"format": number}).bytes(), f"the format {number}"
    idents = {
        "short": IDENT[1:], "long": IDENT + "0", "upper": IDENT.upper(), "text": "g" * 32, "empty": "",
        "path": "../../../../../../../../../../..",
    }  # fmt: skip
    for name, ident in idents.items():
        yield f"own-id-{name}", "1.13", one(own={"id": ident}).bytes(), f"the id {ident!r}"
    right = one().made_own()["hashes"]
    yield "own-hashes-few", "1.14", one(own={"hashes": []}).bytes(), "no hash for a tensor"
    yield "own-hashes-many", "1.14", one(own={"hashes": right * 2}).bytes(), "two hashes for a tensor"
    texts = {"upper": right[0].upper(), "short": right[0][1:], "long": right[0] + "0", "text": "g" * 64}
    for name, text in texts.items():
        yield f"own-hash-{name}", "1.15", one(own={"hashes": [text]}).bytes(), f"the hash {text!r}"
    yield (
        "own-blocks-small",
        "1.21",
        one(own={"blocks": {"model": right}}).bytes(),
        "blocks of a small tensor",
    )
    yield "own-blocks-none", "1.21", one(own={"blocks": {"model": []}}).bytes(), "no blocks of a small tensor"
    yield (
        "own-blocks-unknown",
        "1.21",
        one(own={"blocks": {"x": right}}).bytes(),
        "blocks of an unknown tensor",
    )
    yield "own-hash-other", "1.22", one(own={"hashes": ["0" * 64]}).bytes(), "the hash of other bytes"
    pack = Pack(own={"hashes": ["0" * 64]})
    pack.tree = node("numpy.array", pack.tensor("model", "F64", [0], b""))
    yield "own-hash-empty", "1.22", pack.bytes(), "another hash of a tensor of no bytes"
    changed = one().bytes()
    yield "data-changed", "1.22", changed[:-1] + b"\x40", "another last byte"
    for name, data in {"2": b"\0\2", "255": b"\xff\0"}.items():
        pack = Pack()
        pack.tree = node("numpy.array", pack.tensor("model", "BOOL", [2], data))
        yield f"bool-{name}", "1.23", pack.bytes(), f"a BOOL with the byte {name}"


def slots() -> Iterator[Case]:
    slot = one().made_slots()["model"]
    for key in slot:
        less = {name: value for name, value in slot.items() if name != key}
        yield f"slot-{key}-missing", "1.16", one(slots={"model": less}).bytes(), f"a tensor without {key}"
    yield "slot-more", "1.16", one(slots={"model": {**slot, "x": 1}}).bytes(), "a tensor with another field"
    wrong: dict[str, list[Any]] = {
        "dtype": [5, None, ["F64"]], "shape": [6, None, "23", ["2", "3"], [2.5, 3], [True, 6], [None]],
        "data_offsets": [[0], [0, 48, 48], None, 48, ["0", "48"], [0, None], [False, 48]],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            found = one(slots={"model": {**slot, key: value}}).bytes()
            yield f"slot-{key}-kind-{at}", "1.16", found, f"a {key} of {dumps(value)}"
    yield "slot-list", "1.16", one(slots={"model": []}).bytes(), "a tensor that is a list"
    for dtype in ("f64", "F128", "C64", "", "F8_E4M3FNUZ", "f8", "BF16 "):
        found = one(slots={"model": {**slot, "dtype": dtype}}).bytes()
        yield (
            f"dtype-{dtype.strip() or 'empty'}{'-' * dtype.endswith(' ')}",
            "1.17",
            found,
            f"the dtype {dtype!r}",
        )
    for name, shape in {"negative": [-2, -3], "negative-one": [-1], "axes": [1] * 63 + [2, 3]}.items():
        found = one(slots={"model": {**slot, "shape": shape}}).bytes()
        yield f"shape-{name}", "1.18", found, f"a shape of {len(shape)} axes: {str(shape)[:20]}"
    shapes = {
        "small": [2, 2],
        "large": [2, 4],
        "overflow": [2**32, 2**31, 2],
        "overflow-3": [2**53, 2**11, 6],
    }
    for name, shape in shapes.items():
        found = one(slots={"model": {**slot, "shape": shape}}).bytes()
        yield f"shape-{name}", "1.19", found, f"the shape {shape} for 48 bytes"
    for name, offsets in {"gap": [8, 56], "reversed": [48, 0], "negative": [-48, 0], "long": [0, 96]}.items():
        found = one(slots={"model": {**slot, "data_offsets": offsets}}).bytes()
        yield f"offsets-{name}", "1.19", found, f"the offsets {offsets}"
    pack = two()
    first, second = pack.made_slots().values()
    found = two(slots={"model#0": first, "model#3": first}).bytes()
    yield "offsets-overlap", "1.19", found, "two tensors at the same place"
    found = two(slots={"model#0": second, "model#3": first}).bytes()
    yield "offsets-order", "1.19", found, "tensors that are not in the order of their data"


def cuts() -> Iterator[Case]:
    yield "cut-unknown", "1.24", two({"model#0": [0, 0], "x": [1, 0]}).bytes(), "a shard that is not a tensor"
    yield "cut-empty", "1.24", two({}).bytes(), "a cut without shards"
    pack = two()
    pack.cuts = {"model#0": {"shape": [2, 3], "shards": {"model#0": [0, 0], "model#3": [1, 0]}}}
    pack.tree = None
    yield "cut-name", "1.24", pack.bytes(), "a cut with the name of a tensor"
    pack = two()
    pack.cuts = {name: {"shape": [1, 3], "shards": {"model#0": [0, 0]}} for name in ("a", "b")}
    pack.tree = None
    yield "cut-twice", "1.24", pack.bytes(), "a shard of two tensors"
    pack = two()
    pack.tensors[1] = ("model#3", "I64", [1, 3], F64[24:])
    yield "cut-dtypes", "1.25", pack.bytes(), "shards of two dtypes"
    boxes = {
        "order": {"model#3": [1, 0], "model#0": [0, 0]}, "overlap": {"model#0": [0, 0], "model#3": [0, 0]},
        "beyond": {"model#0": [0, 0], "model#3": [2, 0]}, "negative": {"model#0": [-1, 0], "model#3": [1, 0]},
        "axes": {"model#0": [0], "model#3": [1]},
    }  # fmt: skip
    for name, each in boxes.items():
        yield f"cut-{name}", "1.26", two(each).bytes(), f"boxes at {list(each.values())}"
    yield "cut-gap", "1.26", two(shape=[3, 3]).bytes(), "boxes that leave a gap"
    yield "cut-one", "1.26", two({"model#0": [0, 0]}).bytes(), "one box, which does not cover the tensor"
    pack = two()
    pack.tensors.append(("e", "F64", [0, 3], b""))
    pack.cuts["model"]["shards"]["e"] = [2, 0]  # type: ignore[index]
    yield "cut-nothing", "1.26", pack.bytes(), "a box of several that holds no element"
    pack = Pack()
    shards = {}
    for at in range(64):
        offsets = [at >> bit & 1 for bit in range(5, -1, -1)]
        pack.tensor(f"m#{at:02}", "U8", [1] * 6, b"x")
        shards[f"m#{at:02}"] = offsets
    pack.cuts = {"model": {"shape": [2] * 6, "shards": shards}}
    pack.tree = node("numpy.array", {"$tensor": "model"})
    yield "cut-six-axes", "1.26", pack.bytes(), "a tensor that is cut along 6 axes"
