"""What a version or a file contains, as `show` prints it."""

from __future__ import annotations

from typing import Any

from saver.description import Description as Described
from saver.documents.piece import Piece, Whole, document, utc
from saver.documents.predictions import Predictions
from saver.documents.versions import Version, version
from saver.repo.version import Version as SavedVersion


class Tensor(Piece, frozen=True):
    """A tensor; dtypes are called as in safetensors."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    hash: str


class Part(Piece, frozen=True):
    """A part: the class of its value; all classes in it, the outermost first; the packages (import names)
    that they come from; and plain values in it, as text for people to read. `defaults` names the values that
    are default arguments of a constructor, as far as the library is installed here."""

    name: str
    kind: str
    number: int
    hash: str
    bytes: int
    tensors: tuple[Tensor, ...]
    classes: tuple[str, ...]
    packages: tuple[str, ...]
    values: dict[str, str]
    defaults: tuple[str, ...]


class Description(Whole, frozen=True, tag="saver.description.1"):
    """`saver show`. `path` is that of the file, or the ref of the version; `version` is null for a file.

    `untrusted` names the classes that loading asks trust for. `verified` is null unless --verify was given;
    if it is false, `damage` says what is damaged. `predictions` is null if it was saved without an example.
    """

    path: str
    bytes: int
    hash: str
    time: float
    time_utc: str | None
    parts: tuple[Part, ...]
    environment: dict[str, Any]
    untrusted: tuple[str, ...]
    data: dict[str, Any]
    version: Version | None
    verified: bool | None
    damage: str | None
    predictions: Predictions | None


def described(
    found: Described, of: SavedVersion | None, verified: bool | None = None, damage: str | None = None
) -> Description:
    """What a file or a version contains, as a document."""
    parts = [
        document(Part, part, tensors=[document(Tensor, each, bytes=each.length) for each in part.tensors])
        for part in found.parts
    ]
    saved = None if of is None else version(Version, of)
    return document(
        Description, found, time_utc=utc(found.time), parts=parts, version=saved, verified=verified,
        damage=damage,
    )  # fmt: skip
