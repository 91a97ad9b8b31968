"""`saver check`: reads every byte, and reports damage and garbage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import click

from saver import DamagedError, Saver, documents
from saver.cli import Finding, Misuse
from saver.cli._completing import refs_or_files
from saver.cli._predictions import check_predictions, trusting_option
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.page import Row
from saver.repo.check import Checked, Damage
from saver.repo.objects import is_own

T = TypeVar("T")

ROWS_SHOWN = 50
"""How many rows of damage a terminal shows; the rest are counted."""


@click.command()
@click.argument("refs", metavar="[REF_OR_FILE]...", nargs=-1, shell_complete=refs_or_files)
@click.option("--predict", is_flag=True, help="Let saved models answer their golden predictions again.")
@trusting_option
@store_option
@json_option
def command(
    refs: tuple[str, ...], predict: bool, trust: tuple[str, ...], address: str, as_json: bool
) -> None:
    """Read every byte and report what is damaged.

    Exit code 1 if something is damaged: the version, part and tensor are named. Everything else
    is sound.

    With --predict, load models instead, and let them answer what they were asked when they were saved with an
    example: those named, or else the newest version of each model. Exit code 1 if answers differ by more than
    the version allows.
    """
    if predict:
        check_predictions(refs, address, trust, as_json)
        return
    if refs or trust:
        raise Misuse("a check of bytes is one of the whole store; add --predict to check predictions")
    store = existing(address)
    if as_json:
        found = _check_json(store)
    else:
        on = screen()
        with on.progress("Checking") as progress:
            found = store.check(progress=progress)
        _show(found, str(store.storage), on)
    if not found.sound:
        raise Finding(f"{store.storage} is damaged: {found.verdict()}")


def _check_json(store: Saver) -> Checked:
    place = str(store.storage)
    try:
        found = store.check()
    except DamagedError as error:
        print_json(_of_a_damaged_log(place, error))
        raise
    print_json(documents.document(documents.Checked, found, store=place))
    return found


def _of_a_damaged_log(place: str, error: DamagedError) -> documents.Checked:
    """The report when the log is damaged, without which nothing else is known."""
    damage = documents.Damage(
        key="log", what=str(error), model="", number=0, part="", tensor="", rule=error.rule or ""
    )
    return documents.Checked(
        store=place, sound=False, versions=None, bytes=None, damage=(damage,),
        garbage=(), garbage_bytes=None, recorded=False, foreign=(), refused=(),
    )  # fmt: skip


def _show(found: Checked, place: str, on: Screen) -> None:
    on.heading(place)
    on.show(found._page()[:1])
    costly = [each for each in found.damage if each.model]
    if costly:
        _show_losses(found.losses(), on)
        _advise(found, costly, on)
    without = [each for each in found.damage if not each.model]
    folders = [f"{each.key}: {each.what}" for each in without if not is_own(each.key)]
    if folders:
        on.heading("Folders that could not be read")
        on.code(_first(folders, on))
    if found.refused:
        on.heading("Void records, which change nothing: their signers have no right to them")
        on.code(_first(list(found.refused), on))
    harmless = [f"{each.key}: {each.what}" for each in without if is_own(each.key)]
    if harmless:
        on.heading("Damage that affects no version")
        on.code(_first(harmless, on))
        if {each.key for each in found.damage} & set(found.garbage):
            on.say("`saver gc` frees those of them that are garbage.")
    if found.foreign:
        on.heading("Not Saver's")
        on.code(_first(found.foreign, on))


def _show_losses(rows: Sequence[Row], on: Screen) -> None:
    on.heading("Damage")
    on.table(("version", "part", "tensor", "what"), _first(rows, on))
    if len(_first(rows, on)) < len(rows):
        on.say(f"and {len(rows) - ROWS_SHOWN:,} more: --json lists them all")


def _advise(found: Checked, costly: Sequence[Damage], on: Screen) -> None:
    on.heading("What to do")
    on.say("Load other versions, or other parts of these: they are sound.")
    on.say("Restore these objects if you have a copy of the store:")
    on.code(_first(sorted({each.key for each in costly}), on))
    if found.recorded:
        on.say("Or save the same tensors again: that repairs them in these versions too.")
    elif any(each.tensor for each in costly):
        on.say("The log could not record the damage: run `saver check` with write access to the store.")


def _first(items: Sequence[T], on: Screen) -> Sequence[T]:
    return items[:ROWS_SHOWN] if on.interactive else items
