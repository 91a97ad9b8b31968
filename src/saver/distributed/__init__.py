"""Saves and loads that the ranks of a cluster make together: docs/distributed.md is for those who use them.

`members.py` knows who the ranks are and who still lives, `session.py` is one save or load with its notes,
`describing.py` and `planning.py` decide who writes what, `saving.py` and `restoring.py` do it.
"""

from __future__ import annotations
