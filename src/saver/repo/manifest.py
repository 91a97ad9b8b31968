"""The manifest: the JSON document that describes one version whole.

Unknown fields are kept; an unknown feature in `requires` is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from blake3 import blake3

from saver.canonical import canonical, in_order
from saver.errors import IncompatibleError
from saver.pack.layout import AXES_LIMIT, Digest
from saver.repo.objects import pack_key
from saver.strict import decodable, strict_json
from saver.tensors import ITEM_SIZE, Box, Shard, TensorInfo, check_boxes, whole
from saver.tree import to_json

FORMAT = 1
FEATURES: frozenset[str] = frozenset()
"""The required features that this Saver knows."""


MANIFEST = "saver.manifest"
"""The key of the manifest in the metadata of a pack that holds it."""

SOLE = "model"
"""The name of the only part if the saved object was not a mapping."""


class Part(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A named piece of a version. `tree` and `batches` are JSON as written: see saver.tree.

    `hash` covers the tree and the tensors that it refers to, and nothing else, so that equal parts of
    two versions have equal hashes. `packages` are the import names of the packages that its classes come
    from. If tree and batches are large, they are stored in a separate document (`repo/trees.py`):
    `document` is its name, and `content` the hash of its content.
    """

    tree: Any = msgspec.UNSET
    hash: str
    version: int = 1
    batches: Mapping[str, Any] = {}
    packages: tuple[str, ...] = ()
    document: str = ""
    content: str = ""


_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Axes = Annotated[tuple[_Natural, ...], msgspec.Meta(max_length=AXES_LIMIT)]
_PackName = Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{1,64}$")]


