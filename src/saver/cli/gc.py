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
    if math.isnan(grace):  # nan compares false with every number, so that nothing would have to wait
        raise click.BadParameter("nan is not a number of seconds")
    return grace


@click.command()
@click.option(
    "--grace", default=GRACE, metavar="SECONDS", type=click.FloatRange(0), callback=_seconds,
    help=f"Condemned objects are kept this long for readers ({GRACE:.0f}).",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Only report; change nothing.")
@store_option
@json_option
def command(grace: float, dry_run: bool, address: str, as_json: bool) -> None:
    """Free what no version needs.

    Safe while others save and load. Objects that no version needs are condemned, and deleted by the
    first `saver gc` after their grace period. With --grace 0 everything is freed at once: use it only
    for stores that nobody else is using.
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
    facts = _facts(found, grace, dry_run)
    if facts:
        on.heading(f"{store.storage}, if it were collected now" if dry_run else str(store.storage))
        on.facts(facts)
    else:
        on.done(f"{store.storage}: nothing to free; versions need every object")


def _facts(found: Collected, grace: float, dry_run: bool) -> dict[str, str]:
    """What was done, or would be done, to which objects."""
    facts = {}
    freed, count, waiting = found.freed, found.freed_bytes, found.waiting
    if dry_run and not grace:  # objects that it would condemn would not have to wait
        freed, count, waiting = freed + waiting, count + found.waiting_bytes, ()
    if freed:
        facts["would free" if dry_run else "freed"] = f"{_objects(freed)}, {size(count)}"
    if waiting:
        facts["waiting"] = (
            f"{_objects(waiting)}, {size(found.waiting_bytes)}: no version needs them, but somebody may be "
            f"reading them; the first `saver gc` after {local(time.time() + grace)} frees them"
        )
    if found.moved:
        facts["moved"] = f"the live bytes of {_objects(found.moved)} that were mostly dead"
    if found.busy:
        facts["too young"] = (
            f"{_objects(found.busy)}, made less than {span(grace)} ago: a save under way may need them; "
            f"the first `saver gc` after {local(time.time() + grace)} looks at them, or `--grace 0` now, if "
            "nobody is saving"
        )
    return facts


def _objects(keys: Sequence[str]) -> str:
    """`2 packs and 1 manifest`."""
    packs = sum(key.startswith("packs/") for key in keys)
    counts = {"pack": packs, "manifest": len(keys) - packs}
    return " and ".join(counted(count, noun) for noun, count in counts.items() if count)
