"""One file: `dump`, `load` and `describe`. A single file is a pack whose metadata holds the manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver import environment
from saver.description import Description, describe_opened
from saver.disk import mapped
from saver.disk.durable import NewFile
from saver.encoding import encode
from saver.environment import Git
from saver.errors import IncompatibleError
from saver.opened import Opened
from saver.pack import Entry, Pack, PackWriter
from saver.pack.layout import plan
from saver.repo import manifest as manifests
from saver.repo.draft import Encoded
from saver.repo.manifest import MANIFEST, Manifest
from saver.storage import Progress
from saver.tree import to_json


def dump(obj: Any, path: str | os.PathLike[str], *, progress: Progress | None = None) -> int:
    """Write `obj` whole to one file, durably, or nothing. Returns the bytes written.

    A dict with string keys (64 at most) makes its keys the parts. When this returns, the file survives a
    power loss; until then, what was at `path` before is untouched. `progress(done, total)` is called
    with bytes while large data is written. Raises CannotSaveError for what has no data form, naming its
    path, CannotWriteError when the bytes cannot be made durable, and CommitUnknownError in the rare case that
    the new file stands there but its folder cannot be synced.
    """
    git = Git()
    encoded = encode(obj)
    described = environment.describe(encoded.packages, encoded.seeds, git)
    document = Manifest(format=manifests.FORMAT, parts={}, time=time.time(), environment=described)
    return write_file(path, document, encoded, progress)


def write_file(
    path: str | os.PathLike[str], document: Manifest, encoded: Encoded, progress: Progress | None = None
) -> int:
    """Write what was encoded to one file, durably, or nothing; `document` says the rest of its manifest."""
    planned = {entry.name: entry for entry in plan(encoded.tensors)}

    def describe(hashes: Mapping[str, str]) -> dict[str, str]:
        entries = {
            name: msgspec.structs.replace(planned[name], hash=digest) for name, digest in hashes.items()
        }
        parts = {
            name: part.described(
                manifests.part_hash(
                    manifests.content_hash(to_json([part.tree, part.batches])), entries, part.tensors
                ),
                part.version,
            )
            for name, part in encoded.parts.items()
        }
        whole = msgspec.structs.replace(document, parts=parts, whole=encoded.whole)
        return {MANIFEST: manifests.encode(whole)}

    writer = PackWriter(encoded.tensors, describe, progress)
    with NewFile(os.fspath(path), writer.size) as file:
        writer(file)
        file.commit()
    return writer.size


def load(
    path: str | os.PathLike[str],
    *,
    trust: Iterable[str] = (),
    lazy: bool = False,
    limit: int | str | None = None,
    progress: Progress | None = None,
) -> Any:
    """What was saved, to the bit, without running code from the file.

    Every byte is checked against its hash before anything is built. `trust` names classes of your own
    that may be imported, as in `trust=["mypackage.*"]`. With `lazy=True` bytes are checked when they are
    needed: parts of a mapping come back as a read-only mapping that reads each part when it is asked for.

    Large arrays are views of a private mapping of the file: writing to them changes memory only. Replace
    a loaded file by renaming another over it (as `dump` does), never by overwriting it in place.

    A load may take memory and work in proportion to the size of the file. `limit` is how many bytes it may
    take instead, as in `limit="8GB"`, for files that you trust.

    Raises NotFoundError, IncompatibleError (not a Saver file, or of a newer one), DamagedError,
    LimitExceededError, or UntrustedError, which lists every class that the policy does not know.
    """
    return open_file(path).load(trust, lazy=lazy, progress=progress, limit=limit)


def open_file(path: str | os.PathLike[str]) -> Opened:
    """A single file whose header has been verified, and its trees parsed. Builds and imports nothing."""
    where = os.fspath(path)
    pack = Pack(mapped.open_file(where))
    text = pack.metadata.get(MANIFEST)
    if text is None:
        raise IncompatibleError(f"{where} is a pack of a store, without a manifest; open its store instead")
    return Opened(manifests.decode(text, where), PackTensors(pack), where, pack.size, pack.hash)


class PackTensors:
    """The tensors of a pack, each checked the first time it is asked for."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.names = pack.entries.keys()
        self.size = pack.size
        self._verified: set[str] = set()

    def entry(self, name: str) -> Entry:
        """What a tensor is, without reading it. KeyError when there is none."""
        return self.pack.entries[name]

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the verified bytes, flat and writable. KeyError if there is none."""
        if name not in self._verified:
            self.verify([name])
        return self.pack.tensor(name)

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Raise DamagedError, naming the tensors, unless all, or those named, match their hashes."""
        wanted = list(self.names if names is None else names)
        self.pack.verify(wanted, progress)
        self._verified.update(wanted)


def describe(path: str | os.PathLike[str]) -> Description:
    """What lies in a file: parts, shapes, sizes, dtypes, environment. Builds and imports nothing.

    The header is verified, the tensors are not. `untrusted` names the classes that `load` will ask for.
    """
    return describe_opened(open_file(path))
