"""`saver tag`: movable names for versions."""

from __future__ import annotations

from collections.abc import Iterable

import click

from saver import Saver, documents
from saver.cli import Misuse
from saver.cli._screen import print_json, screen
from saver.cli._store import counted, existing, json_option, store_option
from saver.repo.refs import parse_ref


@click.command()
@click.argument("ref", metavar="[REF]", required=False)
@click.argument("tag", required=False)
@click.option("-d", "--delete", is_flag=True, help="Remove the tag that REF names; its version is kept.")
@store_option
@json_option
def command(ref: str | None, tag: str | None, delete: bool, address: str, as_json: bool) -> None:
    """Set, move, remove or list tags.

    \b
      saver tag iris@3 production           iris@production is iris@3 from now on
      saver tag --delete iris@production    the tag is removed, the version is kept
      saver tag iris                        the tags of iris
      saver tag                             all tags of the store
    """
    if ref is None:
        if delete:
            raise Misuse("no tag to delete was named; write saver tag --delete MODEL@TAG")
        _list_all(address, as_json)
    elif delete:
        _delete(ref, tag, address, as_json)
    elif tag is not None:
        _set(ref, tag, address, as_json)
    else:
        _list(ref, address, as_json)


def _set(ref: str, tag: str, address: str, as_json: bool) -> None:
    store = existing(address)
    version = store.version(ref)
    before = store.summary(version.model).tags.get(tag)
    store.tag(str(version), tag)
    if as_json:
        _print_moved(version.model, tag, version.number, before)
        return
    moved = before is not None and before != version.number
    screen().done(
        f"{version.model}@{tag} is {version}" + (f"; it was {version.model}@{before}" if moved else "")
    )


def _delete(ref: str, tag: str | None, address: str, as_json: bool) -> None:
    found = parse_ref(ref)
    if tag is not None or found.tag is None:
        raise Misuse(f"{ref} does not name one tag to delete; write saver tag --delete MODEL@TAG")
    store = existing(address)
    before = store.version(ref)
    store.untag(found.model, found.tag)
    if as_json:
        _print_moved(found.model, found.tag, None, before.number)
    else:
        screen().done(f"{found.model}@{found.tag} was removed; {before} is kept")


def _print_moved(model: str, tag: str, number: int | None, before: int | None) -> None:
    print_json(documents.TagMoved(model=model, tag=tag, number=number, before=before))


def _print_tags(store: Saver, found: Iterable[tuple[str, str, int]]) -> None:
    tags = (documents.Tag(model=model, tag=tag, number=number) for model, tag, number in found)
    print_json(documents.Tags(store=str(store.storage), tags=tuple(tags)))


def _list(model: str, address: str, as_json: bool) -> None:
    if "@" in model:
        raise Misuse(
            f"{model}: no tag to set was given; write saver tag {model} TAG, or saver tag MODEL to list tags"
        )
    store = existing(address)
    tags = store.summary(model).tags
    if as_json:
        _print_tags(store, [(model, tag, number) for tag, number in tags.items()])
        return
    on = screen()
    if tags:
        on.table(("tag", "version"), [(tag, f"{model}@{number}") for tag, number in tags.items()])
    else:
        on.answer(f"{model} has no tags; saver tag {model}@latest TAG sets one")


def _list_all(address: str, as_json: bool) -> None:
    store = existing(address)
    found = [(each.model, tag, number) for each in store.summaries() for tag, number in each.tags.items()]
    if as_json:
        _print_tags(store, found)
        return
    on = screen()
    if found:
        on.heading(f"{store.storage}: {counted(len(found), 'tag')}")
        rows = [(model, tag, f"{model}@{number}") for model, tag, number in found]
        on.table(("model", "tag", "version"), rows)
    else:
        on.answer(f"{store.storage} has no tags; saver tag MODEL@latest TAG sets one")
