"""One migration: what was found is named, put in order, opened and saved, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from saver import arguments, encoding, trust
from saver.details import details_of, notes_of
from saver.disk import mapped
from saver.errors import NotFoundError, SaverError, UntrustedError, printable
from saver.format import Loss, Recorded
from saver.human import in_utc
from saver.migrating.naming import Naming, ending_of, in_order, settled
from saver.migrating.report import Came, Left, Migrated
from saver.migrating.walking import Found, Walk
from saver.opened import Opened
from saver.opening import beside_of
from saver.repo.bounds import METRICS_LIMIT, TAGS_LIMIT
from saver.repo.labels import VALUE_LIMIT, labelled
from saver.repo.naming import tag_of
from saver.repo.save import save_version
from saver.repo.version import number_of
from saver.storage import Blob, Progress
from saver.store import Store

FROM, HASH, MADE = "migrated-from", "migrated-hash", "made"
"""Labels of a version: the path of its file, the hash of what came, and the file's time."""

_DIGITS = 32
"""Of the hash: enough for all files that there are."""

_PIECE = 4 << 20


class Plan(NamedTuple):
    """What was found, the name of its model, its time, and what is recorded of it."""

    found: Found
    model: str
    time: float
    record: Recorded


class Migration:
    """A migration of one folder into one store."""

    def __init__(
        self, folder: str, store: Store, naming: Naming, dry_run: bool, progress: Progress | None
    ) -> None:
        if not os.path.isdir(folder):
            raise NotFoundError(f"{folder}: there is no such folder")
        self._folder, self._store, self._naming = folder, store, naming
        self._repo = store._repo
        self._dry_run, self._progress = dry_run, progress
        self._walk = Walk(folder, naming)
        self._known = dict[tuple[str, str], str]()
        """Versions by the hash of what came, and the model or the path."""
        self._taken = set[str]()
        """Real paths of the files that belong to models of several."""
        self._came: list[Came] = []
        self._there: list[Left] = []

    def run(self) -> Migrated:
        """Do it."""
        self._walk.run()
        self._remember()
        plans = [*self._plans(self._walk.folders), *self._plans(self._walk.files)]
        done, total = 0, sum(plan.found.bytes for plan in plans)
        for plan in plans:
            self._one(plan, self._part(done, plan.found.bytes, total))
            done += plan.found.bytes
            if self._progress is not None:
                self._progress(done, total)
        real = self._walk.real
        left = [each for each in self._walk.left if os.path.join(real, each.path) not in self._taken]
        return Migrated(
            folder=self._folder, store=str(self._store.storage), dry_run=self._dry_run,
            came=tuple(self._came), there=tuple(self._there), refused=tuple(self._walk.refused),
            left=tuple(left), more=self._walk.more,
        )  # fmt: skip

    def _part(self, before: int, size: int, total: int) -> Progress | None:
        """Progress of one file, as a part of that of all."""
        progress = self._progress
        if progress is None:
            return None
        return lambda done, of: progress(before + size * min(done, of) // max(of, 1), total)

    def _remember(self) -> None:
        """What came before, by the labels of versions."""
        if not self._store.exists():
            return
        for model in self._store.models():
            for version in self._store.versions(model):
                digest, path = version.labels.get(HASH), version.labels.get(FROM, "")
                if digest is not None:
                    self._known |= {(digest, model): str(version), (digest, f"/{path}"): str(version)}

    def _plans(self, found: list[Found]) -> list[Plan]:
        """What to do, the oldest first."""
        records = [self._record(each.path) for each in found]
        named = []
        for each, (record, rest) in zip(found, records, strict=True):
            ending = "" if each.path != each.first else ending_of(each.path.rpartition("/")[2])
            exact = record.model if record.model and not rest else ""
            own = exact or self._naming.model(rest if record.model else each.path, ending, record.model)
            named.append((own, "" if exact else ending))
        plans = [
            Plan(
                each, self._naming.given(each.path) or model,
                each.time if record.time is None else record.time, record,
            )
            for each, model, (record, _) in zip(found, settled(named), records, strict=True)
        ]  # fmt: skip
        names = {each.path for each in found}
        return sorted(
            plans,
            key=lambda plan: (_is_beside(plan.found.path, names), plan.time, in_order(plan.found.path)),
        )

    def _record(self, path: str) -> tuple[Recorded, str]:
        """What all folders around a path record of it, the nearest last; and the rest of the path below the
        nearest that has a name."""
        merged, rest, pieces = Recorded(), path, path.split("/")
        for count in range(len(pieces) + 1):
            for each in self._walk.records.get("/".join(pieces[:count]), ()):
                rest = "/".join(pieces[count:]) if each.model and (each.given or not merged.given) else rest
                merged = merged.joined(each)
        return merged, rest

    def _one(self, plan: Plan, progress: Progress | None) -> None:
        found = plan.found
        path = os.path.join(self._folder, *found.first.split("/"))
        try:
            real = self._walk.inside(path)
            if real in self._taken:
                return
            blob = mapped.open_file(path)
            digest = _hash(blob, plan.record.ident)
            if not self._is_known(plan, digest):
                read = dict[str, tuple[int, str]]()
                opened = found.format.open(blob, self._beside(path, real, read))
                digest = _hash_of_all(digest, read)
                if not self._is_known(plan, digest):
                    size = blob.size + sum(each for each, _ in read.values())
                    self._save(plan, opened, digest, size, progress)
            self._taken.add(real)
        except _StoreError as error:
            raise error.error from None
        except SaverError as error:
            self._walk.refused.append(Left(printable(found.path), str(error)))

    def _is_known(self, plan: Plan, digest: str) -> bool:
        keys = (digest, plan.model), (digest, f"/{_label(plan.found.path)}")
        version = next((self._known[key] for key in keys if key in self._known), None)
        if version is not None:
            self._there.append(Left(printable(plan.found.path), version))
        return version is not None

    def _beside(self, path: str, real: str, read: dict[str, tuple[int, str]]) -> Callable[[str], Blob]:
        """Opens files beside one, and notes the size and hash of each by its name: there may be more of them
        than can be open."""
        opening = beside_of(path)

        def opened(name: str) -> Blob:
            inner = self._walk.inside(os.path.join(os.path.dirname(path), name))
            blob = opening(name)
            if inner != real and name not in read:
                self._taken.add(inner)
                read[name] = blob.size, _hash(blob, "")
            return blob

        return opened

    def _save(self, plan: Plan, opened: Opened, digest: str, size: int, progress: Progress | None) -> None:
        found, asks = plan.found, tuple[str, ...]()
        try:
            opened.admit(trust.allowed(()))
        except UntrustedError as error:
            asks = error.names
        opened.manifest = msgspec.structs.replace(opened.manifest, time=_time(plan, opened))
        details, losses = _details(plan, opened, digest)
        number = 0
        if self._dry_run:
            opened.tensors.verify(progress=progress)
        else:
            author = opened.manifest.author or plan.record.author or self._repo.author
            draft = encoding.draft_opened(plan.model, opened, author, progress, **details)
            try:
                number = save_version(self._repo, draft).number
            except SaverError as error:
                raise _StoreError(error) from None
        came = Came(
            printable(found.path),
            plan.model,
            number,
            found.format.name,
            opened.manifest.time,
            size,
            asks,
            losses,
        )
        self._came.append(came)
        name = came.version
        self._known |= {(digest, plan.model): name, (digest, f"/{_label(found.path)}"): name}


def _is_beside(path: str, names: set[str]) -> bool:
    """Whether a file has the name of another one and more, as `a.pkl_01.npy` beside `a.pkl`: it may be a part
    of that, which opening that shows."""
    return any(path[:end] in names for end in range(path.rfind("/") + 2, len(path)))


class _StoreError(Exception):
    """The store could not be written: the migration ends."""

    def __init__(self, error: SaverError) -> None:
        self.error = error


def _hash(blob: Blob, ident: str) -> str:
    digest = blake3(ident.encode())
    for start in range(0, blob.size, _PIECE):
        digest.update(blob.read(start, start + _PIECE))
    return digest.hexdigest()[:_DIGITS]


def _hash_of_all(digest: str, others: Mapping[str, tuple[int, str]]) -> str:
    """Of several files, that of the first and of the others by their names; of one, its own."""
    if not others:
        return digest
    hashes = sorted((name, hashed) for name, (_, hashed) in others.items())
    return blake3(msgspec.json.encode([digest, hashes])).hexdigest()[:_DIGITS]


def _time(plan: Plan, opened: Opened) -> float:
    """That which a file of Saver's own records, or else the one of the plan."""
    own = plan.found.format.name == "saver" and plan.record.time is None
    return opened.manifest.time if own else plan.time


def _label(path: str) -> str:
    """A path as the value of a label."""
    return printable(path)[-VALUE_LIMIT:]


def _details(plan: Plan, opened: Opened, digest: str) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """The fields of the draft, and what is recorded and has no room in them."""
    record, own, losses = plan.record, opened.manifest, list(plan.record.losses)
    metrics = {name: number_of(value) for name, value in own.metrics.items()} | dict(record.metrics)
    labels = {FROM: _label(plan.found.path), HASH: digest}
    made = in_utc(own.time)
    if made is not None:
        labels[MADE] = f"{made:%Y-%m-%dT%H:%M:%SZ}"

    def fits(place: str, value: str, check: Callable[[], object]) -> bool:
        try:
            check()
        except (TypeError, ValueError) as error:
            losses.append(Loss(place, f"{value[:80]}: {error}"))
            return False
        return True

    for key, value in record.labels.items():
        if fits(key, value, partial(labelled, labels, {key: value})):
            labels[key] = value
    for name, number in [*metrics.items()]:
        if not fits(name, str(number), partial(arguments.metrics, {name: number})):
            del metrics[name]
    while len(metrics) > METRICS_LIMIT:
        losses.append(Loss(*map(str, metrics.popitem())))
    tags = [tag for tag in record.tags if fits("tags", tag, partial(tag_of, "tag", tag))]
    losses += [Loss("tags", tag) for tag in tags[TAGS_LIMIT:]]
    del tags[TAGS_LIMIT:]
    notes = "\n\n".join(filter(None, (own.notes, record.notes)))
    if not fits("notes", notes, partial(notes_of, notes)):
        notes = ""
    return details_of(plan.model, own.step, metrics, tags, labels, notes), tuple(losses)
