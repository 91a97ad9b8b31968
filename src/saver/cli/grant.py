"""`saver grant`: who may do what in a store."""

from __future__ import annotations

import click

import saver
from saver import documents
from saver.cli import Misuse
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option
from saver.demanding import KEY


@click.command()
@click.argument("store", metavar="STORE")
@click.argument("key", required=False, metavar="[KEY]")
@click.argument("rights", nargs=-1, metavar="[RIGHT]…")
@click.option(
    "--sign", "signer", metavar="FILE", envvar=KEY, help=f"The private key of one who may grant (${KEY})."
)
@click.option("--none", "nothing", is_flag=True, help="Take all rights away from KEY.")
@json_option
def command(
    store: str, key: str | None, rights: tuple[str, ...], signer: str | None, nothing: bool, as_json: bool
) -> None:
    """Let a public key save, tag, delete, collect, sign or grant in a store, and nothing else.

    \b
      saver grant models alice.pub save tag:production --sign boss.key
      saver grant models alice.pub --none --sign boss.key
      saver grant models                                  who may do what

    RIGHT is save, tag, tag:NAME, tag:PREFIX*, delete, collect, sign or grant. From the first grant on, what
    is written into the store counts only if a key with the right signed it. The first one lets its own signer
    grant. Commands that write sign with $SAVER_SIGN_KEY.
    """
    if key is None:
        found = existing(store)
    else:
        if bool(rights) == nothing:
            raise Misuse(f"say which rights {key} gets, or take all away with --none")
        if signer is None:
            raise Misuse(f"a grant must be signed; pass --sign FILE, or set ${KEY}")
        existing(store)
        found = saver.Saver(store, sign=signer)
        found.grant(key, *rights)
    roles = found.roles()
    if as_json:
        print_json(documents.Granted(store=str(found.storage), roles=dict(roles)))
    elif roles:
        screen().table(("key", "rights"), [(each, ", ".join(held)) for each, held in roles.items()])
    else:
        screen().answer(
            f"{store} has no roles: whatever can write there may change it; saver grant begins them"
        )
