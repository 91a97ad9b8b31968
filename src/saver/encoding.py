"""Objects as named parts, ready to be written to a file or a store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from saver import environment
from saver.codec import Encoder, codec_root
from saver.environment import Git
from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.repo.draft import Draft, Encoded, EncodedPart
from saver.repo.manifest import SOLE
from saver.storage import Progress
from saver.tensors import ShardedData, TensorData, data_of
from saver.tree import Node, Tensor, Value, walk

PARTS_LIMIT = 64
"""A mapping with more keys than this is one part: a state dict, not a set of parts."""


def encode(obj: Any) -> Encoded:
    """The parts of an object. The keys of a dict with string keys (at most 64) become its parts.

    Raises CannotSaveError, which names the path, if something has no data form.
    """
    encoder, trees, whole = _walk(obj)
    parts = {}
    for name, tree in trees.items():
        batches = {
            batch: state for batch, state in encoder.batches.items() if batch.rpartition("/")[0] == name
        }
        parts[name] = EncodedPart(tree, batches, _held((tree, *batches.values())), _packages(tree))
    return Encoded(parts, encoder.tensors, whole, encoder.seeds)


def encode_opened(opened: Opened, progress: Progress | None = None) -> Encoded:
    """Encode an opened version or file, to write it elsewhere, without building objects. Equal parts keep
    equal hashes.

    Reads and verifies all tensors.
    """
    opened.tensors.verify(progress=progress)
    parts = {}
    for name, part in opened.manifest.parts.items():
        held = _held(opened.trees[name].roots)
        parts[name] = EncodedPart(part.tree, part.batches, held, part.packages, part.version)
    needed = dict.fromkeys(name for part in parts.values() for name in part.tensors)
    try:
        tensors = {name: data_of(opened.tensors, name) for name in needed}
    except KeyError as error:
        raise IncompatibleError(
            f"{opened.where} refers to the tensor {error}, which is missing; no Saver wrote this"
        ) from None
    plain = {name: data for name, data in tensors.items() if isinstance(data, TensorData)}
    sharded = {name: data for name, data in tensors.items() if isinstance(data, ShardedData)}
    return Encoded(parts, plain, opened.manifest.whole, sharded=sharded)


def draft(
    model: str, encoded: Encoded, git: Git, given: Mapping[str, Any] | None = None, **details: Any
) -> Draft:
    """A draft of a version of `model` with the current time and environment. `given` are the seeds that the
    caller named; `details` are further fields of the Draft."""
    described = environment.describe(encoded.packages, encoded.seeds, git, given)
    return Draft(model=model, encoded=encoded, time=time.time(), environment=described, **details)


def _walk(obj: Any) -> tuple[Encoder, dict[str, Value], bool]:
    """The encoder, the trees of the parts, and whether the parts come from one mapping."""
    encoder = Encoder()
    if _makes_parts(obj):
        trees = {name: encoder.part(name, piece) for name, piece in obj.items()}
        if not encoder.has_met(obj):
            return encoder, trees, True
        encoder = Encoder()  # the mapping contains itself, so it must be a node
    return encoder, {SOLE: encoder.part(SOLE, obj)}, False


def _makes_parts(obj: Any) -> bool:
    if type(obj) is not dict or not 0 < len(obj) <= PARTS_LIMIT:
        return False
    return all(
        type(key) is str and key.isprintable() and 0 < len(key) <= 100 and "/" not in key for key in obj
    )


def _held(roots: tuple[Value, ...]) -> tuple[str, ...]:
    """The names of the tensors in a part, in the order of the document."""
    return tuple(item.name for root in roots for item in walk(root) if type(item) is Tensor)


def _packages(tree: Value) -> tuple[str, ...]:
    found = set()
    for item in walk(tree):
        if type(item) is Node:
            name = item.cls or item.codec
            found.add(name.partition(":")[0].partition(".")[0] if item.cls else codec_root(name))
    return tuple(sorted(found - {"builtins", "stdlib"}))