class ShardForm(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A shard as a manifest describes it. Its bytes are those of all `extents`, concatenated: each is
    `(pack, offset, length)`, with the pack's index in the manifest's `packs`, and the offset in bytes from
    the beginning of that file. Without a `box` (offsets and sizes) it covers the whole tensor.
    """

    hash: Digest
    extents: tuple[tuple[_Natural, _Natural, _Natural], ...] = ()
    blocks: tuple[Digest, ...] = ()
    box: tuple[_Axes, _Axes] | None = None

    def placed(self, tensor: TensorForm, packs: Sequence[str]) -> Shard:
        """The shard of a tensor, with the names of packs."""
        box = whole(tensor.shape) if self.box is None else Box(*self.box)
        extents = tuple([(packs[pack], offset, length) for pack, offset, length in self.extents])
        return Shard(tensor.dtype, box, self.hash, self.blocks, extents)


class TensorForm(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tensor as a manifest describes it: `saver.tensors.TensorInfo` without its name, and with numbers
    for packs."""

    dtype: str
    shape: _Axes
    shards: Annotated[tuple[ShardForm, ...], msgspec.Meta(min_length=1)]

    def info(self, name: str, packs: Sequence[str]) -> TensorInfo:
        """The tensor, whose shards are stored in these packs. Raises ValueError if boxes do not tile it."""
        shards = tuple([shard.placed(self, packs) for shard in self.shards])
        if len(shards) > 1 or self.shards[0].box is not None:
            check_boxes(self.shape, [shard.box for shard in shards])
        return TensorInfo(name, self.dtype, self.shape, shards)


def tensor_form(info: TensorInfo, packs: Mapping[str, int]) -> TensorForm:
    """A tensor as a manifest describes it, given the numbers of `packs`: the reverse of `TensorForm.info`."""
    shards = [
        ShardForm(
            shard.hash,
            tuple((packs[pack], offset, length) for pack, offset, length in shard.extents),
            shard.blocks,
            (shard.box.offsets, shard.box.sizes) if len(info.shards) > 1 else None,
        )
        for shard in info.shards
    ]
    return TensorForm(info.dtype, info.shape, tuple(shards))


@decodable
class Manifest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One version, as it is written. `whole` says that the parts came from one mapping; otherwise there is
    one part.

    `parts` are in the order of that mapping. JSON sorts them, so if the order is another one, `order`
    records it: the place of each part among the sorted names. `time` is in seconds since 1970, UTC.
    Everything below `requires` is there only in a store, where `tensors` and `packs` do what a single
    file's own header does: `packs` are the names of packs, without `packs/` and `.safetensors`. `parent` is
    the number of the version before it. `metrics`, `notes`, `step` and `data` (fingerprints of the training
    data, by name) come from the caller. `transaction` is random and makes every manifest unique.
    """

    format: int
    parts: Mapping[str, Part]
    whole: bool = False
    order: tuple[_Natural, ...] = ()
    time: float = 0.0
    environment: Mapping[str, Any] = {}
    model: str | None = None
    number: int | None = None
    parent: int | None = None
    step: int | None = None
    author: str = ""
    metrics: Mapping[str, float | str] = {}
    notes: str = ""
    data: Mapping[str, Any] = {}
    tensors: Mapping[str, TensorForm] = {}
    packs: tuple[_PackName, ...] = ()
    transaction: str = ""
    requires: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = {}


_FIELDS = frozenset(Manifest.__struct_fields__)


@decodable
class _Environment(msgspec.Struct):
    """The fields of `environment` that readers rely on; the rest is shown as it is."""

    packages: dict[str, str] = {}


def part_hash(content: str, tensors: Mapping[str, TensorInfo], names: Iterable[str]) -> str:
    """The hash of a part: it covers tree and batches (`content` is their hash), and the name, dtype, shape,
    boxes and hashes of the tensors that they refer to."""
    held = [tensors[name].covered for name in in_order({*names})]
    return blake3(canonical([content, held], floats=False)).hexdigest()


def content_hash(content: bytes) -> str:
    """The hash of what `structure` returns."""
    return blake3(content).hexdigest()


def structure(tree: Any, batches: Mapping[str, Any]) -> bytes:
    """What the hash of a part covers, except its tensors, as canonical JSON."""
    return canonical([raw(tree), _raw_each(batches)], floats=False)


def raw(tree: Any) -> msgspec.Raw:
    """A tree as it is written."""
    return tree if isinstance(tree, msgspec.Raw) else msgspec.Raw(to_json(tree))


def _raw_each(batches: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: raw(state) for name, state in batches.items()}


def manifest_key(digest: str, file: str = "") -> str:
    """The key of the object that holds a manifest: its own, or the pack `file`."""
    return pack_key(file) if file else f"manifests/{digest[:2]}/{digest}.json"


def encode(manifest: Manifest) -> str:
    """The manifest as canonical JSON."""
    names = list(manifest.parts)
    ordered = in_order(names)
    order = tuple(ordered.index(name) for name in names) if names != ordered else ()
    document = msgspec.structs.asdict(manifest)
    unknown = document.pop("unknown")
    document |= {**unknown, "order": order}
    if not order:
        del document["order"]
    parts, tensors = _raw_parts(document.pop("parts")), document.pop("tensors")
    pieces = {name: msgspec.Raw(canonical(value)) for name, value in document.items()}
    pieces |= {"parts": parts, "tensors": msgspec.Raw(canonical(tensors, floats=False))}
    return canonical(pieces, floats=False).decode()


def _raw_parts(parts: Mapping[str, Part]) -> msgspec.Raw:
    """The parts as JSON; only the trees in them may contain floats."""
    found = {
        name: part
        if part.document
        else msgspec.structs.replace(part, tree=raw(part.tree), batches=_raw_each(part.batches))
        for name, part in parts.items()
    }
    return msgspec.Raw(canonical(found, floats=False))


def decode(text: str, where: str) -> Manifest:
    """A manifest that holds all of its parts, from untrusted JSON; their trees are still raw JSON. Raises
    IncompatibleError if it is not one: its bytes were checked against their hash before."""
    manifest = outline(text, where)
    for name, part in manifest.parts.items():
        if part.document:
            raise IncompatibleError(f"{where}: the tree of part {name[:80]!r} is not in it")
    return manifest


def outline(text: str, where: str) -> Manifest:
    """A manifest from untrusted JSON, without the content of its parts' separate documents. Raises
    IncompatibleError if it is not one."""
    document = strict_json(text.encode(), where)
    if not isinstance(document, dict):
        raise IncompatibleError(f"{where}: the manifest is not a JSON object")
    if document.get("format") != FORMAT:
        raise IncompatibleError(
            f"{where} has the manifest format {str(document.get('format'))[:20]}; this Saver reads format "
            f"{FORMAT}: install a newer one"
        )
    unknown = {key: value for key, value in document.items() if key not in _FIELDS}
    try:
        manifest = msgspec.convert({**document, "unknown": unknown}, Manifest)
        msgspec.convert(manifest.environment, _Environment)
    except msgspec.ValidationError as error:
        raise IncompatibleError(f"{where}: the manifest is malformed: {error}") from None
    _check(manifest, where)
    parts = _ordered(manifest.parts, manifest.order, where)
    return manifest if parts is manifest.parts else msgspec.structs.replace(manifest, parts=parts)


def _check(manifest: Manifest, where: str) -> None:
    """Raise IncompatibleError for what the types of the fields do not rule out."""
    for name, part in manifest.parts.items():
        if (part.tree is msgspec.UNSET) != (part.document != ""):
            raise IncompatibleError(f"{where}: part {name[:80]!r} must have a tree or a document")
    for name, stored in manifest.tensors.items():
        if stored.dtype not in ITEM_SIZE:
            raise IncompatibleError(
                f"{where}: tensor {name[:80]!r} has the dtype {stored.dtype[:20]!r}: install a newer Saver"
            )
        extents = (extent for shard in stored.shards for extent in shard.extents)
        if any(pack >= len(manifest.packs) for pack, _, _ in extents):
            raise IncompatibleError(
                f"{where}: tensor {name[:80]!r} is stored in a pack that the manifest does not name"
            )
    missing = sorted(set(manifest.requires) - FEATURES)
    if missing:
        raise IncompatibleError(
            f"{where} needs {', '.join(missing)}, which this Saver does not have: install a newer one"
        )


def _ordered(parts: Mapping[str, Part], order: tuple[int, ...], where: str) -> Mapping[str, Part]:
    names = in_order(parts)
    if not order:
        return parts if list(parts) == names else {name: parts[name] for name in names}
    if sorted(order) != list(range(len(names))):
        raise IncompatibleError(f"{where}: the order of the parts does not list each part once")
    return {names[extent]: parts[names[extent]] for extent in order}
