"""The curves of runs, live while they train: `/curves`.

`logs.py` reads the training logs of versions piece by piece (`columns.py`), `thinning.py` makes of them what
a picture shows, `collecting.py` the document of it. A training log can be read once its run has saved it: one
watcher (`watching.py`) looks for new records of the store, and what is new goes to all pages (`live.py`).
"""

from __future__ import annotations

from saver.pages.curves.acts import ROUTES

__all__ = ["ROUTES"]
