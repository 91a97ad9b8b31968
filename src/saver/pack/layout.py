"""Where tensors are stored in a pack, and the header, which records that and vouches for all of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.pack.slots import Slot, check_end, check_slots
from saver.rules import Broken, rule_of
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
            raise _damaged(path, "the header is damaged", "1.04")
        raise IncompatibleError(
            f"{path} is a safetensors file that Saver did not write, not a pack", rule="1.04"
        )
    if digest_of(header).encode() != header[at : at + 64]:
        raise _damaged(path, "the header does not match its hash", "1.05")


def _damaged(path: str, what: str, rule: str) -> DamagedError:
    return DamagedError(f"{path}: {what}; copy the file from its source again", rule=rule)


def text_of(header: bytes) -> bytes:
    """The JSON in a header, without the spaces behind it. `rstrip` alone would look at each of those for
    itself, which took longer than it takes to decode the JSON."""
    end = header.rfind(b"}") + 1
    return header[8:end] if header[end:] == b" " * (len(header) - end) else header[8:].rstrip(b" ")


def parse_header(header: bytes, size: int, path: str) -> Header:
    """The header of a pack of `size` bytes, once it matches its hash and tiles the file."""
    check_header(header, path)
    try:
        if len(header) % ALIGNMENT:
            raise Broken("1.03", f"its length {len(header) - 8:,} is not such that data begins at a block")
        metadata, slots = _divided(text_of(header), path)
        if "saver" not in metadata:
            raise Broken("1.11", "`saver` is missing in its metadata")
        own = _own_of(metadata["saver"].encode(), path)
        shards = _shards(slots, own, len(header), size, path)
        return Header(metadata, own.id, _in_boxes(shards, own.cuts), own.cuts)
    except SaverError:
        raise
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise IncompatibleError(
            f"{path}: this is not the header of a pack: {error}", rule=rule_of(error, "1.16")
        ) from None


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
    if text[-1:] != b"}":
        raise Broken("1.09", "there is something else than spaces behind it")
    document = strict_json(text, path, own=True)
    metadata = document.pop("__metadata__")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise Broken("1.10", "the metadata must be strings")
    return metadata, msgspec.convert(document, dict[str, Slot])


def _own_of(text: bytes, path: str) -> _Own:
    try:
        found = _own.decode(text)
        if found.format == 1 and msgspec.json.encode(found) == text:  # so it has no key twice
            return found
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass  # raised below
    document = strict_json(text, f"{path}: metadata 'saver'", own=True)
    number = document.get("format") if isinstance(document, dict) else None
    if type(number) is int and number != 1:
        raise IncompatibleError(
            f"{path} has format {str(number)[:20]}; this Saver reads format 1: install a newer one",
            rule="1.12",
        )
    try:
        return msgspec.convert(document, _Own)
    except msgspec.ValidationError as error:
        raise Broken("1.11", str(error)) from None


_HEXADECIMAL = re.compile("[0-9a-f]*")
_IDENT = re.compile("[0-9a-f]{32}")


def are_digests(texts: Sequence[str]) -> bool:
    """Whether each of these is a BLAKE3 hash, in hexadecimal."""
    return {*map(len, texts)} <= {len(ZERO)} and _HEXADECIMAL.fullmatch("".join(texts)) is not None


_each = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts = msgspec.json.Decoder(dict[str, str])
_slots = msgspec.json.Decoder(list[Slot])
_NOTHING: str = blake3(b"").hexdigest()


def _shards(slots: dict[str, Slot], own: _Own, at: int, size: int, path: str) -> dict[str, Shard]:
    """The shards of a header. Raises an error unless they tile the pack from `at` to its `size`."""
    blocks = own.blocks
    if _IDENT.fullmatch(own.id) is None:
        raise Broken("1.13", f"the id {own.id[:80]!r} is not one")
    if len(own.hashes) != len(slots):
        raise Broken("1.14", f"{len(own.hashes)} hashes for {len(slots)} tensors")
    if not are_digests([*own.hashes, *(digest for found in blocks.values() for digest in found)]):
        raise Broken("1.15", "a hash is not one")
    end = check_slots(slots.items(), path, "install a newer one")
    shards: dict[str, Shard] = {}
    for (name, slot), digest in zip(slots.items(), own.hashes, strict=True):
        begin, stop = slot.data_offsets
        length, own_blocks = stop - begin, blocks.get(name, ())
        if len(own_blocks) != block_count(length):
            raise Broken("1.21", f"the tensor {name[:80]!r} has {len(own_blocks)} block hashes")
        if not length and digest != _NOTHING:
            raise Broken(
                "1.22", f"the tensor {name[:80]!r} has no bytes, and another hash than no bytes have"
            )
        extents = ((own.id, at + begin, length),) if length else ()
        shards[name] = Shard(slot.dtype, whole(slot.shape), digest, own_blocks, extents)
    if blocks and not (all(blocks.values()) and blocks.keys() <= slots.keys()):
        raise Broken("1.21", "it has blocks of what is not a large tensor")
    check_end(end, size - at, path)
    return shards


def _in_boxes(shards: dict[str, Shard], cuts: Mapping[str, Cut]) -> dict[str, Shard]:
    """The shards, each with its box. Raises ValueError if a box is not inside its tensor."""
    if not cuts:
        return shards
    owned = [name for cut in cuts.values() for name in cut.shards]
    if len(set(owned)) != len(owned):
        raise Broken("1.24", "a shard belongs to two tensors")
    for tensor, cut in cuts.items():
        if tensor in shards or not cut.shards:
            raise Broken("1.24", f"{tensor[:80]!r} is also the name of a shard, or has no shards")
        if not cut.shards.keys() <= shards.keys():
            raise Broken("1.24", f"a shard of {tensor[:80]!r} is not there")
        boxes = {name: cut.box(name, shards[name].shape) for name in cut.shards}
        try:
            check_inside(cut.shape, list(boxes.values()))
        except ValueError as error:
            raise Broken("1.26", str(error)) from None
        for name, box in boxes.items():
            shards[name] = msgspec.structs.replace(shards[name], box=box)
    return shards
