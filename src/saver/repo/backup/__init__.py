"""A backup: a copy of a store, made and updated while others save, delete and collect in it.

The copy is a store: the records of the source up to `head`, and everything that the versions live at that
record need. Objects are copied first and records last, as in a save, so that an interrupted backup leaves
an older copy, and the next backup continues from there. docs/backup.md says how to use it.
"""

from __future__ import annotations

from saver.repo.backup.backup import Copied, backup

__all__ = ["Copied", "backup"]
