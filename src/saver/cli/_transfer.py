"""What `saver push` and `saver pull` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from saver import documents
from saver.addresses import open_storage
from saver.cli._screen import print_json, screen
from saver.cli._store import misuse
from saver.hub import hub_at
from saver.pushing import Pushed
from saver.storage import Storage


def place(context: click.Context, parameter: click.Parameter, address: str) -> str:
    """The address of a store or hub; a wrong one is said before anything is done."""
    with misuse(_wrong):
        if "://" in address and hub_at(address) is None:
            open_storage(address)
    return address


def theirs(address: str, token: str | None) -> str | Storage:
    """The other store or hub: its address, or the storage that the token in this file opens."""
    with misuse(_wrong):
        return address if token is None else open_storage(address, Path(token))


def _wrong(text: str) -> click.BadParameter:
    """The mistake, without the name that the argument has in Python."""
    return click.BadParameter(text.partition(": ")[2] or text)


def transfer_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both commands."""
    for option in (
        click.option("--as", "model", metavar="NAME", help="The name of the model over there."),
        click.option("--no-history", "alone", is_flag=True, help="Only this version, not those before it."),
        click.option("--no-tags", is_flag=True, help="Leave the tags over there as they are."),
        click.option(
            "--token",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="The token of the other server; otherwise $SAVER_TOKEN or $SAVER_TOKEN_FILE is for both.",
        ),
    ):
        command = option(command)
    return command


def transferred(
    send: Callable[..., Pushed],
    verb: str,
    source: str,
    target: str,
    alone: bool,
    no_tags: bool,
    as_json: bool,
) -> None:
    """Push, and print what was pushed."""
    given: dict[str, Any] = {"history": not alone, "tags": not no_tags}
    if as_json:
        found = send(**given)
        versions = tuple(documents.version(documents.Version, each) for each in found.versions)
        print_json(
            documents.document(documents.Pushed, found, store=source, target=target, versions=versions)
        )
        return
    on = screen()
    with on.progress(verb) as progress:
        found = send(**given, progress=progress)
    on.heading(f"from {source} to {target}")
    on.show(found._page())
