"""`saver note`: notes of versions and models."""

from __future__ import annotations

import sys

import click

from saver.cli import Misuse
from saver.cli._annotated import about, name, print_annotated
from saver.cli._screen import screen
from saver.cli._store import existing, json_option, store_option


@click.command()
@click.argument("ref", metavar="REF")
@click.argument("text", required=False)
@click.option("-e", "--edit", is_flag=True, help="Edit the notes in $EDITOR.")
@store_option
@json_option
def command(ref: str, text: str | None, edit: bool, address: str, as_json: bool) -> None:
    """Replace, edit or show the notes of a version or a model.

    \b
      saver note iris@3 "better on new customers"    of a version; iris@latest is the newest
      saver note iris "ask ann before a release"     of the model
      saver note iris@3 ""                           removes them
      saver note iris@3                              shows them
    """
    store = existing(address)
    found = about(store, ref)[2]
    target = str(found) if "@" in ref else ref  # `best:auc` may name another one meanwhile
    if edit:
        text = _edited(found.notes, text)
    if text is not None:
        store.note(target, text)
    if as_json:
        print_annotated(store, target)
    elif text is None:
        screen().answer(found.notes or f"{name(ref, found)} has no notes")
    else:
        screen().done(f"{name(ref, found)} is noted" if text else f"the notes of {name(ref, found)} are gone")


def _edited(before: str, text: str | None) -> str | None:
    """What the user made of the notes in an editor; None if they were left as they were."""
    if text is not None:
        raise Misuse("the notes are either TEXT or edited; leave one out")
    if not sys.stdin.isatty():
        raise Misuse("there is no terminal for an editor; give the notes as TEXT")
    after = click.edit(before)
    return None if after is None else after.strip("\n")
