"""`saver ls`: the models of a store, or the versions of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click

from saver import Saver, documents
from saver.cli import Misuse
from saver.cli._screen import Screen, print_json, screen, size
from saver.cli._store import counted, existing, json_option, store_option
from saver.cli._times import age, local
from saver.repo.history import Change, Summary

VERSIONS_SHOWN = 20
"""How many versions a terminal shows; a pipe gets them all."""

METRICS_FIRST = 3
"""How many metrics are kept, in a narrow terminal, before the author and the time of a version."""


@click.command()
@click.argument("model", required=False)
@click.option("-n", "last", metavar="N", type=click.IntRange(1), help="Show only the N newest.")
@store_option
@json_option
def command(model: str | None, last: int | None, address: str, as_json: bool) -> None:
    """List models, or the versions of one.

    For versions, also the parts that each changed. A terminal shows the 20 newest versions, unless -n
    gives another number.
    """
    if model is not None and "@" in model:
        raise Misuse(
            f"{model!r} names a version: `saver show` shows it, `saver ls` lists the versions of a model"
        )
    store = existing(address)
    if model is None:
        _list_models(store, last, as_json)
    else:
        _list_versions(store, model, last, as_json)


# The models


def _list_models(store: Saver, last: int | None, as_json: bool) -> None:
    found = store.summaries()
    if last is not None:
        found = sorted(found, key=lambda each: each.newest.time, reverse=True)[:last]
    if as_json:
        models = tuple(map(_model_document, found))
        print_json(documents.Models(store=str(store.storage), models=models))
        return
    on = screen()
    if not found:
        on.done(f"{store.storage} has no models.")
        return
    on.heading(f"{store.storage}: {counted(len(found), 'model')}")
    _table(
        on,
        ("model", ">versions", ">newest", ">size", "saved", ">age", "tags"),
        [_model_row(each) for each in found],
        spare=("saved", "size"),
    )


def _model_document(found: Summary) -> documents.Model:
    newest = documents.version(documents.Version, found.newest)
    return documents.document(documents.Model, found, newest=newest)


def _model_row(found: Summary) -> tuple[str, ...]:
    newest = found.newest
    return (
        found.model,
        f"{found.versions:,}",
        f"@{newest.number}",
        size(newest.bytes),
        local(newest.time, zone=False),
        age(newest.time),
        tags_text(found.tags),
    )


def tags_text(tags: Mapping[str, int]) -> str:
    """The tags of a model with the versions that they name, newest versions first."""
    return ", ".join(f"{tag} @{tags[tag]}" for tag in sorted(tags, key=lambda tag: (-tags[tag], tag)))


# The versions of one


def _list_versions(store: Saver, model: str, last: int | None, as_json: bool) -> None:
    if as_json:
        changes = store.history(model, last=last)
        versions = tuple(map(_document, reversed(changes)))
        print_json(documents.Versions(store=str(store.storage), model=model, versions=versions))
        return
    on = screen()
    if last is None and on.interactive:
        last = VERSIONS_SHOWN
    changes = store.history(model, last=last)
    summary = store.summary(model)
    on.heading(f"{model}: {counted(summary.versions, 'version')}")
    if summary.tags:
        on.say(f"tags: {tags_text(summary.tags)}")
    metrics = list(dict.fromkeys(name for change in reversed(changes) for name in change.version.metrics))
    _table(
        on,
        (">version", ">step", "saved", ">age", *(f">{name}" for name in metrics),
         "tags", "changed", ">size", ">added", "author", "notes"),
        [_row(change, metrics) for change in reversed(changes)],
        spare=(*reversed(metrics[METRICS_FIRST:]), "author", "saved", "notes", "size",
               *reversed(metrics[:METRICS_FIRST]), "step"),
        brief=("notes",),
    )  # fmt: skip
    left = summary.versions - len(changes)
    if left > 0:
        on.say(f"and {counted(left, 'older version')}: -n {summary.versions} lists them all")


def _document(change: Change) -> documents.ListedVersion:
    moved = documents.document(documents.Moved, change)
    return documents.version(documents.ListedVersion, change.version, moved=moved)


def _row(change: Change, metrics: Iterable[str]) -> tuple[str, ...]:
    version = change.version
    return (
        f"@{version.number}",
        "" if version.step is None else f"{version.step:,}",
        local(version.time, zone=False),
        age(version.time),
        *(f"{version.metrics[name]:.4g}" if name in version.metrics else "" for name in metrics),
        ", ".join(version.tags),
        _moved(change),
        size(version.bytes),
        size(version.bytes_added),
        version.author,
        " ".join(version.notes.split()),
    )


def _moved(change: Change) -> str:
    """The parts that changed; `+` marks parts that were added, `-` parts that were removed."""
    came, went = (f"+{name}" for name in change.added), (f"-{name}" for name in change.removed)
    return ", ".join((*change.changed, *came, *went)) or "-"


def _table(
    on: Screen,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    spare: Sequence[str],
    brief: Sequence[str] = (),
) -> None:
    """Print a table without its empty columns."""
    rows = list(rows)
    kept = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    on.table([columns[at] for at in kept], [[row[at] for at in kept] for row in rows], spare, brief)
