"""`saver export`: a version as a file, in the format of its ending."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from saver import documents
from saver.cli._completing import models_and_refs
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.cli._writing import (
    compress_option,
    passphrase_option,
    recipients,
    to_option,
    told,
    writing_options,
    written,
)


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.argument("file", metavar="OUT", type=click.Path())
@writing_options
@to_option
@passphrase_option
@compress_option
@store_option
@json_option
def command(
    ref: str,
    file: str,
    format: str | None,
    parts: tuple[str, ...],
    trust: tuple[str, ...],
    example: Any,
    force: bool,
    to: Any,
    passphrase: bool,
    compress: bool,
    address: str,
    as_json: bool,
) -> None:
    """Write a version to a file, in the format of its ending.

    A Saver file (.saver) holds everything that the version does; `saver.load` and `saver import` read it.
    Other formats are for other tools: docs/formats.md lists them. What they cannot hold is listed.
    Formats that are written from an object load it, so its classes must be trusted.
    With --to or --passphrase, a Saver file is sealed, to be sent to somebody: its bytes tell nothing.
    With --compress, a Saver file is smaller where that pays; it is read as ever.
    The file is written durably, or not at all.
    """
    store = existing(address)
    version = store.version(ref)
    write = partial(
        store.export, str(version), file, format=format, parts=parts or None, trust=trust, example=example,
        to=recipients(to, passphrase, file), compress=compress,
    )  # fmt: skip
    found = written(write, file, format, force, as_json)
    if as_json:
        print_json(documents.document(documents.Exported, found, ref=str(version)))
        return
    told(str(version), found, screen())
