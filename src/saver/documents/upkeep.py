"""What was made, freed, checked, copied or diagnosed, as `init`, `gc`, `check`, `backup` and `doctor` print
it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from saver.documents.piece import Piece, Whole

Severity: TypeAlias = Literal["ok", "note", "warning", "problem"]


class Created(Whole, frozen=True, tag="saver.created.1"):
    """`saver init`: whether a store was `created`, or there was one; the `group` of --shared, or null."""

    store: str
    created: bool
    group: str | None


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
    """A damaged object, and what it affects: a tensor of a part of a version; "" and 0 if nothing.

    `rule`: the number of the rule of the format that it breaks (docs/format/rules.md); "" if none is known.
    """

    key: str
    what: str
    model: str
    number: int
    part: str
    tensor: str
    rule: str


class Checked(Whole, frozen=True, tag="saver.checked.1"):
    """`saver check`. If the log itself is damaged, nothing else is known: the counts are null.

    `recorded`: the damage is recorded in the log, so that saving the same tensors again repairs it.
    `foreign` files are not Saver's. `refused` records are void: their signers have no right to them.
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
    refused: tuple[str, ...]


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


class Failed(Whole, frozen=True, tag="saver.failed.1"):
    """What a command prints with `--json` that could not do its work, unless it printed its own document
    before: the `message` on stderr, and its `exit_code`. `code` is that of the error, such as `damaged` or
    `not-found`, `misuse` for what is wrong on the command line, and "" for an error of the system; `rule` is
    the number of the rule of the format that what was read breaks, as docs/format/rules.md lists them, and ""
    if none is known."""

    code: str
    message: str
    rule: str
    exit_code: int


class Finding(Piece, frozen=True):
    """What was recorded, what it is here, and what the difference may mean; "" if there is none."""

    severity: Severity
    topic: str
    recorded: str
    here: str
    meaning: str


class May(Piece, frozen=True):
    """What somebody may do in a store, by the modes of its files; `name` is "" for all others."""

    name: str
    read: bool
    write: bool
    collect: bool


class Access(Piece, frozen=True):
    """Who may do what in a store; `you` are the process that was run. `shared`: its group may do everything,
    and what its members create follows that."""

    shared: bool
    owner: May
    group: May
    others: May
    you: May


class Diagnosis(Whole, frozen=True, tag="saver.diagnosis.1"):
    """`saver doctor`, the worst first. `path` is the path of the file, the store, or the ref; null for this
    machine. `access` is null for anything but a store in a folder."""

    path: str | None
    findings: tuple[Finding, ...]
    access: Access | None
