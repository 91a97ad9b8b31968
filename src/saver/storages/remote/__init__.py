"""A store behind `saver serve --share`: `https://host`, with a token. See docs/remote.md."""

from __future__ import annotations

from saver.storages.remote.address import open_storage

__all__ = ["open_storage"]
