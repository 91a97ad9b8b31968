"""`saver log`: who did what to a store, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import click

from saver import documents
from saver.cli import Missing
from saver.cli._completing import models_and_refs
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.repo.entry import KINDS, Entry, row

SHOWN = 40
"""How many records a terminal shows; a pipe gets them all."""


@click.command()
@click.argument("ref", metavar="[REF]", required=False, shell_complete=models_and_refs)
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1), help="Show only the N newest records.")
@click.option(
    "-k", "--kind", "kinds", multiple=True, metavar="KIND", type=click.Choice(KINDS),
    help=f"Only records of this kind: {', '.join(KINDS)}; can be repeated.",
)  # fmt: skip
@store_option
@json_option
def command(ref: str | None, limit: int | None, kinds: tuple[str, ...], address: str, as_json: bool) -> None:
    """Show who did what, and when: every save, tag, label, note, deletion and collection.

    The newest first; with REF, only those of a model, a version (iris@3, also if it was deleted) or a range.
    A terminal shows 40, unless -n gives another number; `saver log | less` has all.
    """
    store = existing(address)
    entries = store.log(ref, kinds=kinds)
    if as_json:
        found = tuple(map(documents.entry, islice(entries, limit)))
        print_json(documents.Log(store=str(store.storage), ref=ref, entries=found))
        return
    on = screen()
    if limit is None and on.interactive:
        limit = SHOWN
    first = next(entries, None)
    if first is None:
        what = f"{' or '.join(kinds)} record".strip() + ("" if ref is None else f" of {ref}")
        raise Missing(f"{address}: the log has no {what}; `saver ls` lists the models")
    on.heading(ref or str(store.storage))
    on.drawing(_lines(first, islice(entries, None if limit is None else limit - 1)))
    if next(entries, None) is not None:
        on.say(f"and older records: -n {4 * (limit or 1)} shows more, `saver log | less` all")


def _lines(first: Entry, others: Iterable[Entry]) -> Iterator[list[tuple[str, int | None]]]:
    """A line for each record, as soon as it was read. The newest has the longest number."""
    digits = len(f"{first.record:,}")
    for entry in chain((first,), others):
        yield [(row(entry, digits), None)]
