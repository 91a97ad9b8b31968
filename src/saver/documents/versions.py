"""Models, versions and tags, as `ls`, `tag`, `rm`, `import` and `export` print them."""

from __future__ import annotations

from typing import TypeVar

from saver.documents.piece import Number, Piece, Whole, document, utc
from saver.repo.version import Version as SavedVersion
from saver.repo.version import plain_metric


class PartVersion(Piece, frozen=True):
    """A part of a version; its `number` moves only when its content does."""

    number: int
    hash: str
    bytes: int


class Version(Piece, frozen=True):
    """A version. `ref` names it; `time_utc` is null for a time outside the calendar. `bytes` is its size,
    `bytes_added` is how much the store grew. `manifest` and `packs` name the objects that hold it.
    `unverified` is what the trust file demands and it lacks; then nobody vouches for the `author`."""

    ref: str
    model: str
    number: int
    time: float
    time_utc: str | None
    step: int | None
    author: str
    metrics: dict[str, Number]
    tags: tuple[str, ...]
    labels: dict[str, str]
    notes: str
    parts: dict[str, PartVersion]
    bytes: int
    bytes_added: int
    parent: int | None
    manifest: str
    packs: tuple[str, ...]
    unverified: str


class Moved(Piece, frozen=True):
    """The parts that were changed, added or removed since the previous version."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


class ListedVersion(Version, frozen=True):
    """A version in the list of its model."""

    moved: Moved


class Model(Piece, frozen=True):
    """A model: the number of its versions, the newest one, and the version numbers that its tags point to;
    how much the store grew when these versions were saved; its own labels and notes."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]
    bytes_added: int
    labels: dict[str, str]
    notes: str


class Models(Whole, frozen=True, tag="saver.models.1"):
    """`saver ls` and `saver ls GROUP/`: the models of a store, sorted by name; with -n, the newest first."""

    store: str
    models: tuple[Model, ...]


class Versions(Whole, frozen=True, tag="saver.versions.1"):
    """`saver ls MODEL`: its versions, the newest first, or as --sort says; and its own labels and notes."""

    store: str
    model: str
    labels: dict[str, str]
    notes: str
    versions: tuple[ListedVersion, ...]


class Imported(Version, frozen=True, tag_field="schema", tag="saver.imported.1"):
    """`saver import`: the version that the file became."""


class Pushed(Whole, frozen=True, tag="saver.pushed.1"):
    """`saver push` and `saver pull`: the `versions` of `store` that are new in `target`, which grew by
    `bytes`; how many were `present`, the `tags` that were set on those, each with the number of its version;
    and the numbers that were `left_out`, because there are later ones."""

    store: str
    target: str
    model: str
    versions: tuple[Version, ...]
    present: int
    tags: dict[str, int]
    left_out: tuple[int, ...]
    bytes: int


class Card(Whole, frozen=True, tag="saver.card.1"):
    """`saver card`: the Markdown of the card of the version `ref`; `output` is the file that it was written
    to."""

    store: str
    ref: str
    markdown: str
    output: str | None


class Loss(Piece, frozen=True):
    """What a format could not hold: where it is in the version, and what it is."""

    place: str
    what: str


class Exported(Whole, frozen=True, tag="saver.exported.1"):
    """`saver export`: the file or folder that a version was written to, its format and size, and what the
    format could not hold."""

    ref: str
    path: str
    format: str
    bytes: int
    losses: tuple[Loss, ...]


class Converted(Whole, frozen=True, tag="saver.converted.1"):
    """`saver convert`: the file or folder that was written, its format and size, and what the format could
    not hold."""

    source: str
    path: str
    format: str
    bytes: int
    losses: tuple[Loss, ...]


def converted(source: str, found: object) -> Converted:
    """The document of what `saver.export` returned for the file `source`."""
    losses = getattr(found, "losses", ())
    told = {name: getattr(found, name) for name in ("path", "format", "bytes")}
    return Converted(
        source=source, losses=tuple(Loss(place=each.place, what=each.what) for each in losses), **told
    )


class Deleted(Whole, frozen=True, tag="saver.deleted.1"):
    """`saver rm`: the versions that were deleted, as they were; with --dry-run, those that would be."""

    dry_run: bool
    deleted: tuple[Version, ...]


class Pruned(Whole, frozen=True, tag="saver.pruned.1"):
    """`saver prune`: the versions that were deleted, as they were; with --dry-run, those that would be."""

    model: str
    dry_run: bool
    deleted: tuple[Version, ...]


class Tag(Piece, frozen=True):
    """A tag of a model, and the number of the version that it points to."""

    model: str
    tag: str
    number: int


class Tags(Whole, frozen=True, tag="saver.tags.1"):
    """`saver tag` and `saver tag MODEL`: the tags of a store, or of one model."""

    store: str
    tags: tuple[Tag, ...]


class TagMoved(Whole, frozen=True, tag="saver.tag-moved.1"):
    """`saver tag REF TAG` and `saver tag --delete`: the version that a tag points to now, and the previous
    one; null if there is none."""

    model: str
    tag: str
    number: int | None
    before: int | None


V = TypeVar("V", bound=Version)


def version(kind: type[V], found: SavedVersion, **given: object) -> V:
    """A version as a document."""
    metrics = {name: plain_metric(value) for name, value in found.metrics.items()}
    return document(kind, found, ref=str(found), metrics=metrics, time_utc=utc(found.time), **given)
