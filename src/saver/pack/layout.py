"""Where tensors are stored in a pack, and the header, which records that and vouches for all of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from blake3 import blake3

from saver import registry
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.pack.slots import Slot, check_end, check_slots
from saver.storage import ALIGNMENT
from saver.strict import decodable, strict_json
from saver.tensors import (
    ITEM_SIZE,
    ZERO,
    Cut,
    Shard,
    TensorData,
    TensorInfo,
    block_count,
    check_inside,
    length_of,
    whole,
)

HEADER_LIMIT = 100_000_000
"""safetensors readers refuse longer headers."""

_PREFIX = b'{"__metadata__":{"saver.header":"'

Describe = Callable[[Mapping[str, TensorInfo]], Mapping[str, str]]


@decodable
class _Own(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `saver` holds in the metadata; the hashes are those of all shards, in the order of the header."""

    format: int
    id: str
    hashes: list[str]
    blocks: dict[str, tuple[str, ...]]
    cuts: dict[str, Cut] = {}


_own = msgspec.json.Decoder(_Own)


def plan(tensors: Mapping[str, TensorData]) -> list[str]:
    """The names of the shards in the order in which they are stored: first those whose length is a multiple
    of 64 bytes, then the others by descending item size.

    So every tensor is aligned to its items, and all but those others to cache lines, without padding, which
    safetensors forbids.
    """

    def rank(name: str) -> tuple[bool, int]:
        data = tensors[name]
        odd = length_of(data) % 64 != 0
        return odd, -ITEM_SIZE[data.dtype] if odd else 0

    return sorted(tensors, key=rank)


def slots_bytes(shards: Mapping[str, Shard]) -> bytes:
    """Where the shards are, as a header says it in JSON, if they are stored in this order; it does not depend
    on their hashes."""
    slots: dict[str, Any] = {}
    end = 0
    for name, shard in shards.items():
        begin, end = end, end + shard.length
        slots[name] = {"dtype": shard.dtype, "shape": shard.shape, "data_offsets": (begin, end)}
    return msgspec.json.encode(slots)


