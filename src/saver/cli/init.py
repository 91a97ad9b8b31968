"""`saver init`: makes an empty store."""

from __future__ import annotations

import click

import saver
from saver import documents
from saver.cli._screen import print_json, screen
from saver.cli._store import json_option


@click.command()
@click.argument("address", metavar="STORE")
@click.option(
    "--shared", metavar="GROUP",
    help="Let a group of the system read, write and collect in it, and nobody else.",
)  # fmt: skip
@click.option(
    "--key", metavar="SOURCE",
    help="Make a sealed store, which this key opens: a key file, prompt, env:NAME, command:PROGRAM, ….",
)  # fmt: skip
@json_option
def command(address: str, shared: str | None, key: str | None, as_json: bool) -> None:
    """Make an empty store.

    \b
      saver init models
      saver init /srv/models --shared vision
      saver init payroll --key team.key

    No store needs this: the first save makes one, too. STORE is a folder or another address. With --shared
    it is a folder that belongs to the GROUP: its members may all save, tag, delete and collect there, no
    matter what their umask is, and others may not even read it. If there is a store, it stays as it is.
    `saver doctor STORE` says who may do what. With --key, everything in it is encrypted: `saver key` says
    who can open it.
    """
    if not address:
        raise click.UsageError("the name of the store is empty")
    try:
        created = saver.Saver(address, key=key).create(shared=shared)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if as_json:
        found = {"store": address, "created": created, "group": shared}
        print_json(documents.document(documents.Created, **found))
    else:
        whose = f", which the group {shared} shares" if shared is not None else ""
        done = f"an empty store was made{whose}" if created else f"there is a store already{whose}"
        screen().done(f"{address}: {done}")
