"""Key files: the identities of age, and keys that sign, each with its public half in `NAME.pub` beside it."""

from __future__ import annotations

import os
import stat
from typing import Any, Literal, TypeAlias

from saver.callers import warn
from saver.disk.durable import NewFile, NoHardLinks
from saver.disk.files import FILES, Path
from saver.errors import CannotReadError, CannotWriteError, IncompatibleError, NotFoundError
from saver.keys import age
from saver.keys.packages import signing
from saver.keys.secret import Identity, Passphrase, SecretBytes, shielded

Type: TypeAlias = Literal["x25519", "ed25519", "p256"]

LIMIT = 64 << 10
"""Bytes of a key file, or of what another source gives."""

IDENTITIES = 64
"""Identities in a key file."""

_Files: Any = type(FILES)


class _Private(_Files):  # type: ignore[misc]  # what the system has
    """Files that nobody else may read, from before their first byte."""

    def create(self, path: Path) -> int:
        return self._private(super().create(path))

    def create_unnamed(self, folder: Path) -> int:
        return self._private(super().create_unnamed(folder))

    def _private(self, file: int) -> int:
        try:
            self.set_mode(file, 0o600)
        except BaseException:
            self.close(file)
            raise
        return file


def new_key_file(
    path: str | os.PathLike[str], kind: Type = "x25519", passphrase: Passphrase | None = None
) -> str:
    """Make a key: its secret half in a new file at `path`, its public half in `NAME.pub`. Returns the text
    of the public half.

    Nobody else may read the secret half. With a passphrase, it is encrypted as `age -p` does it. Both files
    are durable when this returns. Raises CannotWriteError if one of them exists; nothing is ever overwritten.
    """
    shown = os.fsdecode(path)
    for each in (shown, public_path(shown)):
        if os.path.lexists(each):
            raise _exists(each)
    secret, public = _identity() if kind == "x25519" else _signing(kind)
    data = secret if passphrase is None else _protected(secret, passphrase)
    _write(shown, data, _Private())
    _write(public_path(shown), public.encode(), FILES)
    return public


def public_path(path: str) -> str:
    """Where the public half of a key file is."""
    return f"{path}.pub"


def _exists(path: str) -> CannotWriteError:
    return CannotWriteError(f"{path} exists already; nothing was written; name another file for the new key")


def _identity() -> tuple[bytes, str]:
    new = age.new_identity()
    return SecretBytes(f"# public key: {new.public}\n{new.reveal()}\n".encode()), f"{new.public}\n"


def _signing(kind: Type) -> tuple[bytes, str]:
    found = signing()
    form = found.serialization
    key = found.ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else found.ec.generate_private_key(
        found.ec.SECP256R1()
    )  # fmt: skip
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return SecretBytes(secret), public.decode()


@shielded
def _protected(secret: bytes, passphrase: Passphrase) -> bytes:
    return age.wrap_for_passphrase(secret, passphrase)


def _write(path: str, data: bytes, files: Any) -> None:
    try:
        with NewFile(path, len(data), files, path) as file:
            file.write(data, 0)
            placed = file.commit(replace=False)
    except NoHardLinks:
        raise CannotWriteError(
            f"{path}: the file system has no hard links, so that a file could be overwritten there; nothing "
            "was written; choose a folder on another file system, and copy the key from there"
        ) from None
    if not placed:
        raise _exists(path)


def read_key_file(path: str, warns: bool = True) -> bytes:
    """The bytes of a key file. Warns if others may read it, unless that is all right. Raises NotFoundError,
    CannotReadError, and IncompatibleError if it is too large for one."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            data = SecretBytes(file.read(LIMIT + 1))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"key: {shown_path(path)}: there is no key file; `saver key new FILE` makes one"
        ) from None
    except OSError as error:
        raise CannotReadError(
            f"key: {shown_path(path)}: {error.strerror or error}; check its permissions"
        ) from error
    if len(data) > LIMIT:
        raise IncompatibleError(f"key: {path} has more than {LIMIT:,} bytes, so it is not a key file")
    if warns and os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        warn(f"others may read the key file {path}; run: chmod 600 {path}")
    return data


def shown_path(path: str) -> str:
    """A path, as messages show it: a passphrase that was passed in its place is not shown."""
    looks = os.sep in path or path.endswith((".key", ".age", ".pem", ".pub", ".txt"))
    return path if looks or os.path.lexists(path) else "(a file; a passphrase is not an argument)"


def is_protected(data: bytes) -> bool:
    """Whether these are the bytes of a key file that is encrypted."""
    return data.startswith(b"age-encryption.org/")


@shielded
def identities_in(text: str, where: str) -> list[Identity]:
    """The identities in the text of a key file; empty if there are none. Raises IncompatibleError for a key
    file of another kind."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not any(line.startswith(age.PREFIX) for line in lines):
        _refuse_others(text, lines, where)
        return []
    if len(lines) > IDENTITIES or not all(line.startswith(age.PREFIX) for line in lines):
        raise IncompatibleError(
            f"{where}: a key file has 1 to {IDENTITIES} lines that begin with {age.PREFIX}, and comments; "
            "this one has others; make a new one with `saver key new`"
        )
    return [age.identity(line, where) for line in lines]


def _refuse_others(text: str, lines: list[str], where: str) -> None:
    if any(line.startswith("AGE-PLUGIN-") for line in lines):
        raise IncompatibleError(
            f"{where}: keys of plugins of age are not supported; use one of `saver key new`"
        )
    if any(line.startswith(("age1", "-----BEGIN PUBLIC")) for line in lines):
        raise IncompatibleError(f"{where}: this is a public key; pass the file without .pub")
    if "-----BEGIN AGE ENCRYPTED FILE-----" in lines:
        raise IncompatibleError(f"{where}: it is encrypted as text (age -a); encrypt it without -a")
    if any(line.startswith("-----BEGIN ") for line in lines):
        raise IncompatibleError(
            f"{where}: this key signs, and opens nothing; pass a key that `saver key new` makes without "
            "--type"
        )


@shielded
def recipient_in(text: str) -> tuple[str, str]:
    """The public key that a text is, or that a file has, and the name of the file without `.key` and `.pub`;
    "" for a key itself. Raises ValueError, NotFoundError."""
    if text.startswith("age1") or age.is_secret(text):
        return age.check_recipient(text), ""
    lines = [
        line.strip() for line in read_key_file(text, warns=False).decode("utf-8", "replace").splitlines()
    ]
    noted = [line.removeprefix("# public key: ") for line in lines if line.startswith("# public key: ")]
    found = [line for line in lines if line.startswith("age1")] or noted
    if len(found) != 1:
        raise ValueError(
            f"{text} has {len(found) or 'no'} public keys of age; pass a file NAME.pub, or one that begins "
            "with age1"
        )
    name = os.path.basename(text).removesuffix(".pub").removesuffix(".key")
    return age.check_recipient(found[0]), name
