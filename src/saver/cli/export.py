"""`saver export`: a version as a single file."""

from __future__ import annotations

import os

import click

from saver import documents
from saver.cli import Failure
from saver.cli._completing import models_and_refs
from saver.cli._screen import print_json, screen, size
from saver.cli._store import existing, json_option, store_option


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.argument("file", type=click.Path())
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@store_option
@json_option
def command(ref: str, file: str, force: bool, address: str, as_json: bool) -> None:
    """Write a version to a single file.

    `saver.load` and `saver import` read it. It is a valid safetensors file, and holds everything that
    the version does. It is written durably, or not at all.
    """
    store = existing(address)
    version = store.version(ref)
    if os.path.lexists(file) and not force:
        raise Failure(f"{file}: the file exists, so nothing was written; replace it with --force")
    if as_json:
        count = store.export(str(version), file)
        print_json(documents.Exported(ref=str(version), path=file, bytes=count))
        return
    on = screen()
    with on.progress("Exporting") as progress:
        count = store.export(str(version), file, progress=progress)
    on.done(f"{version} is in {file}, {size(count)}")
