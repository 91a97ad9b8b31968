"""`saver pull`: versions of a model, from another store."""

from __future__ import annotations

from functools import partial

import click

from saver import Saver
from saver.addresses import storage_at
from saver.cli import Missing
from saver.cli._sealed import asked_for_store, asking, opening
from saver.cli._store import json_option, store_option
from saver.cli._transfer import place, theirs, transfer_options, transferred
from saver.hub import hub_at


@click.command()
@click.argument("ref", metavar="REF")
@click.argument("source", callback=place)
@transfer_options
@store_option
@json_option
def command(
    ref: str, source: str, model: str | None, alone: bool, no_tags: bool, token: str | None, address: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Pull a version, and those before it, from another store or from a hub.

    \b
      saver pull iris@production s3://bucket/models
      saver pull iris oci://ghcr.io/team/iris:v3
      saver pull iris hf://org/iris

    This is `saver push` the other way around: SOURCE is the store or hub that has the versions. The first
    pull creates the store here. Every byte is verified before anything appears, and nothing is run. If what
    is there, or the store here, is sealed, and no --key is passed, the terminal asks for the key or the
    passphrase of each.
    """
    if not source:
        raise click.UsageError("the name of the other store is empty")
    of, key = theirs(source, token), None
    if hub_at(source) is None:
        of = storage_at("source", of)
        key = asked_for_store(of)
        if not Saver(of, key=key).exists():
            raise Missing(f"{source}: there is no store here; name the one that has the versions after {ref}")
    send = partial(asking(opening(address).pull), ref, of, model=model, key=key)
    transferred(send, "Pulling", source, address, alone, no_tags, as_json)
