"""What `saver.json` says, which lies beside `model.saver` on the Hub: what a file of one version has no room
for, since in a store it is in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.details import details_of
from saver.disk.durable import NewFile
from saver.encoding import draft_opened, encode_opened
from saver.errors import DamagedError, IncompatibleError, quoted
from saver.file import content_of
from saver.opened import Opened
from saver.opening import open_file
from saver.repo.draft import Draft
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version, number_of
from saver.storage import Content
from saver.strict import decodable, strict_json

FORMAT = 1
LARGEST = 1 << 20
"""Bytes of the document."""

Form: TypeAlias = Callable[[Content], Content]
"""What becomes of the content of a file: it may be sealed."""

_Number = Annotated[int, msgspec.Meta(ge=1, lt=10**12)]

is_weights = re.compile(
    r"config\.json|model(-[0-9]{5}-of-[0-9]{5})?\.safetensors|model\.safetensors\.index\.json"
)
"""The names of files that libraries read, which a push replaces or removes."""


@decodable
class Part(msgspec.Struct, frozen=True):
    """A part: its own number, and its hash."""

    number: _Number
    hash: str


@decodable
class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Which version it is. `hash` is that of the header of `model.saver`; `files` are those beside it that
    libraries read."""

    format: int
    saver: str
    model: str
    number: _Number
    author: str
    parts: dict[str, Part]
    tags: list[str]
    labels: dict[str, str]
    hash: str
    files: list[str]

    def is_version(self, other: Provenance) -> bool:
        """Whether both are of the same version: its name, number and content."""
        return (self.model, self.number, self.parts) == (other.model, other.number, other.parts)


def provenance(version: Version, name: str, tags: bool, digest: str, files: list[str]) -> Provenance:
    """What to say of a version."""
    return Provenance(
        format=FORMAT, saver="model.saver", model=name, number=version.number, author=version.author,
        parts={each: Part(part.number, part.hash) for each, part in version.parts.items()},
        tags=sorted(version.tags) if tags else [], labels=version.labels, hash=digest, files=sorted(files),
    )  # fmt: skip


def encoded(found: Provenance) -> bytes:
    """The document."""
    return canonical(msgspec.to_builtins(found), False) + b"\n"


def decoded(data: bytes, where: str) -> Provenance:
    """What an untrusted document says. Raises IncompatibleError."""
    document = strict_json(data, where)
    if isinstance(document, dict) and document.get("format") not in (None, FORMAT):
        raise IncompatibleError(
            f"{where}: its format is {quoted(document['format'])}; install a newer Saver, which reads it"
        )
    try:
        return msgspec.convert(document, Provenance)
    except msgspec.ValidationError as error:
        raise IncompatibleError(f"{where}: no Saver wrote this: {error}") from None


def write_saver(path: str, opened: Opened, version: Version, form: Form = lambda content: content) -> None:
    """Write the file of a version, in a `form`. The same version always has the same bytes, so that a push
    that is run again need not send them again."""
    document = msgspec.structs.replace(
        opened.manifest, tensors={}, packs=(), transaction="", model=version.model
    )
    ident = blake3(f"{version} {version.manifest}".encode()).hexdigest()[:32]
    signatures = opened.signatures if opened.manifest.model == version.model else ()
    writer = form(content_of(document, encode_opened(opened), None, ident, signatures=signatures))
    with NewFile(path, writer.size) as file:
        writer.write(file)
        file.commit()


def save_from(repo: Repository, path: str, found: Provenance, where: str, key: Any = None) -> Version:
    """Save the file of a version in an empty store, as the version that it was. Raises DamagedError if it is
    not the file that was pushed, IncompatibleError if what is said of it is not valid."""
    opened = open_file(path, key=key)
    if opened.hash != found.hash:
        raise DamagedError(f"{where}: model.saver is not the file that saver.json is about; push it again")
    return save_version(repo, _draft(opened, found, where))


def _draft(opened: Opened, found: Provenance, where: str) -> Draft:
    if found.parts.keys() != opened.written.parts.keys():
        raise IncompatibleError(f"{where}: saver.json names other parts than model.saver has")
    manifest = opened.manifest
    metrics = {name: number_of(value) for name, value in manifest.metrics.items()}
    try:
        details = details_of(found.model, manifest.step, metrics, found.tags, found.labels, manifest.notes)
    except (TypeError, ValueError) as error:
        raise IncompatibleError(f"{where}: saver.json is not valid: {error}") from None
    numbers = {name: part.number for name, part in found.parts.items()}
    return draft_opened(
        found.model, opened, found.author, later=True, number=found.number, part_numbers=numbers, **details
    )
