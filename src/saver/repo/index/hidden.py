"""The index of a sealed store: it lies on this machine, and tells nothing of what is in the store."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from saver.mask import Mask
from saver.repo.index.index import Index
from saver.repo.index.tables import Candidate, Row


class HiddenIndex(Index):
    """Hashes are keyed, and names encrypted, by the `mask` of the store's storage."""

    def __init__(self, path: str, mask: Mask) -> None:
        super().__init__(path)
        self._mask = mask

    def has(self, length: int, probe: bytes | None) -> bool:
        return super().has(length, None if probe is None else self._keyed(probe))

    def find(self, hashes: Iterable[str]) -> dict[str, list[Candidate]]:
        keyed = {self._keyed(digest.encode()).hex(): digest for digest in hashes}
        found: dict[str, list[Candidate]] = {}
        for digest, candidates in super().find(keyed).items():
            known = [candidate for each in candidates if (candidate := self._candidate(each)) is not None]
            if known:
                found[keyed[digest]] = known
        return found

    def _candidate(self, found: Candidate) -> Candidate | None:
        """With its names in clear; None if somebody else wrote it."""
        model, number, manifest, name = found
        one, other = self._mask.unmasked(model), self._mask.unmasked(name)
        return None if one is None or other is None else (one, number, manifest, other)

    def add(self, head: int, rows: Iterable[Row]) -> None:
        super().add(head, map(self._hidden, rows))

    def _hidden(self, row: Row) -> Row:
        return row._replace(
            hash=self._keyed(row.hash.encode()).hex(),
            probe=None if row.probe is None else self._keyed(row.probe),
            model=self._mask.masked(row.model),
            name=self._mask.masked(row.name),
        )

    def _keyed(self, data: bytes) -> bytes:
        return blake3(data, key=self._mask.key).digest()
