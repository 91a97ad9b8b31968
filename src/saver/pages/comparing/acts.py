"""The addresses of comparisons: a form, the comparison of some versions, and how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from saver import Version
from saver.documents.charts import Comparison, Heat
from saver.opened import Opened, open_version
from saver.pages.comparing import drawing, sides
from saver.pages.comparing.figures import Floats
from saver.pages.comparing.heat import NoMap, heat
from saver.pages.comparing.jobs import Job, jobs_of, trouble
from saver.pages.comparing.layers import Layer, layers
from saver.pages.comparing.stating import heat_of, stated
from saver.pages.page import Address, Answered, Page, Redirect, Stream, Visit
from saver.reading.arrays import Array
from saver.repo.refs import parse_ref
from saver.serve.refusals import Refusal

MOST = 5
LAYERS = 200
"""The layers on one page."""

FIND = 200
"""The most characters that are looked for in paths."""

LARGE = 64 << 20
"""From so many bytes on, a page comes before its weights are read."""

WAIT = 1
"""The most seconds for which an answer waits for the weights; one that comes before they are there says how
far they are, and who asks again within `jobs.IDLE` keeps them going."""

BEAT = 0.2
"""Seconds between two reports of progress."""

encode = msgspec.json.Encoder().encode


def form(visit: Visit) -> Answered:
    """A form in which versions are named; with names, the way to their comparison."""
    refs = [each.strip() for each in visit.queries("of") if each.strip()]
    if len(refs) > 1:
        return Redirect(compare_at(refs))
    empty = Comparison(
        versions=(), facts=(), metrics=(), hyperparameters=(), environment=(), data=(), find="", start=0,
        found=0, finished=True, done=0, total=0, layers=(), heat=None, trouble="",
    )  # fmt: skip
    models = [name for name in visit.store.models() if visit.may("read", name)][:1000]
    given = refs + [""] * (MOST - len(refs))
    return Page("compare.html", "Compare", empty, {"refs": (), "given": given, "models": models})


def compare(visit: Visit) -> Answered:
    """Versions side by side. Waits for the weights if they are small, or for as long as `wait` says."""
    refs = _refs(visit)
    versions, views, chosen, found = _chosen(visit, refs)
    job = _job(visit, versions, views, chosen)
    job.wait(visit.number("wait", WAIT if job.total < LARGE else 0, 0, WAIT))
    layers_found = map(stated, job.result or ())
    document = Comparison(
        versions=tuple(map(str, versions)), facts=sides.facts(versions), metrics=sides.metrics(versions),
        hyperparameters=sides.parameters(views), environment=sides.environment(views), data=sides.data(views),
        find=visit.query("find")[:FIND], start=_start(visit), found=found,
        finished=job.result is not None, done=job.done, total=job.total,
        layers=tuple(replace(each, trouble=visit.shown(each.trouble)) for each in layers_found),
        heat=_heat(visit, views, chosen), trouble=visit.shown(trouble(job)),
    )  # fmt: skip
    values = {
        "refs": refs, "given": (), "models": [], "at": quote(refs[0], safe="/@=:"), "size": LAYERS,
        "query": _query(visit, refs), "bars": drawing.bars, "cells": drawing.cells, "text": drawing.text,
        "share": drawing.share,
    }  # fmt: skip
    title = f"{' and '.join(map(str, versions))} compared"
    title += f", from layer {document.start + 1}" if document.start else ""
    return Page("compare.html", title, document, values)


def progress(visit: Visit) -> Answered:
    """How far a comparison is, until it ends. It goes on only while somebody reads this."""
    versions, views, chosen, _ = _chosen(visit, _refs(visit))
    return Stream(_events(_job(visit, versions, views, chosen)))


def _job(visit: Visit, versions: list[Version], views: list[Opened], chosen: list[Layer]) -> Job:
    repo = visit.store._repo
    return jobs_of(visit.store).job(views, chosen, lambda n: open_version(repo, versions[n]))


async def _events(job: Job) -> AsyncIterator[bytes]:
    with job.waited_for():
        while not job.ended:
            yield b"event: progress\ndata: " + encode({"done": job.done, "total": job.total}) + b"\n\n"
            await asyncio.sleep(BEAT)
    yield b"event: ended\ndata: " + encode({"done": job.done, "total": job.total}) + b"\n\n"


def compare_at(refs: Sequence[str]) -> str:
    """The address of a comparison."""
    return f"/compare/{quote(refs[0], safe='/@=:')}?{urlencode([('with', each) for each in refs[1:]])}"


def _refs(visit: Visit) -> tuple[str, ...]:
    """The versions that a request names. Raises BadNameError, and Refusal where the visitor may not read
    them, or there are too many or too few."""
    refs = tuple(dict.fromkeys((visit.params["ref"], *filter(None, visit.queries("with")))))
    if not 2 <= len(refs) <= MOST:
        raise Refusal("bad-request", f"name two to {MOST} versions, as in /compare/iris@3?with=iris@5")
    for each in refs[1:]:
        visit.demand("read", parse_ref(each).model)
    return refs


def _chosen(visit: Visit, refs: Sequence[str]) -> tuple[list[Version], list[Opened], list[Layer], int]:
    """The versions, opened, and the layers of the page; how many layers there are with that text."""
    versions = [visit.store.version(ref) for ref in refs]
    views = [open_version(visit.store._repo, version) for version in versions]
    text = visit.query("find")[:FIND].lower()
    found = [layer for layer in layers(views) if text in layer.path.lower()]
    start = _start(visit)
    return versions, views, found[start : start + LAYERS], len(found)


def _start(visit: Visit) -> int:
    return visit.number("start", 0, 0, 10**9)


def _query(visit: Visit, refs: Sequence[str]) -> str:
    """The query of the same comparison, without the layer that is chosen and the number of the first."""
    given = [("with", each) for each in refs[1:]]
    find = visit.query("find")[:FIND]
    return urlencode(given + ([("find", find)] if find else []))


def _heat(visit: Visit, views: Sequence[Opened], chosen: Sequence[Layer]) -> Heat | None:
    """The heat maps of the layer that is named. Raises Refusal if the page has no such layer."""
    path = visit.query("layer")
    if not path:
        return None
    layer = next((each for each in chosen if each.path == path), None)
    if layer is None:
        raise Refusal("not-found", f"{path[:80]!r}: there is no such layer among those of this page")
    return heat_of(
        path,
        [None if array is None else (array, _map(views[n], array)) for n, array in enumerate(layer.arrays)],
    )


def _map(view: Opened, array: Array) -> Floats | str:
    try:
        return heat(view, array)
    except NoMap as reason:
        return str(reason)


ROUTES = (
    Address("/compare", form, some=True, menu="Compare"),
    Address("/compare/{ref:path}", compare),
    Address("/compare-progress/{ref:path}", progress, stream=True),
)
