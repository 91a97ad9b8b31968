"""`saver push`: versions of a model, to another store."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from saver.addresses import open_storage
from saver.cli._completing import models_and_refs
from saver.cli._sealed import asked_for_store, opening
from saver.cli._store import existing, json_option, store_option
from saver.cli._transfer import place, theirs, transfer_options, transferred
from saver.cli._writing import passphrase_option, recipients, to_option
from saver.hub import hub_at


@click.command()
@click.argument("ref", metavar="REF", shell_complete=models_and_refs)
@click.argument("target", callback=place)
@transfer_options
@to_option
@passphrase_option
@store_option
@json_option
def command(
    ref: str, target: str, model: str | None, alone: bool, no_tags: bool, token: str | None, to: Any,
    passphrase: bool, address: str, as_json: bool,
) -> None:  # fmt: skip
    """Push a version, and those before it, to another store or to a hub.

    \b
      saver push iris s3://bucket/models               all versions of iris
      saver push iris@production /mnt/team/models      those up to iris@production
      saver push iris oci://ghcr.io/team/iris:v3       to a registry of containers
      saver push iris@production hf://org/iris         to Hugging Face: this version alone
      saver push iris hf://org/iris --to ann.key.pub   sealed, so that only Ann can read it

    TARGET is a folder or another address of a store or hub; the first push creates it. There, the versions
    have the same name, numbers, metrics, labels, notes and tags. What is there already is not sent again, and
    a push that was interrupted goes on when it is run again. Each version is verified, and exists there once
    all of it is durable. If other versions have those numbers there, nothing is changed: --as pushes under
    another name.

    At a hub, everybody who may read there can read what is pushed, unless it is sealed: --to and --passphrase
    say for whom. Its size, and when it was pushed, can be seen all the same. A store that is sealed seals
    what is pushed there for its own holders; if no --key is passed, the terminal asks for the key or the
    passphrase of each store that needs one.
    """
    if not target:
        raise click.UsageError("the name of the other store is empty")
    sealed_for = recipients(to, passphrase, target)
    if sealed_for is not None and hub_at(target) is None:
        raise click.UsageError("--to and --passphrase are about hubs; a store seals for its own holders")
    source = existing(address, asked_for_store(open_storage(address)))
    there: Any = theirs(target, token)
    there = opening(there) if hub_at(target) is None else there
    send = partial(source.push, ref, there, model=model, to=sealed_for)
    transferred(send, "Pushing", address, target, alone, no_tags, as_json)