def header_bytes(
    shards: Mapping[str, Shard],
    slots: bytes,
    ident: str,
    metadata: Mapping[str, str],
    cuts: Mapping[str, Cut] | None = None,
) -> bytes:
    """Length and header, hashed and padded: everything before the data, which holds the shards in this order.
    `slots` are what `slots_bytes` returns for them. `cuts` are the cuts of tensors of which the pack has
    several shards, or might have.
    """
    own = _Own(
        1,
        ident,
        [shard.hash for shard in shards.values()],
        {name: shard.blocks for name, shard in shards.items() if shard.blocks},
        dict(cuts or {}),
    )
    first = {"__metadata__": {"saver.header": ZERO, "saver": msgspec.json.encode(own).decode(), **metadata}}
    text = msgspec.json.encode(first)
    if shards:
        text = b"%b,%b" % (text[:-1], slots[1:])
    length = -(-(8 + len(text)) // ALIGNMENT) * ALIGNMENT - 8
    if length > HEADER_LIMIT:
        raise IncompatibleError(
            f"the header would take {length:,} bytes, and at most {HEADER_LIMIT:,} are allowed: too many "
            "tensors or too much structure for one file; save the parts in several files"
        )
    head = length.to_bytes(8, "little") + text.ljust(length)
    at = 8 + len(_PREFIX)
    return b"".join((head[:at], blake3(head).hexdigest().encode(), head[at + 64 :]))


def header_hash(header: bytes) -> str:
    """The hash that a header contains."""
    at = 8 + len(_PREFIX)
    return header[at : at + 64].decode()


def digest_of(header: bytes) -> str:
    """The hash that a header should contain."""
    at = 8 + len(_PREFIX)
    return blake3(b"".join((header[:at], ZERO.encode(), header[at + 64 :]))).hexdigest()


_MAGIC = (
    (b"\x80\x02", "a pickle"), (b"\x80\x03", "a pickle"), (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"), (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"), (b"\x93NUMPY", "a NumPy .npy file"), (b"\x1f\x8b", "gzip-compressed"),
    (b"x\x9c", "zlib-compressed, as joblib.dump writes"), (b"x^", "zlib-compressed, as joblib.dump writes"),
    (b"x\xda", "zlib-compressed"), (b"x\x01", "zlib-compressed"),
    (b"BZh", "bzip2-compressed"), (b"\xfd7zXZ", "xz-compressed"), (b"ZF", "an old joblib file"),
)  # fmt: skip
_OLD_PICKLE = re.compile(rb"c[\w.]+\n[\w.]+\n|\((lp|dp|[cid])|[]})]q\x00")
"""The beginning of pickles of the protocols 0 and 1, which have no magic number."""


def no_saver_file(first: bytes, path: str) -> Exception:
    """The error for a file that begins with `first`. It says what the file is, if that can be recognized."""
    if not first:
        return DamagedError(f"{path}: there is nothing in it; copy it from its source again")
    if not any(first):
        return DamagedError(f"{path}: the header is missing, so writing was cut off; use an older copy")
    kind = next((kind for magic, kind in _MAGIC if first.startswith(magic)), None)
    if kind is None and _OLD_PICKLE.match(first):
        kind = "a pickle"
    if kind == "a zip archive":
        kind += f", as {', '.join(name for family in registry.families() for name in family.zips)} write"
    if kind is None:
        return IncompatibleError(f"{path} is not a Saver file: it does not begin with a safetensors header")
    return IncompatibleError(
        f"{path} is {kind}, not a Saver file, whatever its name says; nothing in it was run. "
        "If you trust it, open it with the library that wrote it, and save the object with saver.dump"
    )


class Header(msgspec.Struct, frozen=True):
    """The content of a header: the metadata, the pack's id, its shards by name, and the cuts of tensors that
    have several shards."""

    metadata: dict[str, str]
    id: str
    shards: dict[str, Shard]
    cuts: dict[str, Cut]


def is_foreign(header: bytes) -> bool:
    """Whether this is the header of a safetensors file that Saver did not write: nothing in it begins with
    `saver`, as several keys of Saver's own metadata do, so that a damaged header is never taken for one."""
    return b'"saver' not in header


def check_header(header: bytes, path: str) -> None:
    """Raise DamagedError unless a header matches its hash; IncompatibleError if Saver did not write it."""
    at = 8 + len(_PREFIX)
    if not header[8:].startswith(_PREFIX):
        if not is_foreign(header):
            raise DamagedError(f"{path}: the header is damaged; copy the file from its source again")
        raise IncompatibleError(f"{path} is a safetensors file that Saver did not write, not a pack")
    if digest_of(header).encode() != header[at : at + 64]:
        raise DamagedError(f"{path}: the header does not match its hash; copy the file from its source again")


def text_of(header: bytes) -> bytes:
    """The JSON in a header, without the spaces behind it. `rstrip` alone would look at each of those for
    itself, which took longer than it takes to decode the JSON."""
    end = header.rfind(b"}") + 1
    return header[8:end] if header[end:] == b" " * (len(header) - end) else header[8:].rstrip(b" ")


def parse_header(header: bytes, size: int, path: str) -> Header:
    """The header of a pack of `size` bytes, once it matches its hash and tiles the file."""
    check_header(header, path)
    try:
        metadata, slots = _divided(text_of(header), path)
        own = _own_of(metadata.get("saver", "").encode(), path)
        shards = _shards(slots, own, len(header), size, path)
        return Header(metadata, own.id, _in_boxes(shards, own.cuts), own.cuts)
    except SaverError:
        raise
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise IncompatibleError(f"{path}: this is not the header of a pack: {error}") from None


def _divided(text: bytes, path: str) -> tuple[dict[str, str], dict[str, Slot]]:
    """The metadata of a header, and where it says that the tensors are."""
    try:
        each = _each.decode(text)
        metadata = _texts.decode(each.pop("__metadata__"))
        slots = dict(zip(each, _slots.decode(b"[%b]" % b",".join(map(bytes, each.values()))), strict=True))
        if msgspec.json.encode({"__metadata__": metadata, **slots}) == text:  # so it has no key twice
            return metadata, slots
    except (msgspec.DecodeError, KeyError, UnicodeError, RecursionError):
        pass  # raised below
    document = strict_json(text, path)
    metadata = document.pop("__metadata__")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise IncompatibleError(f"{path}: the metadata must be strings; no Saver wrote this")
    return metadata, msgspec.convert(document, dict[str, Slot])


def _own_of(text: bytes, path: str) -> _Own:
    try:
        found = _own.decode(text)
        if found.format == 1 and msgspec.json.encode(found) == text:  # so it has no key twice
            return found
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass  # raised below
    document = strict_json(text, f"{path}: metadata 'saver'")
    number = document["format"]
    if number != 1:
        raise IncompatibleError(
            f"{path} has format {str(number)[:20]}; this Saver reads format 1: install a newer one"
        )
    return msgspec.convert(document, _Own)


_HEXADECIMAL = re.compile("[0-9a-f]*")


def are_digests(texts: Sequence[str]) -> bool:
    """Whether each of these is a BLAKE3 hash, in hexadecimal."""
    return {*map(len, texts)} <= {len(ZERO)} and _HEXADECIMAL.fullmatch("".join(texts)) is not None


_each = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts = msgspec.json.Decoder(dict[str, str])
_slots = msgspec.json.Decoder(list[Slot])


def _shards(slots: dict[str, Slot], own: _Own, at: int, size: int, path: str) -> dict[str, Shard]:
    """The shards of a header. Raises an error unless they tile the pack from `at` to its `size`."""
    blocks = own.blocks
    if len(own.hashes) != len(slots):
        raise ValueError(f"{len(own.hashes)} hashes for {len(slots)} tensors")
    if not are_digests([*own.hashes, *(digest for found in blocks.values() for digest in found)]):
        raise ValueError("a hash is not one")
    end = check_slots(slots.items(), path, "install a newer one")
    shards: dict[str, Shard] = {}
    for (name, slot), digest in zip(slots.items(), own.hashes, strict=True):
        begin, stop = slot.data_offsets
        length, own_blocks = stop - begin, blocks.get(name, ())
        if len(own_blocks) != block_count(length):
            raise ValueError(f"the tensor {name[:80]!r} has {len(own_blocks)} block hashes")
        extents = ((own.id, at + begin, length),) if length else ()
        shards[name] = Shard(slot.dtype, whole(slot.shape), digest, own_blocks, extents)
    check_end(end, size - at, path)
    return shards


def _in_boxes(shards: dict[str, Shard], cuts: Mapping[str, Cut]) -> dict[str, Shard]:
    """The shards, each with its box. Raises ValueError if a box is not inside its tensor."""
    if not cuts:
        return shards
    owned = [name for cut in cuts.values() for name in cut.shards]
    if len(set(owned)) != len(owned):
        raise ValueError("a shard belongs to two tensors")
    for tensor, cut in cuts.items():
        if tensor in shards or not cut.shards:
            raise ValueError(f"{tensor[:80]!r} is also the name of a shard, or has no shards")
        boxes = {name: cut.box(name, shards[name].shape) for name in cut.shards}
        check_inside(cut.shape, list(boxes.values()))
        for name, box in boxes.items():
            shards[name] = msgspec.structs.replace(shards[name], box=box)
    return shards
