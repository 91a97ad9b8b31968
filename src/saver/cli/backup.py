"""`saver backup`: updates a copy of a store."""

from __future__ import annotations

from collections.abc import Sequence

import click

from saver import documents
from saver.cli import Finding
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import existing, json_option
from saver.repo.backup import Copied
from saver.repo.packs import Damage

ROWS_SHOWN = 50
"""How many damaged objects a terminal shows; the rest are counted."""


@click.command()
@click.argument("address", metavar="STORE")
@click.argument("target")
@json_option
def command(address: str, target: str, as_json: bool) -> None:
    """Copy what is new in STORE to TARGET, a copy of it.

    Safe while others save, delete and collect in STORE, which is only read. TARGET is a folder, new
    or made by an earlier backup, and is itself a store. Everything copied is verified. A backup that
    was killed continues where it stopped when it is run again. Exit code 1 if something in STORE is
    damaged: it is named, and everything else is copied.
    """
    if not address or not target:
        raise click.UsageError("the name of the store is empty")
    store = existing(address)
    if as_json:
        copied = store.backup(target)
        place = str(store.storage)
        print_json(documents.document(documents.Copied, copied, store=place, target=target))
    else:
        on = screen()
        with on.progress("Copying") as progress:
            copied = store.backup(target, progress=progress)
        _show(copied, address, target, on)
    if not copied.whole:
        refs = sorted({f"{each.model}@{each.number}" for each in copied.damage})
        raise Finding(
            f"{address}: {', '.join(refs[:5])} could not be copied whole; everything else is in {target}; "
            f"`saver check --store {address}` lists the damage"
        )


def _show(copied: Copied, address: str, target: str, on: Screen) -> None:
    on.heading(f"{address}, copied to {target}")
    on.show(copied._page()[:1])
    if copied.damage:
        _show_damage(copied.damage, on)


def _show_damage(damage: Sequence[Damage], on: Screen) -> None:
    shown = damage[:ROWS_SHOWN] if on.interactive else damage
    on.heading("Damage in the store")
    on.table(
        ("version", "object", "what"),
        [(f"{each.model}@{each.number}", each.key, each.what) for each in shown],
    )
    if len(shown) < len(damage):
        on.say(f"and {len(damage) - len(shown):,} more: --json lists them all")
