"""`saver ui`: shows a store in the browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from saver.addresses import open_storage
from saver.cli import Failure, Misuse
from saver.cli._screen import print_json, screen
from saver.cli._sealed import asked_for_store
from saver.cli._store import existing, json_option, store_option

if TYPE_CHECKING:
    from saver.pages.server import Pages


@click.command()
@click.argument("place", required=False, metavar="[STORE]")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port (0: any that is free).")
@click.option("--no-browser", is_flag=True, help="Only say the address; open no browser.")
@store_option
@json_option
def command(place: str | None, port: int, no_browser: bool, address: str, as_json: bool) -> None:
    """Show a store in the browser, until Ctrl-C.

    Models, their versions, what is in them and where it came from; tags, notes and deletions. Only this
    machine reaches the pages. STORE is a folder or an address, as --store is. Each page is also JSON, at
    the same address with ?format=json. See docs/pages.md.
    """
    try:
        from saver.pages.server import Pages, run
    except ImportError as error:
        raise Failure(
            f"the pages need the package {error.name}, which is not installed; pip install 'saver-ml[serve]'"
        ) from error
    if place == "":
        raise Misuse("the name of the store is empty")
    where = place or address
    pages = Pages(existing(where, asked_for_store(open_storage(where))), port=port)
    try:
        run(pages, lambda ready: _announce(ready, not no_browser, as_json))
    except KeyboardInterrupt:
        pass


def _announce(pages: Pages, opens: bool, as_json: bool) -> None:
    if as_json:
        from saver import documents

        print_json(documents.Showing(store=str(pages.site.store.storage), address=pages.address))
    else:
        on = screen()
        on.answer(f"{pages.site.store.storage}: {pages.address}")
        on.done("only this machine reaches it; Ctrl-C ends it")
    if opens:
        threading.Thread(target=_open, args=(pages.address,), daemon=True).start()


def _open(address: str) -> None:
    """In a thread: some browsers do not return until they are closed."""
    import webbrowser

    webbrowser.open(address)
