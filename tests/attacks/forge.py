"""What an attacker has: takes a file apart, and puts anything together with hashes that match."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

import saver

PREFIX = b'{"__metadata__":{"saver.header":"'
ZEROS = "0" * 64
DTYPES = {"U8": 1, "BOOL": 1, "I64": 8, "F64": 8, "F32": 4, "U32": 4}


@dataclass
class File:
    """A single file in pieces, all of them open to change."""

    own: dict[str, Any]
    manifest: dict[str, Any]
    tensors: dict[str, Any]
    data: bytes
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def tree(self) -> Any:
        """The tree of the sole part."""
        return self.manifest["parts"]["model"]["tree"]

    @tree.setter
    def tree(self, value: Any) -> None:
        self.manifest["parts"]["model"]["tree"] = value

    def copy(self) -> File:
        return copy.deepcopy(self)

    def tensor(self, name: str, dtype: str, data: bytes, shape: list[int] | None = None) -> dict[str, str]:
        """Add a tensor, and say what a tree says of it."""
        begin = len(self.data)
        self.tensors[name] = {
            "dtype": dtype,
            "shape": [len(data) // DTYPES[dtype]] if shape is None else shape,
            "data_offsets": [begin, begin + len(data)],
        }
        self.data += data
        self.own["hashes"].append(blake3(data).hexdigest())
        return {"$tensor": name}

    def rehash(self) -> None:
        """Give every tensor the hash of its bytes."""
        places = (slot["data_offsets"] for slot in self.tensors.values())
        self.own["hashes"] = [blake3(self.data[begin:end]).hexdigest() for begin, end in places]

    def document(self) -> dict[str, Any]:
        metadata = {
            "saver.header": ZEROS,
            "saver": dumps(self.own),
            "saver.manifest": dumps(in_any_order(self.manifest)),
            **self.metadata,
        }
        return {"__metadata__": metadata, **self.tensors}

    def text(self) -> bytes:
        """The JSON of the header."""
        return dumps(self.document()).encode("utf-8", "surrogatepass")

    def write(self, path: Path) -> Path:
        path.write_bytes(sealed(self.text()) + self.data)
        return path


def in_any_order(value: Any) -> Any:
    """The same without what is said of the order of objects that were given other keys since: this alone
    would have the file refused, whatever else is wrong with it."""
    if isinstance(value, list):
        return [in_any_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    stale = isinstance(order := value.get("$order"), list) and len(order) != len(value) - 1
    return {key: in_any_order(item) for key, item in value.items() if not (stale and key == "$order")}


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sealed(text: bytes, length: int | None = None) -> bytes:
    """Length and header around any JSON text, with the hash that it needs."""
    size = -(-(8 + len(text)) // 4096) * 4096 - 8
    head = (size if length is None else length).to_bytes(8, "little") + text.ljust(size)
    at = 8 + len(PREFIX)
    if head[8:at] != PREFIX:
        return head
    return head[:at] + blake3(head).hexdigest().encode() + head[at + 64 :]


def take_apart(path: Path) -> File:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    document = json.loads(raw[8 : 8 + length])
    metadata = document.pop("__metadata__")
    del metadata["saver.header"]
    own, manifest = json.loads(metadata.pop("saver")), json.loads(metadata.pop("saver.manifest"))
    return File(own, manifest, document, raw[8 + length :], metadata)


def forged(folder: Path, obj: Any = None) -> File:
    """A file with `obj` in it, taken apart."""
    path = folder / "honest.saver"
    saver.dump(obj, path)
    return take_apart(path)


def node(codec: str, state: Any = None, cls: str | None = None, **more: Any) -> dict[str, Any]:
    """A node as it stands in a tree."""
    found = {"$": codec, **more}
    if cls is not None:
        found["class"] = cls
    if state is not None:
        found["state"] = state
    return found


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a JSON value."""
    keys: Any = (
        value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from places(value[key])


Change = Callable[[File], None]
