"""Objects as named parts, ready to be written to a file or a store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from saver import environment, registry, trust
from saver.allowing import allowing
from saver.callers import warn
from saver.codec import Encoder, codec_root
from saver.errors import IncompatibleError, SaverError
from saver.garbage import uncollected
from saver.git import Git
from saver.opened import Opened
from saver.repo.draft import Draft, Encoded, EncodedPart
from saver.repo.manifest import SOLE, values
from saver.storage import Progress
from saver.tensors import ShardedData, TensorData, data_of, read_later, shards_of
from saver.tree import Item, Node, Tensor, Value, to_json, walk

PARTS_LIMIT = 64
"""A mapping with more keys than this is one part: a state dict, not a set of parts."""


def encode(obj: Any, together: bool = False, compress: bool | None = None) -> Encoded:
    """The parts of an object. The keys of a dict with string keys (at most 64) become its parts. With
    `together`, other processes save the rest of those tensors of which this one holds a part. `compress` is
    as in `Encoded`.

    Warns about classes and functions of `__main__`, which other programs cannot find under that name, and of
    libraries that Saver knows, if loading them takes `trust`; of one's own code, that is expected. Raises
    CannotSaveError, which names the path, if something has no data form.
    """
    encoder, parts, asked, whole = uncollected(_encoded, obj, together)
    homeless = {name.partition(":")[2] for _, name in asked if name.startswith("__main__:")}
    if homeless:
        _warn_of_main(sorted(homeless))
    _warn_of_trust(asked)
    return Encoded(parts, encoder.tensors, whole, encoder.seeds, encoder.sharded, compress=compress)


def _encoded(obj: Any, together: bool) -> tuple[Encoder, dict[str, EncodedPart], set[tuple[str, str]], bool]:
    """The encoder, the parts, the codecs and names of the classes that they ask for, and whether the parts
    come from one mapping."""
    encoder, trees, whole = _walk(obj, together)
    parts, asked = {}, set[tuple[str, str]]()
    for name, tree in trees.items():
        batches = {
            batch: state for batch, state in encoder.batches.items() if batch.rpartition("/")[0] == name
        }
        parts[name] = encoded_part(tree, batches, asked)
    return encoder, parts, asked, whole


def encode_opened(opened: Opened, progress: Progress | None = None, later: bool = False) -> Encoded:
    """Encode an opened version or file, to write it elsewhere, without building objects. Equal parts keep
    equal hashes.

    Reads and verifies all tensors; with `later`, each of them when it is written, and none that is not.
    """
    if not later:
        opened.tensors.verify(progress=progress)
    parts, example = {}, opened.example
    trees = {**opened.trees, **(example.trees if example is not None else {})}
    written = {name: opened.written.parts[name] for name in trees}
    for name, tree, batches in values(written, opened.where):
        part = written[name]  # whose JSON need not be canonical, if another program wrote it
        held = tuple([item.name for item in trees[name].items if type(item) is Tensor])
        parts[name] = EncodedPart(_raw(tree), _each_raw(batches), held, part.packages, part.version)
    needed = dict.fromkeys(name for part in parts.values() for name in part.tensors)
    try:
        tensors = {name: (read_later if later else data_of)(opened.tensors, name) for name in needed}
        known = shards_of(map(opened.tensors.info, needed)) if later else {}
    except KeyError as error:
        raise IncompatibleError(
            f"{opened.where} refers to the tensor {error}, which is missing; no Saver wrote this"
        ) from None
    plain = {name: data for name, data in tensors.items() if isinstance(data, TensorData)}
    sharded = {name: data for name, data in tensors.items() if isinstance(data, ShardedData)}
    hashed = {name: (shard.hash, shard.blocks) for name, shard in known.items()}
    return Encoded(parts, plain, opened.manifest.whole, sharded=sharded, hashed=hashed)


def draft(
    model: str, encoded: Encoded, git: Git, given: Mapping[str, Any] | None = None, **details: Any
) -> Draft:
    """A draft of a version of `model` with the current time and environment. `given` are the seeds that the
    caller named; `details` are further fields of the Draft."""
    described = environment.describe(encoded.packages, encoded.seeds, git, given)
    return Draft(model=model, encoded=encoded, time=time.time(), environment=described, **details)


def draft_opened(
    model: str, opened: Opened, author: str, progress: Progress | None = None, later: bool = False,
    **details: Any,
) -> Draft:  # fmt: skip
    """A draft of a version of `model` with the content of an opened version or file, and with the time,
    environment and data that it records, and, under the same name, its signatures. `author` is who made it if
    it does not say so; `later` as in `encode_opened`, and `details` as in `draft`."""
    found = opened.manifest
    return Draft(
        model=model, encoded=encode_opened(opened, progress, later), time=found.time,
        environment=found.environment, author=found.author or author, data=found.data,
        unknown=found.unknown, signatures=opened.signatures if found.model == model else (), **details,
    )  # fmt: skip


def classes(obj: Any, together: bool = False) -> set[str]:
    """The classes, as files name them, that what `obj` is saved as asks for. `together` as in encode."""
    encoder, trees, _ = _walk(obj, together)
    found = (item for root in (*trees.values(), *encoder.batches.values()) for item in walk(root))
    return {item.cls for item in found if type(item) is Node and item.cls is not None}


def _warn_of_main(names: list[str]) -> None:
    listed = ", ".join(f"__main__.{name}" for name in names[:8]) + ", …" * (len(names) > 8)
    short = names[0].rpartition(".")[2]
    warn(
        f"{listed}: only this program finds {'it' if len(names) == 1 else 'them'} under that name. Define "
        f"{'it' if len(names) == 1 else 'them'} in a module, or load elsewhere with "
        f'classes={{"__main__.{names[0]}": {short}}}',
        UserWarning,
    )


def _warn_of_trust(asked: Iterable[tuple[str, str]]) -> None:
    """Say which classes and functions of known libraries will not load without trust."""
    unknown = [
        (codec, name)
        for codec, name in asked
        if _is_known(name.partition(":")[0].partition(".")[0]) and not trust.allows(codec, name, ())
    ]
    if not unknown:
        return
    try:
        policy = trust.allowed(())
    except SaverError:  # loading says what is wrong with the configuration; a save does not depend on it
        policy = trust.Policy()
    names = sorted({trust.dotted(name) for codec, name in unknown if not policy.covers(codec, name)})
    if names:
        listed = ", ".join(names[:8]) + ", …" * (len(names) > 8)
        warn(
            f"{listed}: Saver has not reviewed {'it' if len(names) == 1 else 'them'}, so loading will need "
            f"{allowing(names)}",
            UserWarning,
        )


def _is_known(package: str) -> bool:
    return registry.is_own(package) or package in sys.stdlib_module_names


def _walk(obj: Any, together: bool = False) -> tuple[Encoder, dict[str, Value], bool]:
    """The encoder, the trees of the parts, and whether the parts come from one mapping."""
    encoder = Encoder(together)
    if makes_parts(obj):
        trees = encoder.parts(obj)
        if not encoder.has_met(obj):
            return encoder, trees, True
        encoder = Encoder(together)  # the mapping contains itself, so it must be a node
    return encoder, {SOLE: encoder.part(SOLE, obj)}, False


def makes_parts(obj: Any) -> bool:
    """Whether the keys of an object become parts."""
    if type(obj) is not dict or not 0 < len(obj) <= PARTS_LIMIT:
        return False
    return all(
        type(key) is str and key.isprintable() and 0 < len(key) <= 100 and "/" not in key for key in obj
    )


def encoded_part(
    tree: Value, batches: Mapping[str, Value], asked: set[tuple[str, str]] | None = None
) -> EncodedPart:
    """A part, given its tree and its batches. One walk through them writes their JSON, and finds what they
    refer to. The codecs and names of the classes that they ask for are added to `asked`."""
    items: list[Item] = []
    text = _raw(tree, items)
    packages = {_package(*kind) for kind in {(each.codec, each.cls) for each in items if type(each) is Node}}
    states = _each_raw(batches, items)
    if asked is not None:
        asked |= {(item.codec, item.cls) for item in items if type(item) is Node and item.cls is not None}
    tensors = tuple([item.name for item in items if type(item) is Tensor])
    return EncodedPart(text, states, tensors, tuple(sorted(packages - {"builtins", "stdlib"})))


def _raw(tree: Value, found: list[Item] | None = None) -> msgspec.Raw:
    return msgspec.Raw(to_json(tree, found))


def _each_raw(batches: Mapping[str, Value], found: list[Item] | None = None) -> dict[str, msgspec.Raw]:
    return {name: _raw(state, found) for name, state in batches.items()}


def _package(codec: str, cls: str | None) -> str:
    if cls:
        return cls.partition(":")[0].partition(".")[0]
    return codec_root(codec)
