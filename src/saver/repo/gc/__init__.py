"""Collection: frees what no version needs, and can never take what one needs. docs/protocol.md has the
argument.

First it condemns: a record names the objects that no version needs, according to the log before it. After
that record, no commit may need them. Only then, and after a grace period for readers, are they deleted.
"""

from __future__ import annotations

from saver.repo.gc.collection import Collected, collect

__all__ = ["Collected", "collect"]
