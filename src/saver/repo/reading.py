"""What a version holds: its manifest, opened along with its packs, and a source for its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Any

from saver.errors import SaverError
from saver.pack import PackedTensors
from saver.repo.described import Described
from saver.repo.gridded import GridSource
from saver.repo.objects import pack_key
from saver.repo.pages import Gridded
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.storage import Blob
from saver.tensors import TensorInfo, TensorSource

OPENED_ALONG = 4
"""If a version has at most this many packs, they are opened while its manifest is read."""

_ADVICE = (
    "load other parts or another version, or restore the packs from a copy; `saver check` lists all that is "
    "damaged"
)


def opened(repo: Repository, version: Version) -> tuple[Described, dict[str, Blob]]:
    """What the document of a version says, as `Repository.described` returns it, and the version's packs, if
    they are few and could be opened along with it."""
    if version.file:
        key = pack_key(version.file)
        blob = repo.reading(version, key, lambda: repo.open_pack(version.file))
        return repo.described(version, blob), {version.file: blob}

    def pack(name: str) -> Blob | None:
        with suppress(SaverError):  # it is opened again when it is needed
            return repo.open_pack(name)
        return None

    names = version.packs if len(version.packs) <= OPENED_ALONG else ()
    asks: list[Callable[[], Any]] = [partial(repo.described, version), *(partial(pack, n) for n in names)]
    found, *blobs = repo.storage.together(asks)
    there = {name: blob for name, blob in zip(names, blobs, strict=True) if blob is not None}
    return found, there


def open_packs(repo: Repository, names: Iterable[str]) -> dict[str, Blob]:
    """Packs, opened for reading, all at once. Raises NotFoundError."""
    listed = list(names)
    opened = repo.storage.together(partial(repo.open_pack, name) for name in listed)
    return dict(zip(listed, opened, strict=True))


def source(
    repo: Repository, version: Version, found: Described, blobs: Mapping[str, Blob] | None = None
) -> TensorSource:
    """A source for the tensors of a version, of which its document says this; it keeps working if bytes are
    moved. `blobs` are packs that are open already."""

    def has_pack(name: str) -> bool:
        return repo.storage.stat(pack_key(name)) is not None

    def locate() -> Mapping[str, TensorInfo]:
        """While a copy is being updated, bytes may still be in their old place: the pack to which a record
        moves them may be missing because a later record moves them again."""
        repo.state.refresh()
        while True:
            repo.demand(version)
            head = repo.state.head
            tensors = repo.extents.of(found, cache(has_pack))
            repo.state.refresh()
            if head == repo.state.head:  # otherwise a collector may have moved and deleted them meanwhile
                return tensors

    tensors, open_all = repo.extents.of(found), partial(open_packs, repo)
    if isinstance(tensors, Gridded):
        return GridSource(tensors, open_all, found.where, _ADVICE, locate)
    return PackedTensors(tensors, open_all, found.where, _ADVICE, locate, blobs)
