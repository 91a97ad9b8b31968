"""What pages answer as JSON: what they show, as the commands print it, and where they are in a long list."""

from __future__ import annotations

from saver.documents.audit import Entry
from saver.documents.contents import Description
from saver.documents.piece import Number, Piece, Whole
from saver.documents.signing import Verdict
from saver.documents.versions import Deleted, Model, Version


class Trouble(Whole, frozen=True, tag="saver.trouble.1"):
    """A page that is not shown: why, with the stable `code` of the error."""

    error: str
    code: str
    request_id: str


class Done(Whole, frozen=True, tag="saver.done.1"):
    """What an action did that has no document of its own: the page `to` shows it."""

    to: str


class Showing(Whole, frozen=True, tag="saver.showing.1"):
    """`saver ui`: the address at which the pages of a store are."""

    store: str
    address: str


class Trend(Piece, frozen=True):
    """A metric of the newest versions of a model that have it, the oldest first: their `numbers`, and the
    values."""

    metric: str
    numbers: tuple[int, ...]
    values: tuple[Number, ...]


class FoundVersion(Version, frozen=True):
    """A version in the list of a page. Of its metrics, tags, parts and packs it has the first ones, as a page
    has: `left_out` says of each of these fields that is not whole how many others there are. The page of the
    version has all."""

    left_out: dict[str, int]


class FoundModel(Model, frozen=True):
    """A model in the list of a page; `trend` is null if its newest version has no metrics. It has the first
    of its tags: `left_out` is as of versions, and the page of the model has more."""

    newest: FoundVersion
    trend: Trend | None
    left_out: dict[str, int]


class FoundModels(Whole, frozen=True, tag="saver.found-models.1"):
    """The page of models: those that have `text` in what is said of them, `total` in number, of which this is
    one of `pages`."""

    store: str
    text: str
    sort: str
    total: int
    page: int
    pages: int
    models: tuple[FoundModel, ...]


class FoundVersions(Whole, frozen=True, tag="saver.found-versions.1"):
    """The page of a model, which has `count` versions: `total` of them fit the filters. If it has very many
    tags, it has the first of them here: `left_out` says how many others there are."""

    store: str
    model: str
    labels: dict[str, str]
    notes: str
    tags: dict[str, int]
    count: int
    total: int
    page: int
    pages: int
    versions: tuple[FoundVersion, ...]
    left_out: dict[str, int]


class Lineage(Piece, frozen=True):
    """Where a version comes from, and who uses it: its `parent` and the versions whose parent it is, of the
    same model; and versions of other models with which it shares tensors, saved before it (`from_others`) or
    after it (`in_others`). `more` counts those that are not named; if it is
    `pending`, others are not known yet."""

    parent: str | None
    children: tuple[str, ...]
    from_others: tuple[str, ...]
    in_others: tuple[str, ...]
    more: int
    pending: bool


class FoundEntry(Entry, frozen=True):
    """A record in the list of a page. Of long fields it has the first entries: `left_out` is as of versions,
    and `saver log` has all."""

    left_out: dict[str, int]


class FoundEntries(Whole, frozen=True, tag="saver.found-entries.1"):
    """The page of the history: records of the log, the newest first. `older` is the record from which the
    next page goes back, or null."""

    store: str
    ref: str | None
    entries: tuple[FoundEntry, ...]
    older: int | None


class ShownVersion(Whole, frozen=True, tag="saver.shown-version.1"):
    """The page of a version. `description` is null if `trouble` says why it cannot be read. `verdicts` are of
    its signatures, `roles` the rights of each key in this store; `loading` is Python that loads it."""

    store: str
    version: Version
    description: Description | None
    trouble: str
    lineage: Lineage
    verdicts: tuple[Verdict, ...]
    roles: dict[str, tuple[str, ...]]
    history: FoundEntries
    loading: str


class ToDelete(Whole, frozen=True, tag="saver.to-delete.1"):
    """The page that asks before a version is deleted: `lost` says in words what goes with it; `packs`, of
    `bytes`, are needed by no other version; null if that is not known yet."""

    store: str
    deleted: Deleted
    packs: int | None
    bytes: int
    lost: tuple[str, ...]


class Work(Piece, frozen=True):
    """What the server does, or did last: `kind` is `check`, `collect` or `measure`; `done` of `total`, in
    bytes or pieces; `said` are its results, as words by name."""

    kind: str
    running: bool
    done: int
    total: int
    error: str
    said: dict[str, str]


class Health(Whole, frozen=True, tag="saver.health.1"):
    """The page of a store's health: its `versions` together have `bytes_added` stored; `sealed` says whether
    it is encrypted, `head` is the newest record of its log. `works` are the last ones of each kind."""

    store: str
    sealed: bool
    head: int
    models: int
    versions: int
    bytes_added: int
    roles: dict[str, tuple[str, ...]]
    works: tuple[Work, ...]
