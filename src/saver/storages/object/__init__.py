"""Objects in a bucket: Amazon S3 and servers that are compatible with it, Google Cloud Storage, Azure."""

from __future__ import annotations

from saver.storages.object.address import open_storage

__all__ = ["open_storage"]
