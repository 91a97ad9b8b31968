"""`saver check`: reads every byte, and reports damage and garbage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import click

from saver import DamagedError, Saver, documents
from saver.cli import Finding
from saver.cli._screen import Screen, print_json, screen, size
from saver.cli._store import counted, existing, json_option, store_option
from saver.repo.check import Checked, Damage
from saver.repo.objects import is_own

T = TypeVar("T")

ROWS_SHOWN = 50
"""How many rows of damage a terminal shows; the rest are counted."""


@click.command()
@store_option
@json_option
def command(address: str, as_json: bool) -> None:
    """Read every byte and report what is damaged.

    Exit code 1 if something is damaged: the version, part and tensor are named. Everything else
    is sound.
    """
    store = existing(address)
    if as_json:
        found = _check_json(store)
    else:
        on = screen()
        with on.progress("Checking") as progress:
            found = store.check(progress=progress)
        _show(found, str(store.storage), on)
    if not found.sound:
        raise Finding(f"{store.storage} is damaged: {_verdict(found)}")


def _check_json(store: Saver) -> Checked:
    place = str(store.storage)
    try:
        found = store.check()
    except DamagedError as error:
        print_json(_of_a_damaged_log(place, str(error)))
        raise
    print_json(documents.document(documents.Checked, found, store=place))
    return found


def _of_a_damaged_log(place: str, what: str) -> documents.Checked:
    """The report when the log is damaged, without which nothing else is known."""
    damage = documents.Damage(key="log", what=what, model="", number=0, part="", tensor="")
    return documents.Checked(
        store=place, sound=False, versions=None, bytes=None, damage=(damage,),
        garbage=(), garbage_bytes=None, recorded=False, foreign=(),
    )  # fmt: skip


def _show(found: Checked, place: str, on: Screen) -> None:
    on.heading(place)
    garbage = f"{counted(len(found.garbage), 'object')}, {size(found.garbage_bytes)} that `saver gc` frees"
    facts = {
        "versions": f"{found.versions:,}",
        "read": size(found.bytes),
        "damage": _verdict(found),
        "garbage": garbage if found.garbage else "none",
    }
    if found.foreign:
        facts["not Saver's"] = f"{counted(len(found.foreign), 'file')}, which nothing here reads or deletes"
    on.facts(facts)
    costly = [each for each in found.damage if each.model]
    if costly:
        _show_losses(costly, place, on)
        _advise(found, costly, on)
    without = [each for each in found.damage if not each.model]
    folders = [f"{each.key}: {each.what}" for each in without if not is_own(each.key)]
    if folders:
        on.heading("Folders that could not be read")
        on.code(_first(folders, on))
    harmless = [f"{each.key}: {each.what}" for each in without if is_own(each.key)]
    if harmless:
        on.heading("Damage that affects no version")
        on.code(_first(harmless, on))
        if {each.key for each in found.damage} & set(found.garbage):
            on.say("`saver gc` frees those of them that are garbage.")
    if found.foreign:
        on.heading("Not Saver's")
        on.code(_first(found.foreign, on))


def _is_manifest(damage: Damage) -> bool:
    """Whether the damage is to the manifest of a version, which may be stored in a pack."""
    return bool(damage.model and not damage.tensor and damage.key.startswith(("manifests/", "packs/")))


def _verdict(found: Checked) -> str:
    """The damage in one line."""
    versions = {(each.model, each.number) for each in found.damage if each.model}
    if found.sound:
        return "none: everything is as it was saved"
    if not versions:
        return f"{counted(len({each.key for each in found.damage}), 'object')} that no version needs"
    counts = {
        "tensor": len({(each.key, each.tensor) for each in found.damage if each.tensor}),
        "manifest": len({each.key for each in found.damage if _is_manifest(each)}),
        "document": len({each.key for each in found.damage if each.key.startswith("trees/") and each.model}),
        "checkpoint": len({each.key for each in found.damage if each.model and each.key == "state"}),
    }
    what = " and ".join(counted(count, noun) for noun, count in counts.items() if count)
    return f"{what} of {counted(len(versions), 'version')}"


def _show_losses(damage: Sequence[Damage], place: str, on: Screen) -> None:
    """What is lost: a row for each tensor of each version, or for a version that is lost whole."""
    parts: dict[tuple[str, int, str, str], list[str]] = {}
    for each in damage:
        parts.setdefault((each.model, each.number, each.tensor, each.what), []).append(each.part)
    rows = [
        (f"{model}@{number}", ", ".join(names), tensor, what.removeprefix(f"{place}: {model}@{number}: "))
        for (model, number, tensor, what), names in sorted(parts.items())
    ]
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
