"""The pages as routes of Starlette: every `ROUTES` of the modules of this folder."""

from __future__ import annotations

from functools import lru_cache

from starlette.applications import Starlette
from starlette.routing import Route

from saver import registry
from saver.pages.door import PageDoor
from saver.pages.page import Address, Answered, Visit
from saver.pages.site import Site
from saver.serve.refusals import Refusal
from saver.serve.server import Server


@lru_cache(1)
def addresses() -> tuple[Address, ...]:
    """All addresses, those of each module in its order; modules by name."""
    found: list[Address] = []
    for each in registry.own("pages"):
        found += getattr(each, "ROUTES", ())
    return tuple(found)


def beside(server: Server) -> list[Route]:
    """The pages of the store that a server of predictions serves from, behind the same tokens."""
    served = {name: each.model for name, each in server.models.items()}
    secure, fixed = server.settings.certificate is not None, server.settings.share == "read"
    return routes(Site(server.store, server.house, predicting=served, secure=secure, fixed=fixed))


def routes(site: Site) -> list[Route]:
    """The routes of the pages. Those that end in a path of any length match last."""
    found = addresses()
    ordered = sorted(found, key=lambda each: each.path.count("{"))
    return [Route(each.path, PageDoor(site, each, found), methods=None) for each in ordered]


def application(site: Site) -> Starlette:
    """The pages alone, for `saver ui`."""
    nothing = Address("/{rest:path}", _nothing, None)
    return Starlette(
        routes=[*routes(site), Route("/{rest:path}", PageDoor(site, nothing, addresses()), methods=None)]
    )


def _nothing(visit: Visit) -> Answered:
    raise Refusal("not-found", "there is nothing here; the models are at /")
