"""`saver rm`: deletes versions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from saver import Saver, Version, documents
from saver.cli import Missing, Misuse
from saver.cli._completing import refs
from saver.cli._screen import clean, print_json, screen
from saver.cli._store import counted, existing, json_option, store_option
from saver.repo.refs import parse_range

NAMED = 20
"""How many versions the question names; the others are counted."""


@click.command()
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=refs)
@click.option("-y", "--yes", is_flag=True, help="Do not ask; delete tagged versions too.")
@store_option
@json_option
def command(refs: tuple[str, ...], yes: bool, address: str, as_json: bool) -> None:
    """Delete versions: iris@3, iris@best, or the range iris@3..7.

    Their tags are deleted too, and their numbers are never used again. Asks for confirmation; without a
    terminal, and for versions with tags, --yes is needed. `saver gc` then frees the bytes that no other
    version needs.
    """
    store = existing(address)
    versions = _versions(store, refs)
    if not yes and not _is_confirmed(versions):
        click.echo("nothing was deleted", err=True)
        raise click.exceptions.Exit(Misuse.exit_code)
    deleted = store.delete(*versions)
    if as_json:
        versions_deleted = tuple(documents.version(documents.Version, version) for version in deleted)
        print_json(documents.Deleted(deleted=versions_deleted))
    else:
        tags = [f"{version.model}@{tag}" for version in deleted for tag in version.tags]
        gone = f", and {counted(len(tags), 'tag')}: {', '.join(tags)}" if tags else ""
        screen().done(f"deleted {_named(deleted)}{gone}; `saver gc` frees the bytes")


def _versions(store: Saver, refs: Iterable[str]) -> list[Version]:
    """All versions that are named, each once, so that a wrong name is reported before anything is deleted."""
    found: dict[str, Version] = {}
    for ref in refs:
        if "@" not in ref:
            newest = store.version(ref)
            raise Misuse(
                f"{ref} is a model; nothing was deleted; name versions of it, such as its newest, {newest}"
            )
        found.update((str(version), version) for version in _named_by(store, ref))
    return list(found.values())


def _named_by(store: Saver, ref: str) -> list[Version]:
    """The version that a ref names, or those of a range."""
    several = parse_range(ref)
    if several is None:
        return [store.version(ref)]
    versions = store.versions(several.model)
    found = [version for version in versions if several.first <= version.number <= several.last]
    if not found:
        raise Missing(f"{store.storage}: there is no version in {ref}; nothing was deleted")
    return found


def _is_confirmed(versions: Sequence[Version]) -> bool:
    tagged = [f"{version} ({', '.join(version.tags)})" for version in versions if version.tags]
    if tagged:
        raise Misuse(
            f"these versions have tags: {', '.join(tagged)}; nothing was deleted; remove the tags with "
            "`saver tag --delete MODEL@TAG`, or delete the versions with their tags with --yes"
        )
    if not sys.stdin.isatty():
        raise Misuse(
            "standard input is not a terminal, so nobody can confirm; nothing was deleted; --yes deletes "
            "without a question"
        )
    return click.confirm(clean(f"Delete {_named(versions)}?"), err=True)


def _named(versions: Sequence[Version]) -> str:
    more = len(versions) - NAMED
    return ", ".join(map(str, versions[:NAMED])) + (f" and {counted(more, 'other')}" if more > 0 else "")
