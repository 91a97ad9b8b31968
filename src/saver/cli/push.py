"""`saver push`: versions of a model, to another store."""

from __future__ import annotations

from functools import partial

import click

from saver.cli._completing import models_and_refs
from saver.cli._store import existing, json_option, store_option
from saver.cli._transfer import transfer_options, transferred


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.argument("target")
@transfer_options
@store_option
@json_option
def command(
    ref: str, target: str, model: str | None, alone: bool, no_tags: bool, address: str, as_json: bool
) -> None:
    """Push a version, and those before it, to another store.

    \b
      saver push iris s3://bucket/models               all versions of iris
      saver push iris@production /mnt/team/models      those up to iris@production

    TARGET is a folder or another address of a store; the first push creates it. There, the versions have
    the same name, numbers, metrics, labels, notes and tags. What is there already is not sent again, and a
    push that was interrupted goes on when it is run again. Each version is verified, and exists there once
    all of it is durable. If other versions have those numbers there, nothing is changed: --as pushes under
    another name.
    """
    if not target:
        raise click.UsageError("the name of the other store is empty")
    send = partial(existing(address).push, ref, target, model=model)
    transferred(send, "Pushing", address, target, alone, no_tags, as_json)
