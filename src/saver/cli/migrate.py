"""`saver migrate`: a folder of model files as a store."""

from __future__ import annotations

from functools import partial

import click

from saver import documents, migrate
from saver.cli import Finding
from saver.cli._screen import print_json, screen
from saver.cli._store import counted, json_option, store_option
from saver.page import Facts, Table

SHOWN = 50
"""How many rows of a table a person is shown; `--json` has all."""


def _names(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in given:
        pattern, equals, name = each.rpartition("=")
        if not equals or not pattern or not name:
            raise click.BadParameter(f"{each!r}: write a pattern and a name, as in 'nets/*.pt=net'")
        found[pattern] = name
    return found


@click.command()
@click.argument("folder", type=click.Path())
@click.argument("target", metavar="[STORE]", default="", type=click.Path())
@click.option("-n", "--dry-run", is_flag=True, help="Open everything and report; write nothing.")
@click.option(
    "--name",
    "names",
    metavar="PATTERN=MODEL",
    multiple=True,
    callback=_names,
    help="The model of the files whose paths fit, as in 'nets/*.pt=net'; can be repeated.",
)
@click.option("--apart", is_flag=True, help="Each file is a model of its own, whatever numbers its name has.")
@click.option("--leave", metavar="PATTERN", multiple=True, help="Leave these files out; can be repeated.")
@store_option
@json_option
def command(
    folder: str, target: str, dry_run: bool, names: dict[str, str], apart: bool, leave: tuple[str, ...],
    address: str, as_json: bool,
) -> None:  # fmt: skip
    """Save the models in a folder, and those below it, as versions.

    Files are known by their content: docs/formats.md lists the formats. Runs and models of MLflow
    come with their metrics, parameters, tags and notes. A model is named after its path; files whose paths
    differ only by a version, step, date or other number are its versions, the oldest first. Look at
    --dry-run first. No object is built and nothing is run. What came already does not come again, so that an
    interrupted migration goes on. Exit code 1 if a file was refused.
    """
    on = screen()
    move = partial(migrate, folder, target or address, names=names, apart=apart, leave=leave, dry_run=dry_run)
    if as_json:
        found = move()
        print_json(documents.migrated(found))
    else:
        with on.progress("Migrating") as progress:
            found = move(progress=progress)
        for block in found._page():
            if isinstance(block, Facts):
                on.show([block])
                continue
            limit = SHOWN if on.interactive else len(block.rows)
            on.show([Table(block.title, block.columns, block.rows[:limit], block.spare, block.brief)])
            if len(block.rows) > limit:
                on.say(f"and {len(block.rows) - limit:,} more; --json prints all")
    if found.refused:
        raise Finding(f"{folder}: {counted(len(found.refused), 'file')} refused, as the report says")
