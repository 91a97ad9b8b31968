"""The addresses of curves: a form, the curves of some runs, and what is new in them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from saver.documents.charts import Curves
from saver.pages.curves.collecting import RUNS, Asked, collected
from saver.pages.curves.live import live_of
from saver.pages.page import Address, Answered, Page, Redirect, Stream, Visit
from saver.plotting import PANELS
from saver.repo.refs import parse_ref
from saver.serve.refusals import Refusal
from saver.training_log.content import STEP_LIMIT

COLUMNS = 800
LISTED = 1000
"""The most models that the form suggests."""

DASHES = ("", "10 5", "3 3", "14 4 3 4", "6 3")
"""How lines are dashed, in turns; charts.js draws them so."""

SAMPLED = 12
"""The points of a curve that its table shows."""


def form(visit: Visit) -> Answered:
    """A form in which runs are named; with names, the way to their page."""
    runs = [each for each in visit.queries("run") if each]
    if runs:
        return Redirect(curves_at(runs))
    names = [name for name in visit.store.models() if visit.may("read", name)][:LISTED]
    empty = Curves(runs=(), panels=(), metrics=(), more=0, low=None, high=None, columns=COLUMNS)
    return Page("curves.html", "Curves", empty, _values((), empty) | {"models": names})


def curves(visit: Visit) -> Answered:
    """The curves of some runs."""
    runs = _runs(visit)
    metrics = tuple(dict.fromkeys(visit.queries("metric")))[:PANELS] or None
    columns = visit.number("columns", COLUMNS, 50, 4000)
    asked = Asked(runs, metrics, _step(visit, "low"), _step(visit, "high"), columns)
    found = collected(visit.store, asked, live_of(visit.store).thinner)
    runs_shown = tuple(replace(each, trouble=visit.shown(each.trouble)) for each in found.runs)
    found = replace(found, runs=runs_shown)
    return Page("curves.html", f"Curves of {', '.join(runs)}", found, _values(runs, found))


def news(visit: Visit) -> Answered:
    """What is new in some runs, as long as anybody reads it."""
    runs = _runs(visit)
    have = ["" if each == "-" else each for each in visit.queries("have")]
    fits = [
        not old or parse_ref(old).model == parse_ref(run).model for old, run in zip(have, runs, strict=False)
    ]
    if len(have) != len(runs) or not all(fits):
        raise Refusal("bad-request", "have: say for each run which version of it the page has, or -")
    return Stream(live_of(visit.store).events(runs, have, visit.queries("metric")[:PANELS], visit.shown))


def _fits(have: str, run: str) -> bool:
    """Whether a page may have this version of a run: another model may not be one to read."""
    return not have or parse_ref(have).model == parse_ref(run).model


def curves_at(runs: Sequence[str]) -> str:
    """The address of the curves of some runs."""
    rest = urlencode([("with", each) for each in runs[1:]])
    return f"/curves/{quote(runs[0], safe='/@=:')}{'?' + rest if rest else ''}"


def _runs(visit: Visit) -> tuple[str, ...]:
    """The runs that a request names. Raises BadNameError, and Refusal for runs that the visitor may not
    read."""
    runs = tuple(dict.fromkeys((visit.params["ref"], *filter(None, visit.queries("with")))))
    if len(runs) > RUNS:
        raise Refusal("bad-request", f"a page shows the curves of at most {RUNS} runs, not of {len(runs)}")
    for each in runs[1:]:
        visit.demand("read", parse_ref(each).model)
    return runs


def _step(visit: Visit, name: str) -> int | None:
    return visit.number(name, 0, 0, STEP_LIMIT) if visit.query(name) else None


def _values(runs: Sequence[str], found: Curves) -> dict[str, object]:
    """What the template needs in addition to the document."""
    at = quote(runs[0], safe="/@=:") if runs else ""
    return {
        "runs": runs, "models": [], "at": at, "sampled": sampled, "number": shown, "dashes": DASHES,
    }  # fmt: skip


def shown(value: float | str) -> str:
    """A value as a table shows it."""
    return value if isinstance(value, str) else f"{value:.6g}"


def sampled(count: int) -> list[int]:
    """The numbers of some of `count` points, spread evenly, with the first and the last."""
    if count <= SAMPLED:
        return list(range(count))
    return [round(at * (count - 1) / (SAMPLED - 1)) for at in range(SAMPLED)]


ROUTES = (
    Address("/curves", form, some=True, menu="Curves"),
    Address("/curves/{ref:path}", curves),
    Address("/curves-live/{ref:path}", news, stream=True),
)
