"""Reads the document that describes a version, from where its record says that it is stored."""

from __future__ import annotations

import msgspec
from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError
from saver.pack import Pack
from saver.pack.layout import HEADER_LIMIT, digest_of
from saver.repo import manifest as manifests
from saver.repo.manifest import MANIFEST, Manifest, manifest_key, tensor_form
from saver.repo.version import Version
from saver.storage import Blob, Storage


def read_outline(storage: Storage, version: Version, blob: Blob | None = None) -> Manifest:
    """The manifest of a version, verified, without the trees that are stored in separate documents. `blob`
    is the file that holds it, if that is open already.

    Raises NotFoundError, DamagedError if the bytes are not those that were written, and IncompatibleError.
    """
    where, key = f"{storage}: {version}", manifest_key(version.manifest, version.file)
    if version.file:
        return _in_file(storage.open(key) if blob is None else blob, version, where)
    data = storage.read(key)
    if blake3(data).hexdigest() != version.manifest:
        raise DamagedError(
            f"{where}: its manifest {key} is damaged; restore that file from a copy of the store"
        )
    return manifests.outline(data, where)


def _in_file(blob: Blob, version: Version, where: str) -> Manifest:
    """The manifest in the header of a pack, with the tensors as that header has them."""
    try:
        pack = Pack(blob)
    except (DamagedError, IncompatibleError) as error:
        if isinstance(error, IncompatibleError) and _is_intact(blob, version.manifest):
            raise
        raise _damage(blob, where) from error
    if pack.hash != version.manifest:
        raise _damage(blob, where)
    if MANIFEST not in pack.metadata:
        raise IncompatibleError(
            f"{where}: {blob.name} contains no manifest, although the log says so; restore both from a copy"
        )
    found = manifests.outline(pack.metadata[MANIFEST].encode(), where)
    tensors = {name: tensor_form(info, {pack.id: 0}) for name, info in pack.tensors.items()}
    return msgspec.structs.replace(found, tensors=tensors, packs=(version.file,))


def _damage(blob: Blob, where: str) -> DamagedError:
    return DamagedError(
        f"{where}: the header of {blob.name}, which contains its manifest, is damaged; restore that file "
        "from a copy of the store"
    )


def _is_intact(blob: Blob, digest: str) -> bool:
    """Whether the header has this hash, even if it cannot be understood."""
    length = int.from_bytes(blob.read(0, 8), "little")
    return length <= HEADER_LIMIT and digest_of(blob.read(0, 8 + length)) == digest
