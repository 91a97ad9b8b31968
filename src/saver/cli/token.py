"""`saver token`: who may ask a server, and what."""

from __future__ import annotations

import click

from saver import documents
from saver.cli import Misuse
from saver.cli._screen import clean, print_json, screen
from saver.cli._store import counted, json_option
from saver.documents.piece import utc
from saver.serve.tokens import Token, add_token, read_tokens, revoke_token

file_option = click.option(
    "--tokens", "path", envvar="SAVER_TOKENS", default="tokens.json", metavar="FILE",
    type=click.Path(dir_okay=False), help="The file that keeps their hashes ($SAVER_TOKENS, or tokens.json).",
)  # fmt: skip


@click.group()
def command() -> None:
    """Make, list and revoke the tokens of a server.

    \b
      saver token new ann --scope predict:iris --days 90
      saver token list
      saver token revoke ann

    A server that runs with the file notices within a second.
    """


@command.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, metavar="SCOPE",
    help="predict, read, write or admin; of some models only: predict:iris, predict:team/*. May be repeated.",
)  # fmt: skip
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), help="After how many days it expires (never)."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second (no limit).")
@file_option
@json_option
def new(
    name: str, scopes: tuple[str, ...], days: float | None, rate: float | None, path: str, as_json: bool
) -> None:
    """Make a token, and print it: only now, since the file keeps only its hash."""
    try:
        text, token = add_token(path, name, scopes, days=days, rate=rate)
    except ValueError as error:
        raise Misuse(str(error)) from error
    if as_json:
        fields = {"token": text, "expires_utc": _utc(token.expires)}
        print_json(documents.document(documents.MadeToken, token, **fields))
        return
    screen().answer(text)  # alone, so that TOKEN=$(saver token new …) holds it and nothing else
    click.echo(clean(f"{name} may {', '.join(scopes)}; {path} keeps only a hash, so copy it now"), err=True)
    others = [each.id for each in read_tokens(path) if each.name == name and each.id != token.id]
    if others:
        click.echo(clean(f"{name} has others, too; revoke one by its id: {', '.join(others)}"), err=True)


@command.command("list")
@file_option
@json_option
def list_tokens(path: str, as_json: bool) -> None:
    """List the tokens of a file, without what would let one use them."""
    _show(path, read_tokens(path), as_json)


@command.command()
@click.argument("name")
@file_option
@json_option
def revoke(name: str, path: str, as_json: bool) -> None:
    """Remove a token, by its name or its id."""
    token = revoke_token(path, name)
    if as_json:
        _show(path, read_tokens(path), True)
    else:
        screen().done(f"{token.name} ({token.id}) is let in no longer")


def _show(path: str, tokens: tuple[Token, ...], as_json: bool) -> None:
    if as_json:
        listed = tuple(
            documents.document(
                documents.ListedToken, each, made_utc=utc(each.made), expires_utc=_utc(each.expires)
            )
            for each in tokens
        )
        print_json(documents.Tokens(path=path, tokens=listed))
        return
    on = screen()
    if not tokens:
        on.answer(f"{path} has no tokens; saver token new NAME --scope predict makes one")
        return
    on.heading(f"{path}: {counted(len(tokens), 'token')}")
    rows = [
        (each.name, each.id, ", ".join(each.scopes), _utc(each.expires) or "never", f"{each.rate or ''}")
        for each in tokens
    ]
    on.table(("name", "id", "scopes", "expires", "per second"), rows)


def _utc(seconds: float | None) -> str | None:
    return None if seconds is None else utc(seconds)
