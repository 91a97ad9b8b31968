"""What a repository remembers of the last save, for the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from saver.repo.described import Described
from saver.repo.extents import Extents
from saver.repo.pages import Gridded, Shards
from saver.repo.version import Version
from saver.tensors import Box, Shard, shards_of


class Remembered:
    """What was saved last, so that the next save need not read it. `outline` reads the document of a version,
    and `condemned` names those shards that a collector condemned."""

    def __init__(
        self,
        extents: Extents,
        outline: Callable[[Version], Described],
        condemned: Callable[[Mapping[str, Shard]], list[str]],
    ) -> None:
        self._extents, self._outline, self._condemned = extents, outline, condemned
        self._last: tuple[str, dict[str, Shard], dict[str, str]] = ("", {}, {})
        self.pages: Mapping[str, Shards] = {}
        """Those of versions in the grid form that the last save read or wrote, by name."""

    def contents(
        self, version: Version, near: Mapping[str, Sequence[Box]] | None = None
    ) -> tuple[dict[str, Shard], dict[str, str]]:
        """The shards of a version's tensors, by their names in packs, with their current extents; and the
        names of its documents, by the hash of their content. Of a version in the grid form, only the shards
        of the pages that have some of the boxes `near`, by tensor, if those are given."""
        digest, shards, documents = self._last
        if digest == version.manifest and not self._condemned(shards):
            return shards, documents
        found = self._outline(version)
        documents = {part.content: part.document for part in found.manifest.parts.values() if part.document}
        tensors = self._extents.of(found)
        if near is not None and isinstance(tensors, Gridded):
            tensors.pages.know(self.pages)
            shards, self.pages = tensors.near(near)
            return shards, documents
        return shards_of(tensors.values()), documents

    def take(self, version: Version, shards: dict[str, Shard], documents: dict[str, str]) -> None:
        """Remember what was just saved: its shards, and its documents by content."""
        self._last = (version.manifest, shards, documents)
