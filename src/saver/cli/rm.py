"""`saver rm`: deletes versions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from saver import Version, documents
from saver.cli import Misuse
from saver.cli._completing import refs
from saver.cli._screen import clean, print_json, screen
from saver.cli._store import NAMED, counted, existing, json_option, named, store_option


@click.command()
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=refs)
@click.option("-t", "--tags", is_flag=True, help="Delete versions that have tags too, with those tags.")
@click.option("-n", "--dry-run", is_flag=True, help="Only report; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def command(refs: tuple[str, ...], tags: bool, dry_run: bool, yes: bool, address: str, as_json: bool) -> None:
    """Delete versions: iris@3, iris@step=100, or the range iris@3..7.

    Their numbers are never used again. A version that has a tag needs --tags, which deletes the tag too;
    `saver tag --delete iris@best` removes the tag alone. Asks for confirmation; without a terminal, --yes is
    needed. `saver gc` then frees the bytes that no other version needs.
    """
    store = existing(address)
    versions = store.delete(*refs, tags=tags, dry_run=True)
    if not dry_run:
        if not yes and not _is_confirmed(versions):
            click.echo("nothing was deleted", err=True)
            raise click.exceptions.Exit(Misuse.exit_code)
        versions = store.delete(*versions, tags=tags)
    if as_json:
        deleted = tuple(documents.version(documents.Version, version) for version in versions)
        print_json(documents.Deleted(dry_run=dry_run, deleted=deleted))
    elif dry_run:
        screen().answer(f"would delete {named(versions)}{_with_tags(versions)}")
    else:
        screen().done(f"deleted {named(versions, NAMED)}{_with_tags(versions)}; `saver gc` frees the bytes")


def _with_tags(versions: Sequence[Version]) -> str:
    tags = [f"{version.model}@{tag}" for version in versions for tag in version.tags]
    return f", and {counted(len(tags), 'tag')}: {', '.join(tags)}" if tags else ""


def _is_confirmed(versions: Sequence[Version]) -> bool:
    if not sys.stdin.isatty():
        raise Misuse(
            "standard input is not a terminal, so nobody can confirm; nothing was deleted; --yes deletes "
            "without a question"
        )
    return click.confirm(clean(f"Delete {named(versions, NAMED)}{_with_tags(versions)}?"), err=True)
