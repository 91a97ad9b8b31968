"""Packs of a store, as they are stored: some are compressed."""

from __future__ import annotations

from collections.abc import Callable

from saver.pack import PackWriter
from saver.repo.objects import pack_key
from saver.seals.recognizing import opened
from saver.storage import Blob, Content, Progress, Storage


def open_stored(storage: Storage, key: str) -> Blob:
    """The pack with this key, as it was before it was compressed. Raises NotFoundError."""
    return opened(storage.open(key))


def put_pack(put: Callable[[str, Content], None], writer: PackWriter, compress: bool) -> int:
    """Put a pack, compressed or not. Returns the bytes that it takes."""
    content: Content = writer
    if compress:
        from saver.seals.compressing import compressed

        content = compressed(writer)
    put(pack_key(writer.id), content)
    return content.size


def in_proportion(progress: Progress, stored: int, plain: int) -> Progress:
    """Reports of plain bytes, as such of the stored ones."""
    return lambda done, total: progress(done * stored // plain, total)
