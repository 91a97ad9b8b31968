"""`saver label`: labels (key=value) of versions and models."""

from __future__ import annotations

from collections.abc import Iterable

import click

from saver.cli import Misuse
from saver.cli._annotated import about, name, print_annotated
from saver.cli._completing import models_and_refs
from saver.cli._screen import screen
from saver.cli._store import existing, json_option, store_option
from saver.human import pairs


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.argument("labels", nargs=-1, metavar="[KEY=VALUE...]")
@click.option("-r", "--remove", multiple=True, metavar="KEY", help="Remove this label; can be repeated.")
@store_option
@json_option
def command(ref: str, labels: tuple[str, ...], remove: tuple[str, ...], address: str, as_json: bool) -> None:
    """Set, remove or show labels of a version or a model.

    \b
      saver label iris@3 stage=live team=fraud    of a version; iris@latest is the newest
      saver label iris owner=ann                  of the model
      saver label iris@3 --remove stage
      saver label iris@3                          shows them
    """
    changes: dict[str, str | None] = {**_parsed(labels), **dict.fromkeys(remove)}
    store = existing(address)
    found = about(store, ref)[2]
    unknown = [key for key in remove if key not in found.labels]
    if unknown:
        raise Misuse(f"{name(ref, found)} has no label {unknown[0]!r}; its labels: {_text(found.labels)}")
    if changes:
        target = str(found) if "@" in ref else ref  # `best:auc` may name another one meanwhile
        store.label(target, changes)
        found, ref = about(store, target)[2], target
    if as_json:
        print_annotated(store, ref)
    else:
        told = screen().done if changes else screen().answer
        told(f"{name(ref, found)}: {_text(found.labels)}")


def _parsed(labels: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in labels:
        key, equals, value = text.partition("=")
        if not equals:
            raise Misuse(f"{text!r} is not a label; write KEY=VALUE, as in team=fraud")
        found[key] = value
    return found


def _text(labels: dict[str, str]) -> str:
    return pairs(labels) or "no labels"
