"""Bytes of packs that came over a network, kept on this machine: a second load need not wait for them.

Nothing here is needed. It may be deleted at any time, filled with anything, or out of date: every byte is
held against its hash when it is used, as if it came from the store, and requested there if it is wrong.
"""

from __future__ import annotations

from saver.caching.blob import kept
from saver.caching.folder import Cache, cache_folder, opened

__all__ = ["Cache", "cache_folder", "kept", "opened"]
