"""Reads the document that describes a version, from where its record says that it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError
from saver.pack import Pack
from saver.pack.layout import HEADER_LIMIT, digest_of
from saver.repo import grid
from saver.repo import manifest as manifests
from saver.repo.forms import demand_whole
from saver.repo.manifest import MANIFEST, Manifest, manifest_key
from saver.repo.objects import pack_key
from saver.repo.packing import open_stored
from saver.repo.pages import Gridded, Pages, Read
from saver.repo.version import Version
from saver.storage import Blob, Storage
from saver.tensors import TensorInfo


class Described(msgspec.Struct, frozen=True):
    """What a version's document says: its manifest, and its tensors by name, with the extents that they had
    when it was written. The manifest itself has no `tensors` and no `grid` any more. `where` is what
    messages call it."""

    where: str
    manifest: Manifest
    tensors: Mapping[str, TensorInfo]

    @property
    def pages(self) -> Sequence[str]:
        """The names of the documents with the tensors, in the grid form."""
        return self.tensors.pages.grid.pages if isinstance(self.tensors, Gridded) else ()

    def load(self, page: str) -> None:
        """Read and verify a page, if one is named."""
        if isinstance(self.tensors, Gridded) and page:
            self.tensors.pages.load([page])


def described(manifest: Manifest, where: str) -> Described:
    """What a manifest of its own says that lists its tensors. Raises IncompatibleError if boxes do not tile
    their tensor, or the extents of a shard do not cover its bytes."""
    tensors, packs = {}, manifest.packs
    for name, form in manifest.tensors.items():
        try:
            info = form.info(name, packs)
        except ValueError as error:
            raise IncompatibleError(f"{where}: {name[:80]!r}: {error}", rule="1.26") from None
        demand_whole(info, where)
        tensors[name] = info
    return Described(where, msgspec.structs.replace(manifest, tensors={}), tensors)


def read_outline(
    storage: Storage,
    version: Version,
    blob: Blob | None = None,
    read: Read | None = None,
) -> Described:
    """What the document of a version says, verified, without the trees that are stored in separate
    documents. `blob` is the file that holds it, if that is open already; `read` is for the pages of a
    grid.

    Raises NotFoundError, DamagedError if the bytes are not those that were written, and IncompatibleError.
    """
    where = f"{storage}: {version}"
    if version.file:
        file = open_stored(storage, pack_key(version.file)) if blob is None else blob
        return _in_file(file, version, where)
    key = manifest_key(version.manifest)
    data = storage.read(key)
    if blake3(data).hexdigest() != version.manifest:
        raise DamagedError(
            f"{where}: its manifest {key} is damaged; restore that file from a copy of the store",
            rule="5.11",
        )
    found = manifests.outline(data, where)
    if found.grid is None:
        return described(found, where)
    pages = Pages(found.grid, found.packs, storage, read or storage.read, where)
    requires = tuple(each for each in found.requires if each != grid.FEATURE)
    return Described(where, msgspec.structs.replace(found, grid=None, requires=requires), Gridded(pages))


def _in_file(blob: Blob, version: Version, where: str) -> Described:
    """The manifest in the header of a pack, with the tensors as that header has them."""
    try:
        pack = Pack(blob)
    except (DamagedError, IncompatibleError) as error:
        if isinstance(error, IncompatibleError) and _is_intact(blob, version.manifest):
            raise
        raise DamagedError(
            f"{where}: the file with its manifest is damaged: {error}; restore it from a copy of the store",
            rule=error.rule if isinstance(error, DamagedError) else "5.15",
        ) from error
    return _in_pack(pack, blob, version, where)


def _in_pack(pack: Pack, blob: Blob, version: Version, where: str) -> Described:
    if pack.hash != version.manifest:
        raise DamagedError(
            f"{where}: the header of {blob.name}, which contains its manifest, is not the one that was "
            "written; restore that file from a copy of the store",
            rule="5.15",
        )
    if MANIFEST not in pack.metadata:
        raise IncompatibleError(
            f"{where}: {blob.name} contains no manifest, although the log says so; restore both from a copy",
            rule="5.15",
        )
    if pack.id != version.file:
        raise IncompatibleError(
            f"{where}: {blob.name}, which contains its manifest, calls itself {pack.id[:40]!r}; no Saver "
            "wrote this",
            rule="5.15",
        )
    found = manifests.outline(pack.metadata[MANIFEST].encode(), where)
    if found.grid is not None:
        raise IncompatibleError(
            f"{where}: a file has its tensors in its header, and this one has a grid", rule="2.07"
        )
    return Described(where, msgspec.structs.replace(found, tensors={}, packs=(version.file,)), pack.tensors)


def _is_intact(blob: Blob, digest: str) -> bool:
    """Whether the header has this hash, even if it cannot be understood."""
    length = int.from_bytes(blob.read(0, 8), "little")
    return length <= HEADER_LIMIT and digest_of(blob.read(0, 8 + length)) == digest
