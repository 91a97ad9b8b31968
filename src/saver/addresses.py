"""Storages by their addresses: a folder, `memory://name`, a bucket; and the repository in a storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from saver import arguments, registry
from saver.repo.repository import Repository
from saver.storage import Blob, Storage

if TYPE_CHECKING:  # imported when it is needed: `import saver` stays fast
    from saver.repo.index import Index

_MODULES = {"s3": "object", "gs": "object", "az": "object"}
"""The modules of storages that have several schemes."""


def storage_at(name: str, place: Any) -> Storage:
    """The storage that the argument `name` is, or whose address it is."""
    return place if isinstance(place, Storage) else open_storage(arguments.path_of(name, place))


def open_storage(address: str) -> Storage:
    """The storage at an address: a folder, `memory://name`, or a bucket, such as `s3://bucket/folder`."""
    scheme, separator, _ = address.partition("://")
    module = registry.find("storages", _MODULES.get(scheme, scheme) if separator else "local")
    opening = getattr(module, "open_storage", None)
    if opening is None or (separator and scheme == "local"):
        raise ValueError(
            f"store: {address[:200]!r}: {scheme}:// is not the address of a store; pass the folder itself, "
            "s3://bucket/folder, memory://name, or a Storage"
        )
    store: Storage = opening(address)
    return store


def repository(storage: Storage, author: Callable[[], str]) -> Repository:
    """The repository in a storage, with what this machine keeps to save time: its index, and packs of
    buckets. `author` writes its records."""
    return Repository(storage, author, _index, kept=_kept)


def _index(ident: str) -> Index:
    from saver.repo.index import Index, index_path

    return Index(index_path(ident))


def _kept(store: str, pack: str, blob: Blob) -> Blob:
    if not blob.fetchers:
        return blob
    from saver.caching import kept

    return kept(store, pack, blob)
