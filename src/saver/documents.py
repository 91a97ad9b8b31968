"""The JSON documents that Saver prints with `--json` and serves: programs may rely on them.

The promise, for each document by the name in its field `schema`, such as `saver.models.1`:

- Every field below is always present, with this name, type and meaning. A value that is unknown, or does
  not apply, is null, "", 0 or an empty list, depending on the type.
- Fields may be added, at any level. Nothing is renamed or removed, and no type or meaning changes; a
  document that would have to change gets a new name, `saver.models.2`. Readers ignore unknown fields.
- The order of fields, white space, the wording of texts, and the content of `environment`, `data` and
  `values` (whatever the version recorded) are not promised.

Sizes are in bytes, times in seconds since 1970 (UTC), durations in seconds. JSON cannot express numbers
that are not finite: they are the strings `"nan"`, `"inf"` and `"-inf"`. Hashes are BLAKE3, in hexadecimal.

The structs here are separate from those that commands work with, so that the latter may change.
docs/documents.schema.json is the JSON Schema of them all. Tests compare it, and what commands print, with
the structs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from saver.repo.version import Version as SavedVersion
from saver.repo.version import plain_metric

Number: TypeAlias = float | Literal["nan", "inf", "-inf"]
Status: TypeAlias = Literal["same", "changed", "added", "removed"]
Severity: TypeAlias = Literal["ok", "note", "warning", "problem"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document."""


class Whole(Piece, frozen=True, kw_only=True, tag_field="schema", tag="saver.document.1"):
    """A whole document; `schema` says which."""


# Versions


class PartVersion(Piece, frozen=True):
    """A part of a version; its `number` moves only when its content does."""

    number: int
    hash: str
    bytes: int


class Version(Piece, frozen=True):
    """A version. `ref` names it; `time_utc` is null for a time outside the calendar. `bytes` is its size,
    `bytes_added` is how much the store grew. `manifest` and `packs` name the objects that hold it."""

    ref: str
    model: str
    number: int
    time: float
    time_utc: str | None
    step: int | None
    author: str
    metrics: dict[str, Number]
    tags: tuple[str, ...]
    notes: str
    parts: dict[str, PartVersion]
    bytes: int
    bytes_added: int
    parent: int | None
    manifest: str
    packs: tuple[str, ...]


class Moved(Piece, frozen=True):
    """The parts that were changed, added or removed since the previous version."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


class ListedVersion(Version, frozen=True):
    """A version in the list of its model."""

    moved: Moved


class Model(Piece, frozen=True):
    """A model: the number of its versions, the newest one, and the version numbers that its tags point to."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]


class Models(Whole, frozen=True, tag="saver.models.1"):
    """`saver ls`: the models of a store, sorted by name; with -n, the newest first."""

    store: str
    models: tuple[Model, ...]


class Versions(Whole, frozen=True, tag="saver.versions.1"):
    """`saver ls MODEL`: its versions, the newest first."""

    store: str
    model: str
    versions: tuple[ListedVersion, ...]


class Imported(Version, frozen=True, tag_field="schema", tag="saver.imported.1"):
    """`saver import`: the version that the file became."""


class Exported(Whole, frozen=True, tag="saver.exported.1"):
    """`saver export`: the file that a version was written to, and its size."""

    ref: str
    path: str
    bytes: int


class Deleted(Whole, frozen=True, tag="saver.deleted.1"):
    """`saver rm`: the versions that were deleted, as they were."""

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


# What a version or a file contains


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
    if it is false, `damage` says what is damaged.
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


# Differences


class Value(Piece, frozen=True):
    """A value that differs, as text; null where it is missing."""

    path: str
    old: str | None
    new: str | None


class Array(Piece, frozen=True):
    """An array on one side; `values` is text if there are few."""

    dtype: str
    shape: tuple[int, ...]
    values: str | None


class Amount(Piece, frozen=True):
    """How much an array changed: `changed` of its `entries` have other bits, a `share` of 0 to 1.

    `norm` is the Frobenius norm of new minus old, `relative` that divided by the norm of old, `largest` the
    largest absolute change. `not_finite` counts entries that are not finite, before and after.
    """

    entries: int
    changed: int
    share: float
    norm: Number | None
    relative: Number | None
    largest: Number | None
    not_finite: tuple[int, int]


class ArrayChange(Piece, frozen=True):
    """An array that differs; a side is null if it is missing; `amount` is given if both could be compared."""

    path: str
    old: Array | None
    new: Array | None
    amount: Amount | None


class PartChange(Piece, frozen=True):
    """A part on both sides; a side is null if it is missing there."""

    name: str
    status: Status
    old_version: int | None
    new_version: int | None
    old_hash: str | None
    new_hash: str | None


class MetricChange(Piece, frozen=True):
    """A metric that differs; a side is null if it is missing there. `delta` is new minus old."""

    name: str
    old: Number | None
    new: Number | None
    delta: Number | None


class DataChange(Piece, frozen=True):
    """Data that the model was trained on, as text; a side is null if it is missing there."""

    name: str
    status: Status
    old: str | None
    new: str | None


class Difference(Whole, frozen=True, tag="saver.difference.1"):
    """`saver diff`. `unchanged` counts the arrays that do not differ; `facts` are step, notes and so on."""

    differs: bool
    summary: str
    old: str
    new: str
    parts: tuple[PartChange, ...]
    fields: tuple[Value, ...]
    arrays: tuple[ArrayChange, ...]
    unchanged: int
    facts: tuple[Value, ...]
    metrics: tuple[MetricChange, ...]
    data: tuple[DataChange, ...]
    environment: tuple[Value, ...]


# Maintenance of a store


