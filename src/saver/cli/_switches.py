"""Options of every command, before its name or after it: `-q`, `-v`, `--key`; and `--store` of some."""

from __future__ import annotations

import logging
import os

import click

from saver.errors import printable
from saver.logger import logger
from saver.sealing import VARIABLE, of_environment

_QUIET, _VERBOSE = "saver.quiet", "saver.verbose"

STORE = "saver.store"
"""Where the context keeps the store that was named before the command."""


class _Echo(logging.Handler):
    """Prints the log to standard error, but for warnings, which are printed anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "category"):
            click.echo(f"{record.levelname.lower()}: {printable(record.getMessage())}", err=True)


def _quieten(context: click.Context, _: click.Parameter, on: bool) -> None:
    if on:
        context.meta[_QUIET] = True


def _listen(context: click.Context, _: click.Parameter, on: bool) -> None:
    if not on or context.meta.get(_VERBOSE):
        return
    context.meta[_VERBOSE] = True
    handler, level = _Echo(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    context.find_root().call_on_close(stop)


def _remember(context: click.Context, _: click.Parameter, address: str | None) -> None:
    if address == "":
        raise click.BadParameter("the name of the store is empty")
    if address is not None:
        context.meta[STORE] = address


def store_of_the_program() -> click.Parameter:
    """`--store` before the name of a command."""
    return click.Option(
        ["--store"], metavar="DIR", expose_value=False, callback=_remember,
        help="The folder of the store ($SAVER_STORE, or models).",
    )  # fmt: skip


def is_quiet() -> bool:
    """Whether the command that runs now was given `-q`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def _demand_sources(named: tuple[str, ...], where: str) -> None:
    """Raise BadParameter unless each says where a key is."""
    if not named:
        return
    from saver.keys.sources import Keys

    try:
        Keys(*named)
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("key: "), param_hint=where) from None
    if any("\n" in each for each in named):
        raise click.BadParameter(
            "there is a line break in it; repeat --key for several keys", param_hint=where
        )


def _use_key(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> None:
    """Have everything that is sealed opened with these keys, also in processes that the command starts."""
    _demand_sources(given or of_environment(), "'--key'" if given else VARIABLE)
    if not given:
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "\n".join(given)

    def restore() -> None:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before

    context.find_root().call_on_close(restore)


def switches() -> list[click.Parameter]:
    """The options, for one command."""
    return [
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quieten,
            help="No progress, and no notes on what was done; results and errors only.",
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_listen,
            help="Print the log on standard error: what changed, and what mended itself.",
        ),
        click.Option(
            ["--key", "opens"], metavar="SOURCE", expose_value=False, callback=_use_key, multiple=True,
            help="Opens what is sealed: a key file, prompt, env:NAME, command:PROGRAM, … ($SAVER_KEY). "
            "Can be repeated.",
        ),
    ]  # fmt: skip
