"""`saver import`: a file as a version."""

from __future__ import annotations

from functools import partial

import click

from saver import documents
from saver.cli._completing import models
from saver.cli._screen import print_json, screen, size
from saver.cli._sealed import asked_for, opening
from saver.cli._store import counted, json_option, store_option
from saver.cli._writing import reading_option


@click.command()
@click.argument("file", type=click.Path())
@click.argument("model", shell_complete=models)
@reading_option
@click.option("-t", "--tag", "tags", metavar="TAG", multiple=True, help="Tag the version; can be repeated.")
@store_option
@json_option
def command(
    file: str, model: str, format: str | None, tags: tuple[str, ...], address: str, as_json: bool
) -> None:
    """Save the contents of a file as a version.

    It becomes the next version of MODEL, with everything that the file records of how it was made. FILE is
    a Saver file, or one of another tool: docs/formats.md lists the formats. No object is built and nothing
    is run, so no class needs to be trusted. If the file or the store is sealed, and no --key is passed, the
    terminal asks for the key or the passphrase of each. The first version creates the store.
    """
    save = partial(opening(address).import_, file, model, format=format, tags=tags, key=asked_for(file))
    if as_json:
        print_json(documents.version(documents.Imported, save()))
        return
    on = screen()
    with on.progress("Importing") as progress:
        version = save(progress=progress)
    parts = counted(len(version.parts), "part")
    on.done(f"{version} is in {address}: {parts}, {size(version.bytes)}, {size(version.bytes_added)} added")
