"""What `saver push` and `saver pull` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from saver import documents
from saver.cli._screen import print_json, screen
from saver.errors import SaverError
from saver.pushing import Pushed


def place(context: click.Context, parameter: click.Parameter, address: str) -> str:
    """The address of a store or hub; a wrong one is said before anything is done."""
    from saver.addresses import open_storage
    from saver.hub import hub_at

    try:
        if "://" in address and hub_at(address) is None:
            open_storage(address)
    except ValueError as error:
        if isinstance(error, SaverError):
            raise
        raise click.BadParameter(str(error).partition(": ")[2] or str(error)) from None
    return address


def transfer_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both commands."""
    for option in (
        click.option("--as", "model", metavar="NAME", help="The name of the model over there."),
        click.option("--no-history", "alone", is_flag=True, help="Only this version, not those before it."),
        click.option("--no-tags", is_flag=True, help="Leave the tags over there as they are."),
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
