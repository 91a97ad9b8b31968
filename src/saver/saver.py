"""`Saver`: a store of models with their versions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import msgspec

from saver import arguments, encoding, environment, registry
from saver.description import Description, describe_opened
from saver.details import details_of, notes_of
from saver.file import names_file, open_file, write_file
from saver.git import Git
from saver.handle import Background, Handle
from saver.line import Bar, Showing, shown
from saver.opened import Opened, open_version
from saver.repo import audit, changing, history
from saver.repo.choosing import ALL, Choice
from saver.repo.draft import Draft
from saver.repo.entry import Entry
from saver.repo.history import Change, Summary
from saver.repo.naming import (
    author_of,
    group_of,
    kinds_of,
    labels_of,
    model_of,
    ref_of,
    several_of,
    tag_of,
)  # fmt: skip
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version, Versions, number_of
from saver.storage import Progress, Storage
from saver.streams import Source, Target

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.checkpoints import Checkpoints
    from saver.compare import Difference
    from saver.policy import Policy, Retention
    from saver.repo.backup import Copied
    from saver.repo.check import Checked
    from saver.repo.gc import Collected
    from saver.repo.index import Index
    from saver.restoring import Names, Report

GRACE = 900.0
"""Seconds that a collector waits before it deletes condemned objects, for the sake of current readers."""

Refs: TypeAlias = str | Version | Iterable[str | Version]
"""A ref or a version, or several."""

Labels: TypeAlias = Mapping[str, str | float]
"""Labels by key. Numbers become texts."""

REHEARSAL = "SAVER_REHEARSAL"
"""Environment variable that is set if `saver rehearse` started this process; it then observes the runs."""


class Saver:
    """A store: named models, each with versions 1, 2, 3 …; see docs/quickstart.md.

    `store` is a folder, `memory://name`, or a Storage. The first save creates the folder. Any number of
    processes may use a store at the same time, and any number of threads may use one `Saver`.

    Versions are named by refs: `iris` (the newest), `iris@3`, `iris@production` (a tag), `iris@step=1000`,
    `iris@time=2026-11-20T12:00` (the newest at that time), `iris@best:auc` (see docs/finding.md).

    Every change is recorded with its time and `author`; see `log`. That is by default `$SAVER_AUTHOR`, or
    else the user's name.
    """

    def __init__(self, store: str | os.PathLike[str] | Storage, *, author: str | None = None) -> None:
        self.storage = _storage("store", store)
        by = environment.author() if author is None else author_of(author)
        self._repo = Repository(self.storage, by, _index)
        self._background = Background()

    def __repr__(self) -> str:
        return f"saver.Saver({str(self.storage)!r})"

    # Saving and loading

    # fmt: off
    @overload
    def save(
        self, model: str, obj: Any, *, step: int | None = ..., metrics: Mapping[str, float] | None = ...,
        tags: Iterable[str] = ..., labels: Labels | None = ..., notes: str = ...,
        author: str | None = ..., data: Any = ...,
        seeds: Mapping[str, int] | int | None = ..., base: Refs = ...,
        progress: Showing = ..., wait: Literal[True] = ...,
    ) -> Version: ...
    @overload
    def save(
        self, model: str, obj: Any, *, step: int | None = ..., metrics: Mapping[str, float] | None = ...,
        tags: Iterable[str] = ..., labels: Labels | None = ..., notes: str = ...,
        author: str | None = ..., data: Any = ...,
        seeds: Mapping[str, int] | int | None = ..., base: Refs = ...,
        progress: Progress | None = ..., wait: Literal[False],
    ) -> Handle: ...
    # fmt: on
    @shown("saving")
    def save(
        self,
        model: str,
        obj: Any,
        *,
        step: int | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Iterable[str] = (),
        labels: Labels | None = None,
        notes: str = "",
        author: str | None = None,
        data: Any = None,
        seeds: Mapping[str, int] | int | None = None,
        base: Refs = (),
        progress: Showing = None,
        wait: bool = True,
    ) -> Version | Handle:
        """Save `obj` as the next version of `model`. When this returns, it survives any crash.

        If `obj` is a dict with string keys (at most 64), its keys become the parts. Each part has a version
        number of its own, which moves only when its content changes. Bytes that the store already has are
        not written again, whether they come from the previous version, from `base` (refs of other
        versions), or from any other version that this machine saved or read here.

        `tags` move to the new version. `labels` (key=value) and `notes` can be changed later; see `label`
        and `note`. `author` is who made it, by default the author of the store.

        `data` (an array, a frame, a path, or a mapping of names to those) is fingerprinted, not saved, so
        that you can tell later what the model was trained on. `seeds` are recorded with the environment.

        `progress(done, total)` is called with bytes; `progress=True` shows a line with them, in a terminal
        or a notebook, here and in every other method that takes it.

        With `wait=False`, `save` returns a `saver.handle.Handle` once everything has been copied in memory.
        From then on `obj` may change; the handle says when the version is on disk, or raises the error.
        Only one such save runs at a time: the next call of `save`, whatever its `wait`, waits for it. If
        there is not enough memory for the copy, the save is finished before `save` returns.

        Raises CannotSaveError if something has no data form, CannotWriteError if nothing was saved, and
        CommitUnknownError if it is unknown whether the version was saved.
        """
        git = Git()
        arguments.flag("wait", wait)
        progress = arguments.callback("progress", progress)
        if isinstance(progress, Bar) and not wait:
            raise ValueError("progress: the line would end before the save; pass a function, or wait=True")
        details = details_of(model, step, metrics, tags, labels, notes)
        by = self._repo.author if author is None else author_of(author)
        given = environment.given_seeds(seeds) if seeds is not None else None
        bases = tuple(
            map(self._base, (base,) if isinstance(base, str | Version) else arguments.several("base", base))
        )

        def draft() -> Draft:
            return encoding.draft(
                model,
                encoding.encode(obj),
                git,
                given,
                author=by,
                data=_fingerprints(data, progress) if data is not None else {},
                bases=bases,
                **details,
            )

        if wait:
            self._background.wait()
            return save_version(self._repo, draft(), progress)
        from saver.detached import detached

        return self._background.begin(model, lambda: detached(self._repo, draft(), progress))

    @shown("loading")
    def load(
        self,
        ref: str | Version,
        *,
        parts: Iterable[str] | None = None,
        trust: Iterable[str] = (),
        classes: Mapping[str, Any] | None = None,
        lazy: bool = False,
        device: Any = None,
        limit: int | str | None = None,
        progress: Showing = None,
    ) -> Any:
        """What was saved, to the bit, without running code from the store.

        `parts`, `trust`, `classes`, `lazy`, `device`, `limit` and the errors are those of `saver.load`.
        """
        progress = arguments.callback("progress", progress)
        allowed = arguments.loading(trust, classes, limit, lazy=lazy)
        names = None if parts is None else arguments.texts("parts", parts)
        return self._open(ref).load(allowed, names, lazy=lazy, device=device, limit=limit, progress=progress)

    @shown("restoring")
    def restore(
        self,
        ref: str | Version,
        into: Any,
        *,
        strict: bool = True,
        names: Names = None,
        trust: Iterable[str] = (),
        classes: Mapping[str, Any] | None = None,
        limit: int | str | None = None,
        progress: Showing = None,
    ) -> Report:
        """Restore a version in place, into existing objects: see `saver.restoring`."""
        from saver.restoring import restore

        progress = arguments.callback("progress", progress)
        allowed = arguments.restoring(into, names, trust, classes, limit, strict)
        opened = self._open(ref)
        return restore(
            opened, into, strict=strict, names=names, trust=allowed, limit=limit, progress=progress
        )

    def _base(self, base: str | Version) -> str:
        text = ref_of("base", base)
        if isinstance(base, Version):
            changing.find(self._repo, base, "base")
        return text

    def _open(self, ref: str | Version, name: str = "ref") -> Opened:
        """Open the version that a ref names."""
        return open_version(self._repo, changing.find(self._repo, ref, name))

    # What there is

    def exists(self) -> bool:
        """Whether anything was ever saved here. Raises IncompatibleError if a newer Saver made the store."""
        return self._repo.exists()

    def models(self, group: str = "") -> list[str]:
        """The names of the models that have versions, sorted; with a group such as `fraud/`, of those whose
        names begin so. Raises NotFoundError if there is no store."""
        group_of(group)
        self._repo.open()
        return [name for name, _ in self._repo.models(group)]

    def summaries(self, group: str = "") -> list[Summary]:
        """A summary of each model, sorted by name: the number of versions, the newest one, the tags."""
        group_of(group)
        self._repo.open()
        return list(history.summaries(self._repo, group))

    def summary(self, model: str) -> Summary:
        """The summary of one model. Raises NotFoundError if it has no versions."""
        model_of(model)
        self._repo.open()
        return history.summary(self._repo, model)

    def versions(
        self, model: str, *, last: int | None = None, where: str | None = None, sort: str | None = None
    ) -> Versions:
        """The versions of a model, sorted by number. Raises NotFoundError if the model has none.

        `where` is a condition, such as `auc > 0.8 and not tag = old`: see docs/finding.md. With `last`, only
        that many of the newest that satisfy it. `sort="auc"` puts the best first, as `iris@best:auc` finds
        it; `max:` or `min:` before a metric, `number`, `step`, `time`, `size` or `added` says which is first.
        """
        model_of(model)
        choice = Choice.of(where, sort)
        if last is not None:
            last = arguments.whole_number("last", last, 0, sys.maxsize - 1)
        self._repo.open()
        self._repo.version(model)
        if choice == ALL:
            return history.newest(self._repo, model, last)
        return Versions(choice.among(list(self._repo.versions(model)), last))

    def version(self, ref: str | Version) -> Version:
        """The version that a ref names, as it is now. Raises NotFoundError."""
        return changing.find(self._repo, ref)

    def describe(self, ref: str | Version) -> Description:
        """What a version contains: parts, shapes, sizes, dtypes, environment. Builds and imports nothing."""
        return describe_opened(self._open(ref))

    def history(
        self, model: str, *, last: int | None = None, where: str | None = None, sort: str | None = None
    ) -> list[Change]:
        """The same as `versions`, each with the parts that changed since the version before it."""
        choice = Choice.of(where, sort)
        if last is not None:
            last = arguments.whole_number("last", last, 0, sys.maxsize - 2)
        if choice == ALL:
            versions = self.versions(model, last=None if last is None else last + 1)
            changes = list(history.changes(versions))
            return changes if last is None else changes[-last:] if last else []
        by_number = {change.version.number: change for change in history.changes(self.versions(model))}
        chosen = choice.among([change.version for change in by_number.values()], last)
        return [by_number[version.number] for version in chosen]

    def log(self, ref: str | Version | None = None, *, kinds: Iterable[str] = ()) -> Iterator[Entry]:
        """Who did what, and when: every save, tag, label, note, deletion and collection, the newest first. Of
        a model (`iris`), of a version (`iris@3`, which may be deleted by now) or of a range; and of some
        `kinds`, such as `save` or `delete`: see docs/reference.md. Reads the log as you iterate, so the first
        entries of a long one come at once.
        """
        if ref is not None:
            several_of("ref", ref)
        chosen = kinds_of(arguments.texts("kinds", kinds))
        self._repo.open()
        about = audit.wanted(self._repo, ref) if ref is not None else None
        return audit.entries(self._repo, about, chosen)

    @shown("comparing")
    def diff(
        self, a: str | Version | Source, b: str | Version | Source, *, progress: Showing = None
    ) -> Difference:
        """What changed from version `a` to version `b`: parameters, weights, data, environment, metrics.

        Either may be a file instead: a string that ends in `.saver`, a Path, or a file object.
        """
        from saver.compare import compare

        progress = arguments.callback("progress", progress)
        old, new = (
            open_file(side) if names_file(side) else self._open(side, name)  # type: ignore[arg-type]
            for name, side in (("a", a), ("b", b))
        )
        return compare(old, new, progress=progress)

    # Changing

    def tag(self, ref: str | Version, tag: str) -> None:
        """Make `model@tag` name this version. The tag moves if another version has it."""
        ref_of("ref", ref)
        changing.tag(self._repo, ref, tag_of("tag", tag))

    def untag(self, model: str, tag: str) -> None:
        """Remove a tag; the version stays. Raises NotFoundError if there is no such tag."""
        changing.untag(self._repo, model_of(model), tag_of("tag", tag))

    def label(self, ref: str | Version, labels: Mapping[str, str | float | None]) -> None:
        """Set labels of a version, by key, and remove those whose value is None; others stay.

        A model's name alone means the model itself, and `iris@latest` its newest version. The labels of a
        model outlive its versions.
        """
        ref_of("ref", ref)
        changing.label(self._repo, ref, labels_of(labels))

    def note(self, ref: str | Version, notes: str) -> None:
        """Replace the notes of a version, or of a model: `ref` is as in `label`. "" removes them."""
        ref_of("ref", ref)
        changing.note(self._repo, ref, notes_of(notes))

    def delete(self, *refs: str | Version, tags: bool = False, dry_run: bool = False) -> Versions:
        """Delete versions; return them as they were. Their numbers are never reused. `gc` frees the bytes
        that only they needed. With `dry_run`, only say which.

        A version that has a tag is deleted with `tags=True` only, which deletes its tags too; `untag` removes
        a tag alone. A model's name alone names no version to delete: say `iris@latest`. `iris@3..7`,
        `iris@..7` and `iris@3..` are ranges of numbers. All are looked up first, so a wrong ref deletes
        nothing; then those of one model are deleted all at once.

        Raises NotFoundError, TaggedError, or ValueError for a model's name.
        """
        for ref in refs:
            several_of("refs", ref)
        arguments.flag("tags", tags)
        arguments.flag("dry_run", dry_run)
        return changing.delete(self._repo, refs, tags=tags, dry_run=dry_run)

    @shown("verifying")
    def prune(
        self, model: str, keep: Retention, *, dry_run: bool = False, progress: Showing = None
    ) -> Versions:
        """Delete the versions of a model that a policy does not keep, such as `Keep(last=5) | Keep(best=1,
        by="auc")`; return them as they were. With `dry_run`, only say which.

        The newest version and those with a tag stay in any case. So does the newest sound one: versions are
        read for that, the newest first, until one is found. Raises NotFoundError if the policy is about a
        metric that no version has, DamagedError if no version is sound; nothing is deleted then.
        """
        from saver.pruning import prune

        model_of(model)
        arguments.flag("dry_run", dry_run)
        progress = arguments.callback("progress", progress)
        return prune(self._repo, model, keep, dry_run, progress)

    @shown("collecting")
    def gc(self, *, grace: float = GRACE, dry_run: bool = False, progress: Showing = None) -> Collected:
        """Free what no version needs. Safe while others save and load.

        Garbage is condemned at once, and deleted by the first collection at least `grace` seconds later (by
        the storage's own clock), so that current readers can finish. With `grace=0` it is deleted in the
        same call.
        """
        grace = arguments.seconds("grace", grace)
        arguments.flag("dry_run", dry_run)
        progress = arguments.callback("progress", progress)
        from saver.repo.gc import collect

        return collect(self._repo, grace, dry_run, progress)

    @shown("checking")
    def check(self, *, progress: Showing = None) -> Checked:
        """Read everything and report what is damaged and what is garbage. Saving a damaged tensor again
        repairs it.
        """
        from saver.repo.check import check

        progress = arguments.callback("progress", progress)
        return check(self._repo, progress)

    @shown("verifying")
    def verify(self, ref: str | Version, *, progress: Showing = None) -> None:
        """Read all tensors of a version. Raises DamagedError, which names those whose bytes are not what
        was saved."""
        progress = arguments.callback("progress", progress)
        self._open(ref).tensors.verify(progress=progress)

    def checkpoints(
        self,
        model: str,
        objects: Mapping[str, Any],
        *,
        every: Policy,
        keep: Retention | None = None,
        busy: Literal["wait", "skip"] = "wait",
        staging: int | str | None = None,
        grace: float = 30.0,
        data: Any = None,
        labels: Labels | None = None,
        notes: str = "",
        total: int | None = None,
        progress: bool | None = None,
    ) -> Checkpoints:
        """A training run that saves itself and resumes:

            objects = {"model": net, "optimizer": opt}
            run = store.checkpoints("run-7", objects, every=Every(steps=1000), keep=Keep(last=3))
            with run:
                for step in range(run.resume(), 100_000):
                    ...
                    run.step(step, loss=loss)

        `objects` are saved when `every` says so, with the random generators and the training log
        `run.log`, and restored in place by `resume`. Saving runs in the background; `step` blocks only
        while tensors are copied, and not even then if PyTorch optimizers are among the objects. While one
        save is being written, the next one waits, or is left out with `busy="skip"`. `staging` limits the
        memory for the copy, as in "8GB" (None: what is free); training waits for a larger state until it is
        written. Versions that `keep` does not select are dropped once a newer one is on disk (without
        `keep`, none are). `grace` is how many seconds the process has after a signal such as SIGTERM.

        `labels` and `notes` are those of each version that it saves.

        `progress` shows a status line: step, rate, what was saved, what is due; with `total`, how many
        steps there are. None shows it if standard error is a terminal.
        """
        from saver.checkpoints import Checkpoints

        told = details_of(model, None, None, (), labels, notes)
        if progress is not None:
            arguments.flag("progress", progress)
        run = Checkpoints(
            self._repo, model, objects, every=every, keep=keep, busy=busy, staging=staging, grace=grace,
            data=data, labels=told["labels"], notes=told["notes"], total=total, progress=progress,
        )  # fmt: skip
        if REHEARSAL in os.environ:
            from saver.rehearsal.attending import attend

            attend(run)
        return run

    # Copying, exporting, importing

    @shown("copying")
    def backup(self, target: str | os.PathLike[str] | Storage, *, progress: Showing = None) -> Copied:
        """Bring the copy of this store in `target` up to date. Others may save, delete and collect meanwhile.

        At first `target` must be empty or missing. Objects that it already has are not copied again; what
        is copied is read back and verified. The copy is a store to read from, not to write to: see
        docs/backup.md. Raises CannotWriteError, and changes nothing, if `target` is something else. Check
        `whole` of the result: if it is false, `damage` names the damaged objects of this store; all others
        were copied.
        """
        from saver.repo.backup import backup

        progress = arguments.callback("progress", progress)
        return backup(self._repo, _storage("target", target), progress)

    @shown("exporting")
    def export(self, ref: str | Version, path: Target, *, progress: Showing = None) -> int:
        """Write a version to a single file, as `saver.dump` does. Returns the bytes written."""
        progress = arguments.callback("progress", progress)
        opened = self._open(ref)
        encoded = encoding.encode_opened(opened, progress)
        document = msgspec.structs.replace(opened.manifest, tensors={}, packs=(), transaction="")
        return write_file(path, document, encoded, progress)

    @shown("importing")
    def import_(
        self,
        path: Source,
        model: str,
        *,
        tags: Iterable[str] = (),
        progress: Showing = None,
    ) -> Version:
        """Save the content of a single file as the next version of `model`, with all that the file records
        of it.

        Builds no objects, so no class needs to be trusted.
        """
        progress = arguments.callback("progress", progress)
        opened = open_file(path)
        told = opened.manifest
        metrics = {name: number_of(value) for name, value in told.metrics.items()}
        details = details_of(model, told.step, metrics, tags, None, told.notes)
        draft = Draft(
            model=model,
            encoded=encoding.encode_opened(opened, progress),
            time=told.time,
            environment=told.environment,
            author=told.author or self._repo.author,
            data=told.data,
            unknown=told.unknown,
            **details,
        )
        return save_version(self._repo, draft, progress)


def _index(ident: str) -> Index:
    from saver.repo.index import Index, index_path

    return Index(index_path(ident))


def _fingerprints(data: Any, progress: Progress | None) -> dict[str, Any]:
    from saver.fingerprint import fingerprints

    return fingerprints(data, progress)


def _storage(name: str, place: Any) -> Storage:
    return place if isinstance(place, Storage) else open_storage(arguments.path_of(name, place))


def open_storage(address: str) -> Storage:
    """The storage at an address: `memory://name`, or a folder."""
    scheme, separator, _ = address.partition("://")
    module = registry.find("storages", scheme if separator else "local")
    store: Storage = module.open_storage(address)
    return store
