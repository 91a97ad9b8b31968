"""What `saver export` and `saver convert` share: the options, and what is printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from saver.cli import Failure
from saver.cli._screen import Screen, screen, size
from saver.cli._store import counted
from saver.errors import SaverError
from saver.exporting import Exported, losses_page, replaced_by
from saver.format import Format, Reads, Writes, named
from saver.page import Table

SHOWN = 20
"""How many losses a person is shown; `--json` has all."""

force_option = click.option("-f", "--force", is_flag=True, help="Replace the file if it exists.")


def _known(kind: type[Format]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
        try:
            return None if name is None else named(kind, name).name
        except ValueError as error:
            raise click.BadParameter(str(error).removeprefix("format: ")) from None

    return check


format_option = click.option(
    "--format", metavar="NAME", callback=_known(Writes),
    help="The format, such as npz; otherwise the one of the ending.",
)  # fmt: skip
reading_option = click.option(
    "--format", metavar="NAME", callback=_known(Reads),
    help="The format of FILE; otherwise its content shows it.",
)  # fmt: skip
parts_option = click.option(
    "-p", "--part", "parts", metavar="PART", multiple=True, help="Only this part; can be repeated."
)
trust_option = click.option(
    "--trust", metavar="PATTERN", multiple=True,
    help="Trust classes that match, such as mypackage.*, if the format needs the object; can be repeated.",
)  # fmt: skip


def _example(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """The arguments of an example: one by itself, several as a tuple, None if there are none."""
    from saver import load
    from saver.example import parse

    found = []
    for text in given:
        try:
            zeros = parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error).removeprefix("example: ")) from None
        found.append(load(text) if zeros is None else zeros)
    return found[0] if len(found) == 1 else tuple(found) or None


example_option = click.option(
    "--example", metavar="SHAPE_OR_FILE", multiple=True, callback=_example,
    help="What the object is called with, if the format needs it: 1x3x224x224, 1x16:int64 or a file, such as "
    "x.npy. Repeat it for several arguments.",
)  # fmt: skip


def _recipients(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """Those whom a file is sealed for; None for nobody."""
    from saver.keys.files import recipient_in

    for each in given:
        try:
            recipient_in(each)
        except ValueError as error:
            if isinstance(error, SaverError):
                raise
            raise click.BadParameter(str(error)) from None
    return given or None


def recipients(to: Any, passphrase: bool, place: str) -> Any:
    """What `to` is for what is written to this place: with a passphrase, what asks for a new one. Raises
    UsageError for both."""
    if not passphrase:
        return to
    if to is not None:
        raise click.UsageError("a file is sealed for recipients, or with a passphrase; leave one out")
    from saver.keys.asking import ask_new

    return lambda: ask_new(place).reveal()


to_option = click.option(
    "--to", metavar="RECIPIENT", multiple=True, callback=_recipients,
    help="Seal what is written for this public key: age1…, or a file NAME.pub; can be repeated.",
)  # fmt: skip
compress_option = click.option("--compress", is_flag=True, help="Compress the file; see docs/compression.md.")
passphrase_option = click.option(
    "--passphrase",
    is_flag=True,
    help="Seal what is written with a passphrase; asks for it.",
)


C = TypeVar("C", bound=Callable[..., Any])


def writing_options(command: C) -> C:
    """The options of a command that writes a file in the format of another tool."""
    for option in (force_option, example_option, trust_option, parts_option, format_option):
        command = option(command)
    return command


def written(
    write: Callable[..., Exported], path: str, format: str | None, force: bool, as_json: bool
) -> Exported:
    """Write, unless something is there that is not to be replaced. `write` takes `progress`."""
    path = replaced_by(path, format)
    if os.path.lexists(path) and not force and not _is_empty(path):
        raise Failure(f"{path}: the file exists, so nothing was written; replace it with --force")
    if as_json:
        return write(progress=None)
    with screen().progress("Exporting") as progress:
        return write(progress=progress)


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def told(what: str, found: Exported, on: Screen) -> None:
    """Say what was written, and what was not."""
    how = "" if found.format == "saver" else f" as {found.format}"
    on.done(f"{what} is in {found.path}{how}, {size(found.bytes)}")
    if found.losses:
        page: Any = [
            Table(block.title, block.columns, block.rows[:SHOWN])
            for block in losses_page(found.losses)
            if isinstance(block, Table)
        ]
        on.show(page)
        more = len(found.losses) - SHOWN
        if more > 0:
            on.say(f"and {counted(more, 'other')}; --json prints all")
