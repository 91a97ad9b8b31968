"""A reader of Saver files, written from docs/format/ alone. It does not know Saver.

It shows that the pages suffice to read what is sound: values of Python and NumPy come back as objects. It
checks hashes and little else. The reader in JavaScript is the one that refuses what breaks a rule.
"""

from __future__ import annotations

import array
import base64
import collections
import datetime
import decimal
import fractions
import functools
import importlib
import json
import math
import pathlib
import random
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

BEGINNING = b'{"__metadata__":{"saver.header":"'
DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
}  # fmt: skip


class Wrong(Exception):
    """The file is not as the specification says."""


def require(fact: bool, what: str) -> None:
    if not fact:
        raise Wrong(what)


def parse(text: str | bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len(dict(pairs)) == len(pairs), "a key stands twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise Wrong(name)

    return json.loads(text, object_pairs_hook=unique, parse_constant=constant)


def header_of(raw: bytes) -> tuple[dict[str, Any], dict[str, str], dict[str, Any], int]:
    """Of a pack: the tensors, the metadata, what `saver` says in it, and where the data begins."""
    length = int.from_bytes(raw[:8], "little")
    require((8 + length) % 4096 == 0 and length <= 100_000_000 and 8 + length <= len(raw), "length")
    head = raw[: 8 + length]
    require(head[8:41] == BEGINNING, "not Saver's")
    digest = head[41:105].decode()
    require(blake3(head[:41] + b"0" * 64 + head[105:]).hexdigest() == digest, "hash of the header")
    header = parse(head[8:])
    metadata = header.pop("__metadata__")
    own = parse(metadata["saver"])
    require(own["format"] == 1, "format")
    require(len(own["hashes"]) == len(header), "number of hashes")
    return header, metadata, own, 8 + length


class Reader:
    """Section 1: a pack. `tensors` are NumPy arrays by name, verified."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        header, self.metadata, self.own, start = header_of(raw)
        data = raw[start:]
        self.tensors: dict[str, Any] = {}
        self.hashes: dict[str, Any] = {}
        self.slots = header
        end = 0
        for (name, slot), expected in zip(header.items(), self.own["hashes"], strict=True):
            begin, stop = slot["data_offsets"]
            dtype = np.dtype(DTYPES[slot["dtype"]])
            require(begin == end and stop - begin == math.prod(slot["shape"]) * dtype.itemsize, "offsets")
            require(
                self.hash_of(data[begin:stop], self.own["blocks"].get(name)) == expected, f"hash of {name}"
            )
            self.tensors[name] = np.frombuffer(data[begin:stop], dtype).reshape(slot["shape"])
            self.hashes[name] = expected
            end = stop
        require(end == len(data), "the end")
        for name, cut in self.own.get("cuts", {}).items():
            boxes = [(offsets, self.slots[shard]["shape"], shard) for shard, offsets in cut["shards"].items()]
            first = self.slots[boxes[0][2]]["dtype"]
            require(all(self.slots[shard]["dtype"] == first for _, _, shard in boxes), "dtypes of shards")
            self.slots[name] = {"dtype": first, "shape": cut["shape"]}
            self.hashes[name] = [[offsets, sizes, self.hashes[shard]] for offsets, sizes, shard in boxes]
            self.tensors[name] = put_together(
                cut["shape"], [(offsets, self.tensors[shard]) for offsets, _, shard in boxes]
            )

    @staticmethod
    def hash_of(data: bytes, blocks: list[str] | None) -> str:
        if len(data) < 8 << 20:
            require(blocks is None, "blocks")
            return str(blake3(data).hexdigest())
        digests = [blake3(data[at : at + (4 << 20)]).digest() for at in range(0, len(data), 4 << 20)]
        require([digest.hex() for digest in digests] == blocks, "blocks")
        return str(blake3(b"".join(digests)).hexdigest())


def put_together(shape: list[int], shards: list[tuple[list[int], Any]]) -> Any:
    """A tensor of its shards, which must tile it and come in the order of their offsets."""
    found = np.empty(shape, shards[0][1].dtype)
    seen = np.zeros(shape, bool)
    require([offsets for offsets, _ in shards] == sorted(offsets for offsets, _ in shards), "order of boxes")
    for offsets, elements in shards:
        box = tuple(slice(at, at + n) for at, n in zip(offsets, elements.shape, strict=True))
        require(found[box].shape == elements.shape and not seen[box].any(), "boxes")
        found[box], seen[box] = elements, True
    require(seen.all(), "boxes")
    return found


class Literal(str):
    """A number as it stands in the file."""


def compact(value: Any) -> bytes:
    """The canonical text of parsed JSON, with numbers as they stood in the file."""
    if isinstance(value, Literal):
        return value.encode()
    if isinstance(value, list):
        return b"[" + b",".join(map(compact, value)) + b"]"
    if isinstance(value, dict):
        return b"{" + b",".join(compact(key) + b":" + compact(value[key]) for key in in_order(value)) + b"}"
    return json.dumps(value, ensure_ascii=False).encode()


def utf16(text: str) -> bytes:
    return text.encode("utf-16-be")


def in_order(found: Any) -> list[str]:
    """The keys of an object as they are sorted: how they stand in the text says nothing."""
    return sorted(found, key=utf16)


def unmarked(tree: Any) -> Any:
    """A tree with its floats and the order of its objects."""
    if isinstance(tree, list):
        return list(map(unmarked, tree))
    if not isinstance(tree, dict):
        return tree
    if "$float" in tree:
        return float(tree["$float"])
    found = {key: unmarked(tree[key]) for key in in_order(tree) if key != "$order"}
    if "$order" in tree:
        require(sorted(tree["$order"]) == list(range(len(found))), "order of an object")
        names = [*found]
        found = {names[at]: found[names[at]] for at in tree["$order"]}
    return found


class Values:
    """Sections 2 and 3: a manifest and its trees, for Python's and NumPy's own values."""

    def __init__(self, reader: Reader) -> None:
        self.tensors, self.reader = reader.tensors, reader
        self.manifest = parse(reader.metadata["saver.manifest"])
        require(
            self.manifest["format"] == 1 and not {*self.manifest.get("requires", ())} - {"grid"}, "manifest"
        )
        names = in_order(self.manifest["parts"])
        if "order" in self.manifest:
            require(sorted(self.manifest["order"]) == list(range(len(names))), "order of the parts")
            names = [names[at] for at in self.manifest["order"]]
        parts = self.manifest["parts"] = {name: self.manifest["parts"][name] for name in names}
        for part in parts.values():
            part["tree"] = unmarked(part["tree"])
        self.nodes: dict[tuple[str, int], Any] = {}
        self.built: dict[tuple[str, int], Any] = {}
        for name, part in self.manifest["parts"].items():
            self.find(part["tree"], name)

    def find(self, tree: Any, part: str) -> None:
        """Ids are numbered within a part; from here on they are pairs of part and number."""
        if isinstance(tree, list):
            for item in tree:
                self.find(item, part)
        elif isinstance(tree, dict):
            for item in tree.values():
                self.find(item, part)
            if "$" in tree and "id" in tree:
                tree["id"] = (part, tree["id"])
                require(tree["id"] not in self.nodes, "an id stands twice")
                self.nodes[tree["id"]] = tree
            elif "$ref" in tree:
                tree["$ref"] = (tree.get("part", part), tree["$ref"])

    def load(self) -> Any:
        found = {name: self.value(part["tree"]) for name, part in self.manifest["parts"].items()}
        return found if self.manifest.get("whole") else found["model"]

    def part_hash(self, name: str) -> str:
        part = json.loads(self.reader.metadata["saver.manifest"], parse_float=Literal)["parts"][name]

        def tensors(tree: Any) -> Any:
            if isinstance(tree, dict) and "$tensor" in tree:
                yield tree["$tensor"]
            elif isinstance(tree, (dict, list)):
                for item in tree.values() if isinstance(tree, dict) else tree:
                    yield from tensors(item)

        content = blake3(compact([part["tree"], part.get("batches", {})])).hexdigest()
        held, names = [], sorted({*tensors([part["tree"], part.get("batches", {})])}, key=utf16)
        pages = getattr(self.reader, "pages", [])
        for tensor in names:
            slot, hashed = self.reader.slots[tensor], () if pages else (self.reader.hashes[tensor],)
            held.append([tensor, slot["dtype"], slot["shape"], *hashed])
        sums = []
        for page in pages:
            some = [[name, [[*s["box"], s["hash"]] for s in page[name]]] for name in names if name in page]
            sums += [blake3(compact(some)).hexdigest()] if some else []
        return str(blake3(compact([content, held, sums] if pages else [content, held])).hexdigest())

    def value(self, tree: Any) -> Any:
        if not isinstance(tree, dict):
            require(not isinstance(tree, list), "a bare array")
            return tree
        if "$ref" in tree:
            ident = tree["$ref"]
            return self.built[ident] if ident in self.built else self.value(self.nodes[ident])
        ident = tree.get("id")
        if ident in self.built:
            return self.built[ident]
        found = self.build(tree["$"], tree.get("state"), tree.get("class"), ident)
        if ident is not None:
            self.built[ident] = found
        return found

    def keep(self, ident: tuple[str, int] | None, found: Any) -> Any:
        if ident is not None:
            self.built[ident] = found
        return found

    def raw(self, state: Any) -> bytes:
        return (
            base64.b64decode(state)
            if isinstance(state, str)
            else bytes(self.tensors[state["$tensor"]].tobytes())
        )

    def run(self, state: Any) -> list[Any]:
        if isinstance(state, list):
            return [self.value(item) for item in state]
        if "str" not in state:
            ((_, tensor),) = state.items()
            return list(self.tensors[tensor["$tensor"]].tolist())
        text, ends = self.raw(state["str"]), self.tensors[state["ends"]["$tensor"]].tolist()
        return [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends], ends, strict=False)]

    def items(self, state: Any) -> Any:
        if isinstance(state, dict):
            return ((key, self.value(item)) for key, item in state.items())
        return zip(self.run(state[0]), self.run(state[1]), strict=True)

    def build(self, codec: str, state: Any, cls: str | None, ident: int | None) -> Any:
        if codec.startswith("numpy."):
            return self.numpy(codec, state, ident)
        if codec == "list":
            found = self.keep(ident, [])
            found.extend(self.run(state))
            return found
        if codec in ("dict", "stdlib.OrderedDict"):
            mapping = self.keep(ident, {} if codec == "dict" else collections.OrderedDict())
            if isinstance(state, list) and state[2:] == ["attributes"]:
                vars(mapping).update(self.items(state[1]))
                state = state[0]
            for key, item in self.items(state):
                mapping[key] = item
            return mapping
        if codec in ("function", "class"):
            module, _, name = (cls or "").partition(":")
            require(module in ("builtins", "numpy", "math"), "not trusted")
            return functools.reduce(getattr, name.split("."), importlib.import_module(module))
        return PLAIN[codec](self, state)

    def numpy(self, codec: str, state: Any, ident: int | None) -> Any:
        kind = codec.removeprefix("numpy.")
        if kind == "array":
            return self.array(state, ident)
        if kind == "dtype":
            return self.dtype(state)
        if kind == "scalar" and state[0] in ("U", "S"):
            return (np.str_ if state[0] == "U" else np.bytes_)(self.value(state[1]))
        if kind == "scalar":
            dtype, value = self.dtype(state[0]), state[1]
            if isinstance(value, dict):
                return self.value(value)[()]
            return (
                np.frombuffer(base64.b64decode(value), dtype)[0]
                if isinstance(value, str)
                else dtype.type(value)
            )
        if kind == "masked":
            parts = {key: self.value(state[key]) for key in ("data", "mask", "fill_value")}
            mask = np.ma.nomask if parts["mask"] is None else parts["mask"]
            found: Any = np.ma.MaskedArray(parts["data"], mask, hard_mask=state["hard"])
            if parts["fill_value"] is not None:
                found.fill_value = parts["fill_value"][()]
            return found
        if kind == "SeedSequence":
            return np.random.SeedSequence(**{key: self.value(item) for key, item in state.items()})
        if kind == "BitGenerator":
            bits = getattr(np.random, state[0])(0 if state[2] is None else self.value(state[2]))
            bits.state = self.value(state[1])
            return bits
        if kind == "Generator":
            return np.random.Generator(self.value(state))
        require(kind == "RandomState", codec)
        legacy = np.random.RandomState(self.value(state[0]))
        legacy.set_state(
            {**legacy.get_state(legacy=False), "has_gauss": state[1], "gauss": self.value(state[2])}
        )
        return legacy

    def dtype(self, spec: Any) -> Any:
        if isinstance(spec, str):
            return np.dtype(spec)
        if "base" in spec:
            return np.dtype((self.dtype(spec["base"]), tuple(spec["shape"])))
        if "string" in spec:
            coerce, missing, known = spec["string"]
            more = {"na_object": self.value(missing)} if known else {}
            return np.dtypes.StringDType(coerce=coerce, **more)
        return np.dtype({**spec, "formats": [self.dtype(item) for item in spec["formats"]]})

    def array(self, state: Any, ident: int | None) -> Any:
        if "$tensor" in state:
            return self.tensors[state["$tensor"]]
        dtype, shape = self.dtype(state["dtype"]), tuple(state["shape"])
        found: Any
        if "items" in state:
            flat = np.empty(math.prod(shape), dtype)
            found = self.keep(
                ident, flat.reshape(shape).T if state.get("order") == "F" else flat.reshape(shape)
            )
            for index, item in enumerate(self.run(state["items"])):
                flat[index] = item
            return found
        if "fields" in state:
            found = np.zeros(shape, dtype)
            for name, field in zip(dtype.names or (), state["fields"], strict=True):
                found[name] = self.value(field)
            return found
        data = self.raw(state["data"])
        require(len(data) == math.prod(shape) * dtype.itemsize, "bytes of an array")
        found = np.frombuffer(data, dtype).reshape(shape) if data else np.empty(shape, dtype)
        return found.T if state.get("order") == "F" else found


def _integer(self: Values, state: Any) -> int:
    return int(state if isinstance(state, str) else self.raw(state), 16)


def _moment(kind: Any) -> Callable[[Values, Any], Any]:
    return lambda self, s: kind.fromisoformat(s[0]).replace(tzinfo=self.value(s[1]), fold=s[2])


def _characters(self: Values, state: Any) -> Any:
    if len(state) == 2:
        return array.array(state[0], self.value(state[1]))
    found = array.array(state[0])
    require(found.itemsize == state[1], "item size")
    found.frombytes(self.raw(state[2]))
    return found


def _random(self: Values, state: Any) -> random.Random:
    found = random.Random()
    found.setstate((state[0], tuple(self.run(state[1])), self.value(state[2])))
    return found


def _default(self: Values, state: Any) -> Any:
    return collections.defaultdict(self.value(state[0]), self.items(state[1]))


def _each(make: Callable[..., Any]) -> Callable[[Values, Any], Any]:
    return lambda self, state: make(*map(self.value, state))


PLAIN: dict[str, Callable[[Values, Any], Any]] = {
    "int": _integer,
    "float": lambda self, s: struct.unpack(">d", bytes.fromhex(s))[0],
    "complex": _each(complex),
    "str": lambda self, s: self.raw(s).decode("utf-8", "surrogatepass"),
    "bytes": lambda self, s: self.raw(s),
    "bytearray": lambda self, s: bytearray(self.raw(s)),
    "tuple": lambda self, s: tuple(self.run(s)),
    "set": lambda self, s: set(self.run(s)),
    "frozenset": lambda self, s: frozenset(self.run(s)),
    "range": _each(range),
    "slice": _each(slice),
    "singleton": lambda self, s: {"Ellipsis": ..., "NotImplemented": NotImplemented}[s],
    "stdlib.Counter": lambda self, s: collections.Counter(dict(self.items(s))),
    "stdlib.defaultdict": _default,
    "stdlib.deque": lambda self, s: collections.deque(self.run(s[1]), s[0]),
    "stdlib.SimpleNamespace": lambda self, s: types.SimpleNamespace(**dict(self.items(s))),
    "stdlib.partial": lambda self, s: functools.partial(
        self.value(s[0]), *self.value(s[1]), **self.value(s[2])
    ),
    "stdlib.Decimal": lambda self, s: decimal.Decimal(self.raw(s).decode()),
    "stdlib.Fraction": _each(fractions.Fraction),
    "stdlib.UUID": lambda self, s: uuid.UUID(hex=s),
    "stdlib.path": lambda self, s: getattr(pathlib, s[0])(self.value(s[1])),
    "stdlib.date": lambda self, s: datetime.date.fromisoformat(s),
    "stdlib.datetime": _moment(datetime.datetime),
    "stdlib.time": _moment(datetime.time),
    "stdlib.timedelta": lambda self, s: datetime.timedelta(*s),
    "stdlib.timezone": _each(datetime.timezone),
    "stdlib.ZoneInfo": lambda self, s: zoneinfo.ZoneInfo(s),
    "stdlib.array": _characters,
    "stdlib.Random": _random,
}
