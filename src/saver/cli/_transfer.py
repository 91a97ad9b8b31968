"""What `saver push` and `saver pull` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from saver import documents
from saver.cli._screen import print_json, screen
from saver.pushing import Pushed


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
