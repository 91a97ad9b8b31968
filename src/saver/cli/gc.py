"""`saver gc`: frees what no version needs."""

from __future__ import annotations

import math
import time

import click

from saver import documents
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.saver import GRACE


def _seconds(_: click.Context, __: click.Parameter, grace: float) -> float:
    if math.isnan(grace):  # nan compares false with every number, so that nothing would have to wait
        raise click.BadParameter("nan is not a number of seconds")
    return grace


@click.command()
@click.option(
    "--grace", default=GRACE, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help=f"Condemned objects are kept this long for readers ({GRACE:.0f}).",
)  # fmt: skip
@click.option(
    "--all", "everything", is_flag=True,
    help="Look at all objects, not only at what was deleted since the last collection.",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Only report; change nothing.")
@store_option
@json_option
def command(grace: float, everything: bool, dry_run: bool, address: str, as_json: bool) -> None:
    """Free what no version needs.

    Safe while others save and load. Objects that no version needs are condemned, and deleted by the
    first `saver gc` after their grace period. With --grace 0 everything is freed at once: use it only
    for stores that nobody else is using.

    What killed saves left is looked for once a day, each time in small stores, and with --all.
    """
    store = existing(address)
    if as_json:
        found = store.gc(grace=grace, everything=everything, dry_run=dry_run)
        place = str(store.storage)
        print_json(documents.document(documents.Collected, found, store=place, dry_run=dry_run))
        return
    on = screen()
    with on.progress("Collecting") as progress:
        found = store.gc(grace=grace, everything=everything, dry_run=dry_run, progress=progress)
    facts = found.facts(time.time())
    if facts:
        on.heading(f"{store.storage}, if it were collected now" if dry_run else str(store.storage))
        on.facts(facts)
    else:
        on.done(f"{store.storage}: nothing to free; versions need every object")
