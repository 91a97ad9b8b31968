"""The manifest: the JSON document that describes one version whole.

Unknown fields are kept; an unknown feature in `requires` is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from blake3 import blake3

from saver.canonical import canonical, in_order
from saver.errors import IncompatibleError
from saver.repo import grid
from saver.repo.forms import TensorForm, check_tensors
from saver.repo.grid import Grid, check_grid
from saver.repo.objects import pack_key
from saver.strict import decodable, restated, strict_json
from saver.tensors import TensorInfo

FORMAT = 1
FEATURES = frozenset({grid.FEATURE})
"""The required features that this Saver knows."""


MANIFEST = "saver.manifest"
"""The key of the manifest in the metadata of a pack that holds it."""

SOLE = "model"
"""The name of the only part if the saved object was not a mapping."""

EXAMPLE = "saver/example"
"""The name of the part that is beside the object: its schema and golden predictions (`saver.predicting`).
Names of the object's own parts have no slash."""


NOTHING = msgspec.Raw()
"""No JSON at all."""


class Part(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A named piece of a version. `tree` and `batches` are JSON as written, which `values` decodes: see
    saver.tree.

    `hash` covers the tree and the tensors that it refers to, and nothing else, so that equal parts of
    two versions have equal hashes. `packages` are the import names of the packages that its classes come
    from. If tree and batches are large, they are stored in a separate document (`repo/trees.py`):
    `document` is its name, and `content` the hash of its content.
    """

    batches: Mapping[str, msgspec.Raw] = {}
    content: str = ""
    document: str = ""
    hash: str
    packages: tuple[str, ...] = ()
    tree: msgspec.Raw = NOTHING
    version: int = 1


def values(parts: Mapping[str, Part], where: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """The name of each part, its tree and its batches, as decoded JSON. Raises IncompatibleError if it is not
    sound JSON."""
    texts = [text for part in parts.values() for text in (part.tree, *part.batches.values())]
    found = iter(strict_json(msgspec.json.encode(texts), where, own=True, tree=True))
    for name, part in parts.items():
        yield name, next(found), {batch: next(found) for batch in part.batches} if part.batches else {}


_Natural = Annotated[int, msgspec.Meta(ge=0)]
_PackName = Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{1,64}$")]


@decodable
class Manifest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One version, as it is written, with its fields in the order of canonical JSON. `whole` says that the
    parts came from one mapping; otherwise there is one part.

    `parts` are in the order of that mapping. JSON sorts them, so if the order is another one, `order`
    records it: the place of each part among the sorted names. `time` is in seconds since 1970, UTC.
    `requires` names what a reader must know; fields that this Saver does not know are `unknown`.

    The others are there only in a store, where `tensors` and `packs` do what a single file's own header
    does: `packs` are the names of packs, without `packs/` and `.safetensors`. A version of very many shards
    has a `grid` in place of `tensors`: see `repo/grid.py`. `parent` is the number of the version before it.
    `metrics`, `notes`, `step` and `data` (fingerprints of the training data, by name) come from the caller.
    `transaction` is random and makes every manifest unique.
    """

    author: str = ""
    data: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    format: int
    grid: Grid | None = None
    metrics: Mapping[str, float | str] = {}
    model: str | None = None
    notes: str = ""
    number: int | None = None
    order: tuple[_Natural, ...] = ()
    packs: tuple[_PackName, ...] = ()
    parent: int | None = None
    parts: Mapping[str, Part]
    requires: tuple[str, ...] = ()
    step: int | None = None
    tensors: Mapping[str, TensorForm] = {}
    time: float = 0.0
    transaction: str = ""
    unknown: Mapping[str, Any] = {}
    whole: bool = False


_FIELDS = frozenset(Manifest.__struct_fields__) - {"unknown"}
_decoder = msgspec.json.Decoder(Manifest)


@decodable
class _Environment(msgspec.Struct):
    """The fields of `environment` that readers rely on; the rest is shown as it is."""

    packages: dict[str, str] = {}


def check_environment(environment: Mapping[str, Any], where: str) -> None:
    """Raise IncompatibleError unless readers can rely on what is recorded there."""
    try:
        msgspec.convert(environment, _Environment)
    except msgspec.ValidationError as error:
        raise IncompatibleError(f"{where}: the manifest is malformed: {error}", rule="2.03") from None


def part_hash(content: str, tensors: Mapping[str, TensorInfo], names: Iterable[str]) -> str:
    """The hash of a part: it covers tree and batches (`content` is their hash), and the name, dtype, shape,
    boxes and hashes of the tensors that they refer to."""
    held = [tensors[name].covered for name in in_order({*names})]
    return blake3(canonical([content, held], floats=False)).hexdigest()


def content_hash(content: bytes) -> str:
    """The hash of what `structure` returns."""
    return blake3(content).hexdigest()


def structure(tree: msgspec.Raw, batches: Mapping[str, msgspec.Raw]) -> bytes:
    """What the hash of a part covers, except its tensors, as canonical JSON."""
    return canonical([tree, batches], floats=False)


def manifest_key(digest: str, file: str = "") -> str:
    """The key of the object that holds a manifest: its own, or the pack `file`."""
    return pack_key(file) if file else f"manifests/{digest[:2]}/{digest}.json"


def encode(manifest: Manifest) -> bytes:
    """The manifest as canonical JSON. The fields of the structs are sorted, so a large table of tensors is
    written once, and neither searched nor copied."""
    names, ordered = list(manifest.parts), in_order(manifest.parts)
    order = tuple(map(ordered.index, names)) if names != ordered else ()
    special = {name: getattr(manifest, name) for name in ("data", "environment", "metrics", "time")}
    changes: dict[str, Any] = {name: _exact(value) for name, value in special.items() if value}
    changes |= {"parts": _exact(manifest.parts, floats=False), "tensors": _sorted(manifest.tensors)}
    text = msgspec.json.encode(msgspec.structs.replace(manifest, order=order, unknown={}, **changes))
    if not manifest.unknown:
        return text
    unknown = {name: _exact(value) for name, value in manifest.unknown.items()}
    return canonical({**_each.decode(text), **unknown}, floats=False)


_each = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _exact(value: Any, floats: bool = True) -> msgspec.Raw:
    return msgspec.Raw(canonical(value, floats))


def _sorted(tensors: Mapping[str, TensorForm]) -> Mapping[str, TensorForm]:
    names = in_order(tensors)
    return tensors if list(tensors) == names else {name: tensors[name] for name in names}


def decode(text: bytes, where: str) -> Manifest:
    """A manifest that holds all of its parts, from untrusted JSON; their trees are still raw JSON. Raises
    IncompatibleError if it is not one: its bytes were checked against their hash before."""
    manifest = outline(text, where)
    if manifest.grid is not None:
        raise IncompatibleError(
            f"{where}: a file has its tensors in its header, and this one has a grid", rule="2.07"
        )
    for name, part in manifest.parts.items():
        if part.document:
            raise IncompatibleError(f"{where}: the tree of part {name[:80]!r} is not in it", rule="2.07")
    return manifest


def outline(text: bytes, where: str) -> Manifest:
    """A manifest from untrusted JSON, without the content of its parts' separate documents. Raises
    IncompatibleError if it is not one."""
    manifest = _ordered(_soundly_decoded(text) or _closely_decoded(text, where), where)
    check_environment(manifest.environment, where)
    for name, part in manifest.parts.items():
        if (part.tree is NOTHING) != (part.document != ""):
            raise IncompatibleError(
                f"{where}: part {name[:80]!r} must have a tree or a document", rule="2.07"
            )
    check_tensors(manifest.tensors, len(manifest.packs), where)
    if manifest.grid is not None or grid.FEATURE in manifest.requires:
        if manifest.grid is None or grid.FEATURE not in manifest.requires or manifest.tensors:
            raise IncompatibleError(f"{where}: its tensors and its grid contradict each other", rule="2.07")
        check_grid(manifest.grid, where)
    missing = sorted(set(manifest.requires) - FEATURES)
    if missing:
        raise IncompatibleError(
            f"{where} needs {', '.join(missing)}, which this Saver does not have: install a newer one",
            rule="2.04",
        )
    return manifest


def _soundly_decoded(text: bytes) -> Manifest | None:
    """The manifest, if it encodes again to the same text: then it has no key twice and no unknown one."""
    try:
        found = _decoder.decode(text)
        # Only a metric or a time that is a whole number needs canonical JSON to be the same again.
        same = msgspec.json.encode(found) == text or encode(_ordered(found, "")) == text
        return found if same and found.format == FORMAT and not found.unknown else None
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return None  # `_closely_decoded` says what is wrong, if anything is


def _closely_decoded(text: bytes, where: str) -> Manifest:
    document = strict_json(text, where, own=True)
    if not isinstance(document, dict):
        raise IncompatibleError(f"{where}: the manifest is not a JSON object", rule="2.01")
    number = document.get("format")
    if type(number) is not int or number != FORMAT:
        raise IncompatibleError(
            f"{where} has the manifest format {str(number)[:20]}; this Saver reads format {FORMAT}: "
            "install a newer one",
            rule="2.02",
        )
    if document.get("grid", _FIELDS) is None:
        raise IncompatibleError(f"{where}: the manifest is malformed: its grid is null", rule="2.03")
    unknown = {key: document.pop(key) for key in document.keys() - _FIELDS}
    try:
        found = restated(document, _decoder)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise IncompatibleError(f"{where}: the manifest is malformed: {error}", rule="2.03") from None
    return msgspec.structs.replace(found, unknown=unknown) if unknown else found


def _ordered(manifest: Manifest, where: str) -> Manifest:
    """The manifest with its parts in their own order."""
    names, order = in_order(manifest.parts), manifest.order
    if order and sorted(order) != [*range(len(names))]:
        raise IncompatibleError(f"{where}: the order of the parts does not list each part once", rule="2.06")
    wanted = [names[place] for place in order] if order else names
    if wanted == list(manifest.parts):
        return manifest
    return msgspec.structs.replace(manifest, parts={name: manifest.parts[name] for name in wanted})
