"""What a save may share with existing versions that are live and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from saver.errors import SaverError
from saver.pack.opening import TOGETHER
from saver.repo import trees
from saver.repo.dedup import PROBED, Reuse, find_reuse, first_bytes, probe_of
from saver.repo.objects import pack_key
from saver.repo.packing import open_stored
from saver.repo.repository import Repository
from saver.repo.version import Version, from_state
from saver.storage import Blob
from saver.tensors import Box, Extent, Hashed, Shard, TensorData


class Sharing:
    """What one save may share: the tensors of the newest version of its model, of the `bases` (refs of
    versions of any model), and of all versions that the index knows.

    Of versions in the grid form, those of pages with some of the boxes `near`, which are by tensor.

    `harmed` are tensors of the first two kinds that a check found damaged. They are never shared.
    """

    def __init__(
        self,
        repo: Repository,
        model: str,
        bases: Iterable[str],
        near: Mapping[str, Sequence[Box]] | None = None,
    ) -> None:
        self._repo = repo
        self._sources: list[dict[str, Shard]] = []
        self._documents: dict[str, str] = {}
        self.harmed: list[Shard] = []
        found = repo.state.model(model)
        newest = found.latest if found is not None else None
        parent = self._live(model, newest) if newest is not None else None
        for version in (parent, *map(repo.version, bases)):
            known, documents = self._contents(version, near)
            self._documents = documents | self._documents
            harmed = repo.extents.harmed(known)
            self.harmed += [known[name] for name in harmed]
            self._sources.append({name: item for name, item in known.items() if name not in harmed})

    def find(self, tensors: Mapping[str, TensorData], hashed: Mapping[str, Hashed]) -> Reuse:
        """What of `tensors` the store already has. `hashed` are the hashes of all, if they are known."""
        index, far = self._repo.index, self._repo.storage.far
        if index is None and not any(self._sources) and not far:
            return Reuse({}, {})
        return find_reuse(tensors, self._sources, self._reader(), index, self._elsewhere, hashed, far)

    def document(self, content: str) -> str:
        """The name of a sound document with this content in the store; "" if there is none."""
        name = self._documents.get(content, "")
        try:
            if name:
                trees.read(self._repo.storage, name, content, "")
        except SaverError:  # it is written again, and that one is sound
            return ""
        return name

    def _reader(self) -> Callable[[Extent], bytes]:
        """A function that reads extents and keeps some packs open; an extent that cannot be read must not
        stop a save."""
        blobs: dict[str, Blob] = {}

        def read(extent: Extent) -> bytes:
            pack, offset, length = extent
            try:
                if pack not in blobs:
                    if len(blobs) >= TOGETHER:
                        blobs.clear()
                    blobs[pack] = open_stored(self._repo.storage, pack_key(pack))
                return blobs[pack].read(offset, offset + length)
            except SaverError:
                return b""

        return read

    def _elsewhere(self, hashes: Iterable[str]) -> dict[str, Shard]:
        """Tensors that the index knows, if a live version confirms them."""
        index, found = self._repo.index, {}
        opened: dict[str, dict[str, Shard]] = {}
        if index is None:
            return {}
        for digest, candidates in index.find(hashes).items():
            for model, number, manifest, name in candidates:
                if manifest not in opened:
                    opened[manifest] = self._confirmed(model, number, manifest)
                known = opened[manifest].get(name)
                if known is not None and known.hash == digest:
                    found[digest] = known
                    break
        return found

    def _confirmed(self, model: str, number: int, manifest: str) -> dict[str, Shard]:
        version = self._live(model, number)
        if version is None or version.manifest != manifest:
            return {}
        known, _ = self._contents(version)
        harmed = self._repo.extents.harmed(known)
        return {name: item for name, item in known.items() if name not in harmed}

    def _live(self, model: str, number: int) -> Version | None:
        value = self._repo.state.version(model, number)
        return from_state(model, number, value, ()) if value is not None else None

    def _contents(
        self, version: Version | None, near: Mapping[str, Sequence[Box]] | None = None
    ) -> tuple[dict[str, Shard], dict[str, str]]:
        try:
            return self._repo.remembered.contents(version, near) if version is not None else ({}, {})
        except SaverError:  # a damaged old version must not stop a new save
            return {}, {}


def tell(
    repo: Repository, version: Version, new: Mapping[str, Shard], tensors: Mapping[str, TensorData]
) -> None:
    """Add the tensors that are `new` with a version to the index."""
    if repo.index is None:
        return
    from saver.repo.index import Row

    rows = []
    for name, known in new.items():
        probe = probe_of(first_bytes(tensors[name])) if known.length >= PROBED else None
        rows.append(
            Row(known.hash, known.length, probe, version.model, version.number, version.manifest, name)
        )
    repo.index.add(repo.state.head, rows)
