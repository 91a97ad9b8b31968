"""Storages by their addresses: a folder, `memory://name`, a bucket."""

from __future__ import annotations

from typing import Any

from saver import arguments, registry
from saver.storage import Storage

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
