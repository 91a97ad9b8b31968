"""`saver diff`: what changed between two versions."""

from __future__ import annotations

from pathlib import Path

import click

from saver import diff, documents
from saver.cli._completing import refs_or_files
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.cli._subject import is_file
from saver.compare import Difference, sections
from saver.pack import Progress

FOUND = 1
"""The exit code if there is a difference."""

ROWS_SHOWN = 40
"""How many rows of each table a terminal shows; a pipe gets them all."""


@click.command()
@click.argument("old", metavar="A", shell_complete=refs_or_files)
@click.argument("new", metavar="B", shell_complete=refs_or_files)
@click.option("-n", "rows", metavar="N", type=click.IntRange(1), help="Show only N rows of each table.")
@store_option
@json_option
@click.pass_context
def command(ctx: click.Context, old: str, new: str, rows: int | None, address: str, as_json: bool) -> None:
    """Show what changed from A to B: versions of the store, such as iris@1 and iris@3, or files.

    Parameters by path, weights by layer, metrics, data and environment. No object is built and no library
    imported. A terminal shows 40 rows of each table, unless -n gives another number. Exit code 1 if they
    differ.
    """
    if as_json:
        found = _compare(old, new, address, None)
        verdict = {"differs": bool(found), "summary": found.summary()}
        print_json(documents.document(documents.Difference, found, **verdict))
    else:
        on = screen()
        with on.progress("Comparing") as progress:
            found = _compare(old, new, address, progress)
        _show(found, on, ROWS_SHOWN if rows is None and on.interactive else rows)
    if found:
        ctx.exit(FOUND)


def _compare(old: str, new: str, address: str, progress: Progress | None) -> Difference:
    if is_file(old) and is_file(new):
        return diff(old, new, progress=progress)
    sides = (Path(each) if is_file(each) else each for each in (old, new))
    return existing(address).diff(*sides, progress=progress)


def _show(found: Difference, on: Screen, limit: int | None) -> None:
    on.heading(f"{found.old} -> {found.new}")
    on.say(found.summary())
    for section in sections(found):
        on.heading(section.title)
        shown = section.rows[:limit]
        on.table(section.columns, shown, section.spare)
        left = len(section.rows) - len(shown)
        if left:
            on.say(f"and {left:,} more: -n {len(section.rows)} lists them all")
