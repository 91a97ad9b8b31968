"""`saver convert`: a file in the format of another tool, from a file of any format."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from saver import documents, export
from saver.cli._screen import print_json, screen
from saver.cli._store import json_option
from saver.cli._writing import (
    passphrase_option,
    recipients,
    to_option,
    told,
    writing_options,
    written,
)


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("file", metavar="OUT", type=click.Path())
@writing_options
@to_option
@passphrase_option
@json_option
def command(
    source: str,
    file: str,
    format: str | None,
    parts: tuple[str, ...],
    trust: tuple[str, ...],
    example: Any,
    force: bool,
    to: Any,
    passphrase: bool,
    as_json: bool,
) -> None:
    """Write what a file holds to another file, in another format.

    IN is any file that Saver can open, or a folder of one of its formats; what it is shows its content.
    OUT has the format of its ending. What that format cannot hold is listed. No object is built and nothing
    is run, unless the format is written from an object: then its classes must be trusted. With --to or
    --passphrase, a Saver file (.saver) is sealed.
    """
    write = partial(
        export, source, file, format=format, parts=parts or None, trust=trust, example=example,
        to=recipients(to, passphrase, file),
    )  # fmt: skip
    found = written(write, file, format, force, as_json)
    if as_json:
        print_json(documents.converted(source, found))
        return
    told(source, found, screen())
