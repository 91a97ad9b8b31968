"""The tensors of one version, read from wherever they lie and verified before they are handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from saver.errors import DamagedError, NotFoundError
from saver.pack import Entry, Range, damaged
from saver.repo.objects import pack_key
from saver.repo.places import Known
from saver.storage import Blob, Progress, Storage

TOGETHER = 64
"""Packs that are open at the same time: processes may have some 1,000 files open, in all."""


class StoredTensors:
    """What a decoder takes its tensors from. Packs are opened when they are needed, `TOGETHER` at a time.
    What was verified stays readable, whatever becomes of its pack.

    `known` says where the tensors lie, and `locate` where they lie by now: it is asked when a pack is gone,
    for a collector may have moved its bytes elsewhere. `blobs` are packs that are open already.
    """

    def __init__(
        self,
        storage: Storage,
        known: dict[str, Known],
        locate: Callable[[], dict[str, Known]],
        where: str,
        blobs: Mapping[str, Blob] | None = None,
    ) -> None:
        self._storage = storage
        self._blobs = dict(blobs or {})
        self._locate = locate
        self._known = known
        self._where = where
        self._views: dict[str, list[NDArray[np.uint8]]] = {}
        """The bytes of what was verified."""
        self._shared: frozenset[str] | None = None

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._known.keys()

    @property
    def size(self) -> int:
        """How many bytes the tensors have, each counted though others may share its bytes."""
        return sum(known.length for known in self._known.values())

    def entry(self, name: str) -> Entry:
        """What a tensor is, without reading it. KeyError when there is none."""
        known = self._known[name]
        return Entry(name, known.dtype, known.shape, 0, known.length, known.hash, known.blocks)

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the verified bytes, flat and writable. KeyError if there is none."""
        if name not in self._views:
            self.verify([name])
        known, views = self._known[name], self._views[name]
        if len(views) == 1:
            shared = name in self._sharing()
            return known.dtype, known.shape, views[0].copy() if shared else views[0]
        memory = np.empty(known.length, np.uint8)
        at = 0
        for view in views:
            memory[at : at + view.size] = view
            at += view.size
        return known.dtype, known.shape, memory

    def _sharing(self) -> frozenset[str]:
        """The tensors some of whose bytes are those of another one: loaded, each is an array of its own."""
        if self._shared is None:
            found, end = set[str](), dict[str, int]()
            whole = {name: known for name, known in self._known.items() if len(known.places) == 1}
            for (pack, offset, length), name in sorted((k.places[0], name) for name, k in whole.items()):
                if length and offset < end.get(pack, 0):
                    found.add(name)
                end[pack] = max(end.get(pack, 0), offset + length)
            self._shared = frozenset(found)
        return self._shared

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Read the tensors named, or all. Raises DamagedError, which names those whose bytes are not what was
        saved.
        """
        wanted = [name for name in (self._known if names is None else names) if name not in self._views]
        views, lost = self._read(wanted, progress)
        if lost:
            shown = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            raise DamagedError(
                f"{self._where}: the bytes of {shown} are not those that were saved; load other parts or "
                "another version, or restore the packs from a copy; `saver check` tells all that is damaged"
            )
        self._views.update(views)

    def _read(
        self, wanted: list[str], progress: Progress | None
    ) -> tuple[dict[str, list[NDArray[np.uint8]]], set[str]]:
        """The bytes of some tensors, and which are damaged; where a pack is gone, look again where its bytes
        are."""
        while True:
            try:
                return self._read_packs(wanted, progress)
            except NotFoundError:
                located = self._locate()
                moved = {name: located[name] for name in wanted if located[name] != self._known[name]}
                if not moved:
                    raise DamagedError(
                        f"{self._where}: a pack is missing; restore it from a copy of the store"
                    ) from None
                self._known = {**self._known, **moved}
                self._shared = None

    def _open(self, pack: str) -> Blob:
        blob = self._blobs.pop(pack, None)
        return blob if blob is not None else self._storage.open(pack_key(pack))

    def _read_packs(
        self, wanted: list[str], progress: Progress | None
    ) -> tuple[dict[str, list[NDArray[np.uint8]]], set[str]]:
        known = {name: self._known[name] for name in wanted}
        hashed: dict[str, list[tuple[str, int, int, str]]] = {}
        for name, item in known.items():
            if not item.root_matches():
                raise DamagedError(
                    f"{self._where}: the hashes of {name!r} contradict each other; take another version"
                )
            for _, digest, (pack, offset, length) in item.block_places():
                hashed.setdefault(pack, []).append((name, offset, offset + length, digest))
        total, done = sum(item.length for item in known.values()), 0
        memory: dict[str, NDArray[np.uint8]] = {}
        lost = set[str]()
        packs = list(hashed)
        for at in range(0, len(packs), TOGETHER):
            some = packs[at : at + TOGETHER]
            opened = self._storage.together(partial(self._open, pack) for pack in some)
            blobs = dict(zip(some, opened, strict=True))
            ranges = [
                Range(name, blob, start, end, digest)
                for pack, blob in blobs.items()
                for name, start, end, digest in hashed[pack]
            ]
            report = None if progress is None else _further(progress, done, total)
            lost |= damaged(ranges, report)
            done += sum(each.end - each.start for each in ranges)
            memory.update((pack, blob.map()) for pack, blob in blobs.items())
        views = {
            name: [memory[pack][offset : offset + length] for pack, offset, length in item.places]
            for name, item in known.items()
            if name not in lost
        }
        return views, lost


def _further(progress: Progress, done: int, total: int) -> Progress:
    return lambda more, _: progress(done + more, total)
