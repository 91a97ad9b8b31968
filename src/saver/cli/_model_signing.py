"""`--format model-signing` of `saver sign` and `saver verify`: exported files, for other tools."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from saver.cli import Missing, Misuse
from saver.disk.durable import NewFile
from saver.errors import IncompatibleError
from saver.keys.asking import ask
from saver.signing.bundles import LARGEST
from saver.signing.keys import unlocked
from saver.signing.model_signing import Verified, sign_folder, verify_folder

FORMAT = "model-signing"

_KEY = 64 << 10
"""Bytes of a file with a key; more are not read."""

Command = Callable[..., Any]


def signature_options(command: Command) -> Command:
    """The options of both commands, besides those for keys: `form`, `signature`, `ignored`."""
    ignored = click.option(
        "--ignore", "ignored", multiple=True, metavar="PATH",
        help="A path in the folder to leave out; can be repeated.",
    )  # fmt: skip
    signature = click.option(
        "--signature", metavar="FILE",
        help="Where the signature of a file or folder is; by default beside it, with the ending .sig.",
    )  # fmt: skip
    form = click.option(
        "--format", "form", type=click.Choice([FORMAT]),
        help="Sign or verify an exported file or folder as OpenSSF Model Signing does.",
    )  # fmt: skip
    return form(signature(ignored(command)))


def sign(path: str, key: str, signature: str | None, ignored: tuple[str, ...]) -> str:
    """Sign a file or folder with the private key in a file, and write the signature durably. Returns where.
    The terminal asks for a passphrase."""
    pem = unlocked(_read(key, "--key", _KEY), key)
    password = None
    if b"ENCRYPTED" in pem:
        password = ask(f"Passphrase of {key}: ", "sign with a key without one").encode()
    place = _signature(path, signature)
    try:
        bundle = sign_folder(path, pem, password=password, ignore=(*ignored, *_within(path, place)))
    except ValueError as error:
        raise _misuse(error, key) from None
    with NewFile(place, len(bundle)) as file:
        file.write(bundle, 0)
        file.commit()
    return place


def verify(path: str, key: str, signature: str | None, ignored: tuple[str, ...]) -> Verified:
    """What a signature by the public key in a file covers. Raises SignatureError, which says what is wrong
    with it."""
    place = _signature(path, signature)
    bundle = _read(place, "--signature", LARGEST)
    pem = _read(key, "--signed-by", _KEY)
    try:
        return verify_folder(path, bundle, pem, ignore=(*ignored, *_within(path, place)))
    except ValueError as error:
        raise _misuse(error, key) from None


def _misuse(error: ValueError, key: str) -> Exception:
    """An error of an argument: of the key in this file, or of a path; others are those of the files."""
    if isinstance(error, IncompatibleError):
        return error
    named, _, what = str(error).partition(": ")
    return Misuse(f"{key}: {what}" if named in ("private_key", "public_key") else str(error))


def _signature(path: str, signature: str | None) -> str:
    return f"{os.path.normpath(path)}.sig" if signature is None else signature


def _within(path: str, signature: str) -> list[str]:
    """The path of the signature in the folder, if it is in it: it is not signed."""
    folder, place = os.path.realpath(path), os.path.realpath(signature)
    if not place.startswith(os.path.join(folder, "")):
        return []
    return [os.path.relpath(place, folder).replace(os.sep, "/")]


def _read(path: str, option: str, limit: int) -> bytes:
    """The bytes of a file that an option names; one that is larger than anything of its kind is cut."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise Missing(f"{option}: {path}: {error.strerror or error}") from None
