"""`saver key`: keys, and who can open a store."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import click

from saver import documents
from saver.cli import Misuse, add_switches
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, misuse
from saver.human import counted
from saver.keys.asking import ask_new
from saver.keys.files import new_key_file, public_path, recipient_in
from saver.keys.sources import Keys
from saver.repo import holding
from saver.repo.holding import Held
from saver.repo.repository import Repository
from saver.sealing import beneath, of_environment
from saver.storage import Storage
from saver.times import local

Change: TypeAlias = Callable[[Repository, Storage, Keys], Held]


def _or_variable(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """What was given, or else what the environment names."""
    return given or of_environment()


key_option = click.option(
    "-k", "--key", "sources", multiple=True, metavar="SOURCE", callback=_or_variable,
    help="Where a key is: a key file, env:NAME, command:PROGRAM, keyring:SERVICE/NAME, prompt ($SAVER_KEY).",
)  # fmt: skip


class _Actions(click.Group):
    """The actions; each takes `-q` and `-v`, as every command does."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            add_switches(found)
        return found


@click.group(cls=_Actions)
def command() -> None:
    """Make keys, and say who can open a sealed store.

    \b
      saver key new team.key                  makes team.key, and team.key.pub for others
      saver key list models --key team.key    who can open the store `models`
      saver key add models ann.key.pub --key team.key
      saver key remove models ann --key team.key
      saver key rotate models --key team.key

    docs/security.md explains keys on one page.
    """


@command.command("new")
@click.argument("file")
@click.option(
    "-t", "--type", "kind", type=click.Choice(("x25519", "ed25519", "p256")), default="x25519",
    help="x25519 opens stores and files, and is made by default; ed25519 signs; p256 signs for other tools.",
)  # fmt: skip
@click.option(
    "-p", "--passphrase", "protect", is_flag=True, help="Encrypt FILE with a passphrase; asks for it."
)
@json_option
def new(file: str, kind: Any, protect: bool, as_json: bool) -> None:
    """Make a key: FILE is secret, FILE.pub is for others."""
    if not file or "\0" in file:
        raise Misuse("the name of the file is empty")
    passphrase = ask_new(file) if protect else None
    public = new_key_file(file, kind, passphrase)
    if as_json:
        print_json(
            documents.MadeKey(
                path=file,
                public_path=public_path(file),
                type=kind,
                public_key=public.strip(),
                protected=protect,
            )
        )
        return
    on = screen()
    lost = "what it opens is lost" if kind == "x25519" else "nothing more is signed as you"
    on.done(f"{file} is the key: keep it secret, and keep a copy; without it, {lost}")
    on.done(
        f"{public_path(file)} is its public half, for others"
        + (f": {public.strip()}" if kind == "x25519" else "")
    )


@command.command("add")
@click.argument("address", metavar="STORE")
@click.argument("recipient", required=False)
@click.option(
    "-p", "--passphrase", is_flag=True, help="Add a passphrase rather than a public key; asks for it."
)
@click.option(
    "-n", "--name", metavar="NAME", help="What the holder is called; otherwise the name of the file."
)
@key_option
@json_option
def add(
    address: str,
    recipient: str | None,
    passphrase: bool,
    name: str | None,
    sources: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let a holder open STORE: RECIPIENT is age1… or a file NAME.pub."""
    if passphrase == (recipient is not None):
        raise Misuse("pass either RECIPIENT, which is age1… or a file NAME.pub, or --passphrase")
    if passphrase:
        phrase, name = ask_new(address), "passphrase" if name is None else name

        change: Change = partial(holding.add_passphrase, passphrase=phrase, name=name)
    else:
        with misuse():
            public, own = recipient_in(recipient or "")
        if not own and name is None:
            raise Misuse("an age1… has no name; say with --name whose it is")

        change = partial(holding.add, recipient=public, name=own if name is None else name)

    _changed(address, sources, as_json, change)


@command.command("remove")
@click.argument("address", metavar="STORE")
@click.argument("holder")
@key_option
@json_option
def remove(address: str, holder: str, sources: tuple[str, ...], as_json: bool) -> None:
    """Let HOLDER, a name or a public key, open STORE no longer."""
    held = _changed(address, sources, as_json, partial(holding.remove, holder=holder))
    if not as_json:
        gone = next(iter(held.changed))
        on = screen()
        on.say(
            f"This cannot undo what was: {gone} had the data key, and may have copies of it and of what it "
            "opens."
        )
        rotating = shlex.join(["saver", "key", "rotate", address, *(f"--key={each}" for each in sources)])
        on.say(
            f"What is saved from now on still has that key: {rotating} begins a new one, "
            f"which {gone} does not get. Backups of the store keep the old keys until they are updated."
        )


@command.command("rotate")
@click.argument("address", metavar="STORE")
@click.option("--all", "everything", is_flag=True, help="Also seal anew what is there, while others go on.")
@key_option
@json_option
def rotate(address: str, everything: bool, sources: tuple[str, ...], as_json: bool) -> None:
    """Begin a new data key for what is saved in STORE from now on."""
    if not everything:
        _changed(address, sources, as_json, holding.rotate)
        return
    store = existing(address, Keys.of(sources))
    if as_json:
        print_json(documents.holders(address, store.rotate(everything=True)))
        return
    on = screen()
    with on.progress("Sealing anew") as progress:
        store.rotate(everything=True, progress=progress)
    on.done(f"{address}: everything in it is sealed with a new data key")


@command.command("list")
@click.argument("address", metavar="STORE")
@key_option
@json_option
def list_(address: str, sources: tuple[str, ...], as_json: bool) -> None:
    """List who can open STORE."""
    held = _with(address, sources, holding.held)
    if as_json:
        print_json(documents.holders(address, held))
        return
    on = screen()
    on.heading(f"{address}: {counted(len(held.holders), 'holder')}, {counted(held.epochs, 'data key')}")
    rows = [
        (each.name, local(each.time, zone=False) or "", each.kind, each.public_key) for each in held.holders
    ]
    on.table(("holder", "added", "with", "public key"), rows, brief=("public key",))


def _changed(address: str, sources: tuple[str, ...], as_json: bool, change: Change) -> Held:
    held = _with(address, sources, change)
    if as_json:
        print_json(documents.holders(address, held))
        return held
    on, said = (
        screen(),
        [f"{name} {'can' if key else 'can no longer'} open it" for name, key in held.changed.items()],
    )
    if change is holding.rotate:
        said = ["a new data key is used from now on; what is there stays as it was"]
    on.done(f"{address}: {', '.join(said) or 'nothing to change: that holder can open it already'}")
    return held


def _with(address: str, sources: tuple[str, ...], act: Change) -> Held:
    """What `act` returns for a store and these keys."""
    with misuse():
        keys = Keys.of(sources)
        store = existing(address, keys)
        return act(store._repo, beneath(store.storage), keys)
