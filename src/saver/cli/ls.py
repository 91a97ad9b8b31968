"""`saver ls`: the models of a store or of a group, or the versions of one model."""

from __future__ import annotations

from typing import NamedTuple

import click
import msgspec

from saver import Saver, documents
from saver.cli import Misuse
from saver.cli._completing import groups
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import counted, existing, json_option, store_option
from saver.human import pairs
from saver.repo.history import Change, Summaries, Summary, listed, tags_text

VERSIONS_SHOWN = 20
"""How many versions a terminal shows; a pipe gets them all."""


@click.command()
@click.argument("model", required=False, metavar="[MODEL|GROUP/]", shell_complete=groups)
@click.option("-n", "last", metavar="N", type=click.IntRange(1), help="Show only the N newest, or first.")
@click.option(
    "-w", "--where", metavar="CONDITION", help="Only versions such as 'auc > 0.8 and not tag = old'."
)
@click.option("-s", "--sort", metavar="METRIC", help="The best first; see docs/finding.md for other orders.")
@store_option
@json_option
def command(
    model: str | None, last: int | None, where: str | None, sort: str | None, address: str, as_json: bool
) -> None:
    """List models, those of a group such as fraud/, or the versions of one.

    For versions, also the parts that each changed. A terminal shows the 20 newest versions, unless -n
    gives another number.
    """
    if model is not None and "@" in model:
        raise Misuse(
            f"{model!r} names a version: `saver show` shows it, `saver ls` lists the versions of a model"
        )
    grouped = model is None or model.endswith("/")
    if grouped and (where is not None or sort is not None):
        raise Misuse("--where and --sort are about the versions of a model: saver ls MODEL --where …")
    store = existing(address)
    if model is None or grouped:
        _list_models(store, model or "", last, as_json)
    else:
        _list_versions(store, model, Wanted(last, where, sort), as_json)


# The models


def _list_models(store: Saver, group: str, last: int | None, as_json: bool) -> None:
    found = store.summaries(group)
    if last is not None:
        found = Summaries(sorted(found, key=lambda each: each.newest.time, reverse=True)[:last])
    if as_json:
        models = tuple(map(_model_document, found))
        print_json(documents.Models(store=str(store.storage), models=models))
        return
    on = screen()
    if not found:
        on.answer(f"{store.storage} has no models{f' in {group}' if group else ''}.")
        return
    on.heading(f"{store.storage}: {counted(len(found), 'model')}{f' in {group}' if group else ''}")
    (table,) = found._page()
    on.show([msgspec.structs.replace(table, title="")])


def _model_document(found: Summary) -> documents.Model:
    newest = documents.version(documents.Version, found.newest)
    return documents.document(documents.Model, found, newest=newest)


# The versions of one


class Wanted(NamedTuple):
    """Which versions of a model to list: so many, by a condition, in an order."""

    last: int | None
    where: str | None
    sort: str | None

    def listed(self, store: Saver, model: str, last: int | None) -> tuple[list[Change], int | None]:
        """The first `last` in the order of the list, and how many there are; None for all of the model."""
        if self.where is None and self.sort is None:
            return store.history(model, last=last)[::-1], None
        found = store.history(model, where=self.where, sort=self.sort)
        return (found if self.sort is not None else found[::-1])[:last], len(found)


def _list_versions(store: Saver, model: str, wanted: Wanted, as_json: bool) -> None:
    if as_json:
        changes, _ = wanted.listed(store, model, wanted.last)
        summary, versions = store.summary(model), tuple(map(_document, changes))
        place = str(store.storage)
        print_json(documents.document(documents.Versions, summary, store=place, versions=versions))
        return
    on = screen()
    shown = VERSIONS_SHOWN if wanted.last is None and on.interactive else wanted.last
    changes, count = wanted.listed(store, model, shown)
    summary = store.summary(model)
    of = "" if count in (None, summary.versions) else f"{count:,} of "
    on.heading(f"{model}: {of}{counted(summary.versions, 'version')}")
    _say_of_the_model(on, summary)
    if changes:
        on.show([listed(changes)])
    total = summary.versions if count is None else count
    if total > len(changes):
        more = counted(total - len(changes), "older version" if count is None else "version")
        on.say(f"and {more}: -n {total} lists them all")


def _say_of_the_model(on: Screen, summary: Summary) -> None:
    about = {
        "tags": tags_text(summary.tags),
        "labels": pairs(summary.labels),
        "notes": " ".join(summary.notes.split()),
    }
    for name, text in about.items():
        if text:
            on.say(f"{name}: {text}")


def _document(change: Change) -> documents.ListedVersion:
    moved = documents.document(documents.Moved, change)
    return documents.version(documents.ListedVersion, change.version, moved=moved)
