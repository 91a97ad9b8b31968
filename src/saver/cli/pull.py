"""`saver pull`: versions of a model, from another store."""

from __future__ import annotations

from functools import partial

import click

from saver import Saver
from saver.cli import Missing
from saver.cli._store import json_option, store_option
from saver.cli._transfer import transfer_options, transferred


@click.command()
@click.argument("ref", metavar="REF")
@click.argument("source")
@transfer_options
@store_option
@json_option
def command(
    ref: str, source: str, model: str | None, alone: bool, no_tags: bool, address: str, as_json: bool
) -> None:
    """Pull a version, and those before it, from another store.

    \b
      saver pull iris@production s3://bucket/models

    This is `saver push` the other way around: SOURCE is the store that has the versions. The first pull
    creates the store here.
    """
    if not source:
        raise click.UsageError("the name of the other store is empty")
    of = Saver(source)
    if not of.exists():
        raise Missing(f"{source}: there is no store here; name the one that has the versions after {ref}")
    send = partial(Saver(address).pull, ref, of, model=model)
    transferred(send, "Pulling", source, address, alone, no_tags, as_json)
