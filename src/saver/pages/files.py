"""The scripts, styles and pictures of the pages."""

from __future__ import annotations

from saver.pages.page import Address, Answered, File, Visit
from saver.pages.rendering import STATIC, assets
from saver.serve.refusals import Refusal


def static(visit: Visit) -> Answered:
    """A file of `static/`. They are in memory, by name: no path leads anywhere else."""
    name = visit.params["file"]
    if name not in assets():
        raise Refusal("not-found", "there is no such file")
    kind = STATIC[name.rpartition(".")[2]]
    age = "public, max-age=31536000, immutable" if visit.query("v") else "no-cache"
    return File(assets()[name], kind, {"cache-control": age})


ROUTES = (Address("/static/{file}", static, None),)
