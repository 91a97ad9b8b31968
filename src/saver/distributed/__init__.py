"""Saves and loads that the ranks of a cluster make together: docs/distributed.md is for those who use them.

`members.py` knows who the ranks are and who still lives, `corners.py` seals what they tell each other,
`session.py` is one save or load with its notes, `planning.py` decides who writes what, `passing.py` who
reads what for others; `replicas.py` compares what several hold, `broadcast.py` and `exchange.py` pass bytes
on, `saving.py` and `restoring.py` do the rest.
"""

from __future__ import annotations
