"""`saver card`: what people should know of a version, as a model card."""

from __future__ import annotations

import os

import click

from saver import documents
from saver.cli import Failure
from saver.cli._completing import models_and_refs
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.cli._writing import force_option
from saver.human import size


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(), help="Write it to FILE, such as README.md."
)
@force_option
@store_option
@json_option
def command(ref: str, output: str | None, force: bool, address: str, as_json: bool) -> None:
    """Print a model card of a version, in Markdown.

    It says what the version is: its parts, sizes, metrics and curves, fingerprints of its training data, its
    environment and lineage, and how to load it. It begins with the metadata that Hugging Face reads.
    """
    card = existing(address).card(ref)
    if output is not None:
        if os.path.lexists(output) and not force:
            raise Failure(f"{output}: the file exists, so nothing was written; replace it with --force")
        card.save(output)
    if as_json:
        print_json(documents.document(documents.Card, card, store=address, output=output))
    elif output is not None:
        screen().done(f"{output}: {size(len(card.markdown.encode()))}")
    else:
        click.echo(card.markdown, nl=False)
