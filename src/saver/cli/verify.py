"""`saver verify`: whether a version is what was saved, and who signed it."""

from __future__ import annotations

import click

import saver
from saver import documents
from saver.cli import Misuse, _model_signing
from saver.cli._completing import refs_or_files
from saver.cli._model_signing import signature_options
from saver.cli._screen import print_json, screen
from saver.cli._store import counted, existing, json_option, store_option
from saver.streams import names_file


@click.command()
@click.argument("ref", metavar="REF", shell_complete=refs_or_files)
@click.option(
    "--signed-by", "signers", multiple=True, metavar="FILE",
    help="A public key that may have signed it; can be repeated: one of them must have.",
)  # fmt: skip
@signature_options
@store_option
@json_option
def command(
    ref: str, signers: tuple[str, ...], form: str | None, signature: str | None, ignored: tuple[str, ...],
    address: str, as_json: bool,
) -> None:  # fmt: skip
    """Read every byte of a version or a file, and say who signed it.

    \b
      saver verify iris@production --signed-by alice.pub
      saver verify iris.saver
      saver verify exported/ --signed-by release.key.pub --format model-signing

    Each signature is shown with whether it holds. Exit code 1 if bytes are damaged, 4 if --signed-by is given
    and none of those keys signed.
    """
    on = screen()
    if form is not None:
        if len(signers) != 1:
            raise Misuse("pass one key of the signer: --signed-by FILE")
        covered = _model_signing.verify(ref, signers[0], signature, ignored)
        if as_json:
            print_json(
                documents.VerifiedFiles(
                    path=ref, model=covered.model, files=covered.files, ignored=covered.ignored
                )
            )
        else:
            on.done(f"{ref} is what was signed: {counted(len(covered.files), 'file')}")
        return
    if signature is not None or ignored:
        raise Misuse("--signature and --ignore are about files; add --format model-signing")
    signed_by = signers or None
    if names_file(ref):
        found = saver.verify(ref, signed_by=signed_by)
    else:
        found = existing(address).verify(ref, signed_by=signed_by)
    if as_json:
        print_json(documents.verified(found))
    else:
        on.show(found._page())
