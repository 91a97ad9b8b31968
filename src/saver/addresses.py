"""Storages by their addresses: a folder, `memory://name`, a bucket; and the repository in a storage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from saver import arguments, registry
from saver.repo.repository import Repository
from saver.storage import Blob, Storage

if TYPE_CHECKING:  # imported when it is needed: `import saver` stays fast
    from saver.repo.index import Index
    from saver.storages.sealed import Holder

_MODULES = {"s3": "object", "gs": "object", "az": "object", "https": "remote", "http": "remote"}
"""The modules of storages that have several schemes."""


def storage_at(name: str, place: Any, token: Any = None) -> Storage:
    """The storage that the argument `name` is, or whose address it is. `token` is for a server."""
    if not isinstance(place, Storage):
        return open_storage(arguments.path_of(name, place), token)
    if token is not None:
        raise ValueError("token: pass it with the address of a server, such as https://host")
    return place


def open_storage(address: str, token: Any = None) -> Storage:
    """The storage at an address: a folder, `memory://name`, a bucket, such as `s3://bucket/folder`, or a
    server that shares a store, such as `https://host`, which `token` shows who asks."""
    scheme, separator, _ = address.partition("://")
    if separator and scheme in registry.names("hubs"):
        raise ValueError(
            f"store: {scheme}:// is a hub, not a store; push to it and pull from it (docs/sharing.md)"
        )
    module = registry.find("storages", _MODULES.get(scheme, scheme) if separator else "local")
    opening = getattr(module, "open_storage", None)
    if opening is None or (separator and scheme == "local"):
        raise ValueError(
            f"store: {address[:200]!r}: {scheme}:// is not the address of a store; pass the folder itself, "
            "s3://bucket/folder, https://host, memory://name, or a Storage"
        )
    if token is None:
        store: Storage = opening(address)
        return store
    if not separator or _MODULES.get(scheme) != "remote":
        raise ValueError("token: pass it with the address of a server, such as https://host")
    shared: Storage = opening(address, token)
    return shared


def repository(storage: Storage, author: Callable[[], str]) -> Repository:
    """The repository in a storage, with what this machine keeps to save time: its index, and packs of
    buckets. `author` writes its records."""
    return Repository(storage, author, partial(_index, storage), kept=partial(_kept, storage))


def sealed(
    storage: Storage,
    holder: Holder,
    new: bool,
    unsealed: Callable[[Storage], None],
    named: Callable[[str], Any],
) -> Storage:
    """The storage, sealed for a holder of keys; with `new=False`, a new store in it is not, and one that is
    not sealed can be used, unless `unsealed` raises something. `named` is as in `SealedStorage`."""
    from saver.storages.sealed import SealedStorage

    return SealedStorage(storage, holder, new, partial(_kept, storage), unsealed, named)


def _index(storage: Storage, ident: str) -> Index:
    from saver.repo.index import HiddenIndex, Index, index_path

    mask = storage.mask
    return Index(index_path(ident)) if mask is None else HiddenIndex(index_path(ident), mask)


def _kept(storage: Storage, store: str, pack: str, blob: Blob) -> Blob:
    """A pack with what is kept of it; that of a sealed one is kept beneath the seal."""
    if not blob.fetchers or storage.mask is not None:
        return blob
    from saver.caching import kept

    return kept(store, pack, blob)
