"""The packs of a source that are open, of which not all are at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from weakref import ref

from saver.storage import Blob
from saver.tensors import Bytes, Extent

TOGETHER = 64
"""Packs that are open at the same time: processes may have some 1,000 files open, in all."""

_kept: deque[tuple[ref[OpenPacks], str]] = deque()
"""The packs that stay open after they were read, `TOGETHER` in all of this process, the oldest first."""


class OpenPacks:
    """Packs that `open` opens by their names; `blobs` are open already."""

    def __init__(
        self, open: Callable[[Iterable[str]], Mapping[str, Blob]], blobs: Mapping[str, Blob]
    ) -> None:
        self._open = open
        self._blobs = dict(blobs)
        self._maps: dict[str, Bytes] = {}
        """The first mapping of each pack, of which views are handed out."""
        self._own = False

    def own(self) -> None:
        """Read packs that were not read before into memory that nothing else uses."""
        self._own = True

    def held(self, packs: Iterable[str]) -> dict[str, Blob]:
        """These packs, opened for reading; they stay so until they were `opened`. Raises NotFoundError if one
        is missing."""
        listed = [*packs]
        missing = [pack for pack in listed if pack not in self._blobs]
        if missing:
            self._blobs |= self._open(missing)
        found = {pack: self._blobs[pack] for pack in listed}
        if self._own:
            for blob in found.values():
                blob.own()
        return found

    def opened(self, packs: Iterable[str]) -> dict[str, Blob]:
        """These packs, opened for reading. Those of this process that were opened last stay open."""
        listed = [*packs]
        new = [pack for pack in listed if pack not in self._blobs or pack not in self._maps]
        found = self.held(listed)
        _kept.extend((ref(self), pack) for pack in new)
        while len(_kept) > TOGETHER:
            source, pack = _kept.popleft()
            owner = source()
            if owner is not None:
                owner._blobs.pop(pack, None)
        return found

    def close(self) -> None:
        """Keep none open."""
        self._blobs.clear()

    def release(self, pack: str, start: int, end: int) -> None:
        """Give back what memory a range of a pack takes."""
        blob = self._blobs.get(pack)
        if blob is not None:
            blob.release(start, end)

    def taken(self, memory: Mapping[str, Bytes], extent: Extent) -> Bytes:
        """Bytes that were read: a view of the pack's first mapping, or else a copy. So a pack that is opened
        again and again is mapped once: a process may have some 65,000 mappings."""
        pack, offset, length = extent
        found = memory[pack][offset : offset + length]
        return found if self._maps.setdefault(pack, memory[pack]) is memory[pack] else found.copy()
