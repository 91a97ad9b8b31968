"""A cache that knows which version may already hold a tensor, among all versions of a store.

Its answers are hints: callers check each against the log and the manifest. So it may be wrong, late or
missing, and its file may be deleted at any time. It never fails: if it cannot be used, it knows nothing,
and `trouble` says why.
"""

from __future__ import annotations

from saver.repo.index.hidden import HiddenIndex
from saver.repo.index.index import Index, index_path
from saver.repo.index.tables import Candidate, Row

__all__ = ["Candidate", "HiddenIndex", "Index", "Row", "index_path"]
