"""What the commands share: the option `--store`, the option `--json`, and opening a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import saver
from saver.cli import Missing, Misuse
from saver.cli._screen import AS_JSON
from saver.cli._switches import STORE
from saver.errors import SaverError
from saver.human import counted as counted

if TYPE_CHECKING:  # a command that needs no store imports none
    from saver import Saver, Version

NAMED = 20
"""How many versions a question names; the others are counted. What is only reported is named whole."""


@contextmanager
def misuse(refusal: Callable[[str], Exception] = Misuse) -> Iterator[None]:
    """A wrong argument is misuse: what is raised of its text. Saver's own errors stay what they are."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, SaverError):
            raise
        raise refusal(str(error)) from None


def _named(context: click.Context, parameter: click.Parameter, address: str) -> str:
    """The store of the command, or else that of the whole program."""
    if not address:
        raise click.BadParameter("the name of the store is empty")
    own = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    found: str = address if own else context.meta.get(STORE, address)
    if "://" in found:  # what is not an address is found here, before anything else is done
        from saver.addresses import open_storage

        with misuse(lambda text: click.BadParameter(text.removeprefix("store: "))):
            open_storage(found)
    return found


store_option = click.option(
    "--store", "address", envvar="SAVER_STORE", default="models", metavar="DIR", callback=_named,
    help="The folder or the address of the store ($SAVER_STORE, or models).",
)  # fmt: skip


def _noted(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """Note for what answers errors whether JSON is wanted."""
    context.meta[AS_JSON] = value
    return value


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_noted, is_eager=True,
    help="Print everything as one JSON document.",
)  # fmt: skip


def existing(address: str, key: Any = None) -> Saver:
    """The store at an address, in which something was saved. Raises Missing if there is no such store."""
    store = saver.Saver(address, key=key)
    if not store.exists():
        raise Missing(
            f"{address}: there is no store here; save something first, or name another one with --store DIR "
            "or $SAVER_STORE"
        )
    return store


def named(versions: Sequence[Version], limit: int | None = None) -> str:
    """The names of versions; with a limit, that many, and how many others there are."""
    shown = versions[:limit]
    more = len(versions) - len(shown)
    return ", ".join(map(str, shown)) + (f" and {counted(more, 'other')}" if more else "")
