"""What the commands share: the option `--store`, the option `--json`, and opening a store."""

from __future__ import annotations

import click

from saver import Saver
from saver.cli import Missing
from saver.human import counted as counted


def _named(_: click.Context, __: click.Parameter, address: str) -> str:
    if not address:
        raise click.BadParameter("the name of the store is empty")
    return address


store_option = click.option(
    "--store", "address", envvar="SAVER_STORE", default="models", metavar="DIR", callback=_named,
    help="The folder of the store ($SAVER_STORE, or models).",
)  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON document.")


def existing(address: str) -> Saver:
    """The store at an address, in which something was saved. Raises Missing if there is no such store."""
    store = Saver(address)
    if not store.exists():
        raise Missing(
            f"{address}: there is no store here; save something first, or name another one with --store DIR "
            "or $SAVER_STORE"
        )
    return store
