"""A storage with slow calls, which says who read what."""

from __future__ import annotations

from saver.disk.copied import CopiedBlob
from saver.errors import CannotReadError
from saver.storage import Blob
from saver.storages.memory import MemoryStorage

PAGE = 4096


class Far(MemoryStorage):
    """A storage with slow calls. `read_pages` has the pages of packs that were fetched, and `others` how many
    bytes were read otherwise; `wrong` says which rank gets wrong bytes, and `failing` which one an error."""

    def __init__(self) -> None:
        super().__init__("far")
        self.read_pages: list[tuple[str, int]] = []
        self.others: list[int] = []
        self.wrong = self.failing = -1

    def bytes_read(self) -> int:
        """How many bytes of packs were read, from now on counted anew."""
        found = PAGE * len(self.read_pages) + sum(self.others)
        self.read_pages.clear()
        self.others.clear()
        return found

    def of(self, rank: int) -> Far:
        """The same, as this rank has it."""
        return _OfRank(self, rank)

    def replace(self, key: str, data: bytes) -> None:
        self.delete(key)
        self.create(key, data)


class _OfRank(Far):
    def __init__(self, far: Far, rank: int) -> None:
        self.__dict__ |= vars(far)
        self._far, self._rank = far, rank

    def open(self, key: str) -> Blob:
        data = MemoryStorage.read(self._far, key)
        return _FarBlob(key, data, self._far, self._rank) if key.startswith("packs/") else super().open(key)

    def read(self, key: str) -> bytes:
        return MemoryStorage.open(self._far, key).read()


class _FarBlob(CopiedBlob):
    fetchers = 3

    def __init__(self, key: str, data: bytes, far: Far, rank: int) -> None:
        super().__init__(key, len(data))
        self._data, self._far, self._rank = data, far, rank

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        found = self._data[start:end]
        self._far.others.append(len(found))
        return found

    def _fill(self, start: int, end: int, memory: memoryview) -> None:
        if self._far.failing == self._rank:
            raise CannotReadError(f"{self.name}: the network is down; try again")
        self._far.read_pages += [(self.name, page) for page in range(start // PAGE, -(-end // PAGE))]
        memory[:] = self._data[start:end]
        if self._far.wrong == self._rank:
            memory[0] ^= 1

    def near(self, start: int, end: int) -> bool:
        return False
