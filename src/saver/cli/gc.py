"""`saver gc`: frees what no version needs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import click

from saver import documents
from saver.cli._screen import print_json, screen, size
from saver.cli._store import counted, existing, json_option, store_option
from saver.cli._times import local, span
from saver.repo.gc import Collected
from saver.saver import GRACE


def _seconds(_: click.Context, __: click.Parameter, grace: float) -> float:
    if math.isnan(grace):  # neither less nor more than anything: nothing would have to wait
        raise click.BadParameter("nan is no number of seconds")
    return grace


@click.command()
@click.option(
    "--grace", default=GRACE, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help=f"What is condemned waits so long for those who read it ({GRACE:.0f}).",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Only tell; change nothing.")
@store_option
@json_option
def command(grace: float, dry_run: bool, address: str, as_json: bool) -> None:
    """Free what no version needs.

    Safe while others save and load. What is found is condemned, and deleted by the first `saver gc`
    that comes when its grace period is over. With --grace 0 all is freed at once: for stores that
    nobody else is using.
    """
    store = existing(address)
    if as_json:
        found = store.gc(grace=grace, dry_run=dry_run)
        place = str(store.storage)
        print_json(documents.document(documents.Collected, found, store=place, dry_run=dry_run))
        return
    on = screen()
    with on.progress("Collecting") as progress:
        found = store.gc(grace=grace, dry_run=dry_run, progress=progress)
    told = _told(found, grace, dry_run)
    if told:
        on.heading(f"{store.storage}, if it were collected now" if dry_run else str(store.storage))
        on.facts(told)
    else:
        on.done(f"{store.storage}: nothing to free; versions need all that is there")


def _told(found: Collected, grace: float, dry_run: bool) -> dict[str, str]:
    """What happened, or would, by what it happened to."""
    told = {}
    freed, count, waiting = found.freed, found.freed_bytes, found.waiting
    if dry_run and not grace:  # what it would condemn would not have to wait
        freed, count, waiting = freed + waiting, count + found.waiting_bytes, ()
    if freed:
        told["would free" if dry_run else "freed"] = f"{_objects(freed)}, {size(count)}"
    if waiting:
        told["waiting"] = (
            f"{_objects(waiting)}, {size(found.waiting_bytes)}: no version needs them, but somebody may be "
            f"reading them; the first `saver gc` after {local(time.time() + grace)} frees them"
        )
    if found.moved:
        told["moved"] = f"what lived in {_objects(found.moved)} that were mostly dead"
    if found.busy:
        told["too young"] = (
            f"{_objects(found.busy)}, made less than {span(grace)} ago: a save under way may need them"
        )
    return told


def _objects(keys: Sequence[str]) -> str:
    """`2 packs and 1 manifest`."""
    packs = sum(key.startswith("packs/") for key in keys)
    counts = {"pack": packs, "manifest": len(keys) - packs}
    return " and ".join(counted(count, noun) for noun, count in counts.items() if count)
