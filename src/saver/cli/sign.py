"""`saver sign`: a key says that a version is what it is."""

from __future__ import annotations

import click

from saver import documents
from saver.cli import Misuse, _model_signing
from saver.cli._completing import refs
from saver.cli._model_signing import signature_options
from saver.cli._screen import print_json, screen
from saver.cli._store import existing, json_option, store_option
from saver.errors import KeyNeededError
from saver.signing.keys import brief


@click.command()
@click.argument("ref", metavar="REF", shell_complete=refs)
@click.option("--key", required=True, metavar="FILE", help="The private key: a file, or env:NAME.")
@signature_options
@store_option
@json_option
def command(
    ref: str, key: str, form: str | None, signature: str | None, ignored: tuple[str, ...], address: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Sign a version with a private key.

    \b
      saver sign iris@3 --key alice.key
      saver sign exported/ --key release.key --format model-signing

    The signature covers the model's name, the content of each part, metrics and environment. It is recorded
    in the log, and goes along when the version is pushed. `saver key new` makes keys; `saver verify` says
    who signed. A sealed store is opened with the key that SAVER_KEY names. With --format model-signing, REF
    is an exported file or folder, and its signature is written beside it, for the verifier of OpenSSF Model
    Signing; it needs a key on a curve, such as p256.
    """
    if form is not None:
        place = _model_signing.sign(ref, key, signature, ignored)
        if as_json:
            print_json(documents.SignedFiles(path=ref, signature=place))
        else:
            screen().done(f"{ref} is signed: the signature is in {place}")
        return
    if signature is not None or ignored:
        raise Misuse("--signature and --ignore are about files; add --format model-signing")
    try:
        store = existing(address)
    except KeyNeededError as error:
        raise KeyNeededError(f"{error}; here --key signs, so write: saver --key FILE sign …") from None
    version = store.sign(ref, key)
    signers = tuple(each.key for each in version.signatures)
    if as_json:
        print_json(documents.Signed(store=str(store.storage), ref=str(version), signers=signers))
    else:
        screen().done(f"{version} is signed by {', '.join(map(brief, signers))}")
