"""Two to five versions side by side: `/compare`.

`sides.py` has what is known without their arrays. `layers.py` pairs the arrays by path, `computing.py` reads
those that are not known to be equal, piece by piece (`blocks.py`), on several threads, and adds up what
`figures.py` finds; `heat.py` makes heat maps. `jobs.py` computes each comparison once, as long as somebody
waits for it, `stating.py` makes the document of it.
"""

from __future__ import annotations

from saver.pages.comparing.acts import ROUTES

__all__ = ["ROUTES"]
