"""A storage in memory of which tests read and write the packs as they were before they were compressed."""

from __future__ import annotations

from saver.seals.compressing import compressed
from saver.seals.recognizing import opened
from saver.storage import Bytes, Content
from saver.storages.memory import MemoryStorage


class PlainPacks(MemoryStorage):
    """What a test changes in the bytes of a pack is compressed again."""

    def read(self, key: str) -> bytes:
        return opened(self.open(key)).read()

    def put(self, key: str, content: Content) -> None:
        packed = isinstance(content, Bytes) and key.startswith("packs/")
        super().put(key, compressed(content) if packed else content)

    def create(self, key: str, data: bytes) -> bool:
        packed = key.startswith("packs/") and data
        return super().create(key, b"".join(compressed(Bytes(data)).pieces()) if packed else data)