class Collected(Whole, frozen=True, tag="saver.collected.1"):
    """`saver gc`: the names of objects that were condemned or freed, are waiting for the end of their grace
    period, or are too young to be judged (`busy`); `moved` packs were mostly dead. With --dry-run, what
    would happen."""

    store: str
    dry_run: bool
    condemned: tuple[str, ...]
    freed: tuple[str, ...]
    freed_bytes: int
    waiting: tuple[str, ...]
    waiting_bytes: int
    moved: tuple[str, ...]
    busy: tuple[str, ...]


class Damage(Piece, frozen=True):
    """A damaged object, and what it affects: a tensor of a part of a version; "" and 0 if nothing."""

    key: str
    what: str
    model: str
    number: int
    part: str
    tensor: str


class Checked(Whole, frozen=True, tag="saver.checked.1"):
    """`saver check`. If the log itself is damaged, nothing else is known: the counts are null.

    `recorded`: the damage is recorded in the log, so that saving the same tensors again repairs it.
    `foreign` files are not Saver's.
    """

    store: str
    sound: bool
    versions: int | None
    bytes: int | None
    damage: tuple[Damage, ...]
    garbage: tuple[str, ...]
    garbage_bytes: int | None
    recorded: bool
    foreign: tuple[str, ...]


class Copied(Whole, frozen=True, tag="saver.copied.1"):
    """`saver backup`: the copy holds the live `versions` and the records up to `head`. `objects`, of
    `bytes` in total, and `records` were copied now; `present` ones were there; `removed` ones were
    condemned."""

    store: str
    target: str
    whole: bool
    head: int
    versions: int
    records: int
    objects: int
    bytes: int
    present: int
    removed: int
    damage: tuple[Damage, ...]


class Finding(Piece, frozen=True):
    """What was recorded, what it is here, and what the difference may mean; "" if there is none."""

    severity: Severity
    topic: str
    recorded: str
    here: str
    meaning: str


class Diagnosis(Whole, frozen=True, tag="saver.diagnosis.1"):
    """`saver doctor`, the worst first. `path` is the path of the file, or the ref; null for this machine."""

    path: str | None
    findings: tuple[Finding, ...]


# Training


class Event(Piece, frozen=True):
    """What happened to a run at a step: it was saved as `ref`, or resumed from it."""

    kind: str
    step: int
    time: Number
    ref: str


class Run(Piece, frozen=True):
    """A training log. A row has its `step`, `epoch` and `time` if these are known, and the metrics of that
    step."""

    run: str
    metrics: tuple[str, ...]
    events: tuple[Event, ...]
    rows: tuple[dict[str, int | Number], ...]


class Runs(Whole, frozen=True, tag="saver.runs.1"):
    """`saver plot`."""

    runs: tuple[Run, ...]


class Ended(Piece, frozen=True):
    """How a script ended: how many seconds after the signal, by what, and whether before SIGKILL."""

    seconds: float
    status: str
    within_grace: bool


class LastSave(Piece, frozen=True):
    """The newest version at the end; `seconds` after the signal, negative if it was saved before."""

    ref: str
    step: int
    seconds: float


class Resumed(Piece, frozen=True):
    """Where the second start resumed; `seconds` until it had taken a step, null if none was left."""

    ref: str
    step: int
    seconds: float | None


class Rehearsal(Whole, frozen=True, tag="saver.rehearsal.1"):
    """`saver rehearse`; `good` if no step was lost. Steps are the last finished one each time."""

    command: tuple[str, ...]
    run: str
    signal: str
    grace: float
    step_at_signal: int
    noticed_seconds: float | None
    last_step: int
    ended: Ended
    saved: LastSave | None
    resumed: Resumed | None
    steps_lost: int
    problem: str
    good: bool


class Differing(Piece, frozen=True):
    """A value that was not the same both times, as text if that is short."""

    path: str
    old: str | None
    new: str | None
    amount: Amount | None


class Proof(Piece, frozen=True):
    """The result of training the steps `start` to `last` twice: how many values differ, the first of them,
    and the first step (`since`) for which a logged number differs."""

    start: int
    last: int
    steps: int
    differences: int
    first: Differing | None
    since: int | None
    advice: str


class Proven(Whole, frozen=True, tag="saver.proven.1"):
    """`saver rehearse --prove`; `good` if all bits agree; `proof` is null if a `problem` prevented it."""

    command: tuple[str, ...]
    run: str
    ref: str
    step: int
    steps_asked: int
    resumed: Resumed | None
    proof: Proof | None
    problem: str
    advice: str
    good: bool


Document: TypeAlias = (
    Models | Versions | Imported | Exported | Deleted | Tags | TagMoved | Description | Difference
    | Collected | Checked | Copied | Diagnosis | Runs | Rehearsal | Proven
)  # fmt: skip
"""Any document: `msgspec.json.decode(text, type=Document)` reads what a command printed."""


# Making documents

D = TypeVar("D", bound=Piece)


def document(kind: type[D], source: object = None, **given: object) -> D:
    """A document or a piece of one: its fields come from `given`, or else from the attributes of `source`."""
    names = [field.name for field in msgspec.structs.fields(kind)]
    values: Mapping[str, object] = {
        name: given[name] if name in given else getattr(source, name) for name in names
    }
    return msgspec.convert(values, kind, from_attributes=True)


V = TypeVar("V", bound=Version)


def version(kind: type[V], found: SavedVersion, **given: object) -> V:
    """A version as a document."""
    metrics = {name: plain_metric(value) for name, value in found.metrics.items()}
    return document(kind, found, ref=str(found), metrics=metrics, time_utc=utc(found.time), **given)


def utc(seconds: float) -> str | None:
    """`2026-11-21T06:49:14Z`; None for a time outside the calendar."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None
