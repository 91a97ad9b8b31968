"""`Saver`: a store of models with their versions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from saver import arguments, encoding, environment
from saver.clusters import cluster_of
from saver.details import bases_of, details_of, fingerprints_of, notes_of
from saver.file import open_file
from saver.git import Git
from saver.handle import Background, Handle
from saver.line import Bar, Showing, shown
from saver.repo import changing
from saver.repo.draft import Draft
from saver.repo.naming import Labels, author_of, labels_of, model_of, ref_of, several_of, tag_of
from saver.repo.save import save_version
from saver.repo.version import Version, Versions, number_of
from saver.storage import Progress, Storage
from saver.store import Store, other
from saver.streams import Source

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.checkpoints import Checkpoints
    from saver.cluster import Cluster
    from saver.policy import Policy, Retention
    from saver.pushing import Pushed
    from saver.repo.gc import Collected

GRACE = 900.0
"""Seconds that a collector waits before it deletes condemned objects, for the sake of current readers."""

Refs: TypeAlias = str | Version | Iterable[str | Version]
"""A ref or a version, or several."""

REHEARSAL = "SAVER_REHEARSAL"
"""Environment variable that is set if `saver rehearse` started this process; it then observes the runs."""


class Saver(Store):
    """A store: named models, each with versions 1, 2, 3 …; see docs/quickstart.md.

    `store` is a folder, `memory://name`, or a Storage. The first save creates the folder. Any number of
    processes may use a store at the same time, and any number of threads may use one `Saver`.

    Versions are named by refs: `iris` (the newest), `iris@3`, `iris@production` (a tag), `iris@step=1000`,
    `iris@time=2026-11-20T12:00` (the newest at that time), `iris@best:auc` (see docs/finding.md).

    Every change is recorded with its time and `author`; see `log`. That is by default `$SAVER_AUTHOR`, or
    else the user's name.

    Methods that only read are those of `saver.store.Store`.
    """

    def __init__(self, store: str | os.PathLike[str] | Storage, *, author: str | None = None) -> None:
        super().__init__(store, author=author)
        self._background = Background()

    # fmt: off
    @overload
    def save(
        self, model: str, obj: Any, *, step: int | None = ..., metrics: Mapping[str, float] | None = ...,
        tags: Iterable[str] = ..., labels: Labels | None = ..., notes: str = ...,
        author: str | None = ..., data: Any = ...,
        seeds: Mapping[str, int] | int | None = ..., base: Refs = ...,
        progress: Showing = ..., wait: Literal[True] = ...,
        cluster: str | Cluster | None = ..., per_rank: Iterable[str] = ..., compare_replicas: bool = ...,
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
        cluster: str | Cluster | None = None,
        per_rank: Iterable[str] = (),
        compare_replicas: bool = False,
    ) -> Version | Handle:
        """Save `obj` as the next version of `model`. When this returns, it survives any crash.

        If `obj` is a dict with string keys (at most 64), its keys become the parts. Each part has a version
        number of its own, which moves only when its content changes. Bytes that the store already has are
        not written again, whether they come from the previous version, from `base` (refs of other
        versions), or from any other version that this machine saved or read here.

        `tags` move to the new version. `labels` (key=value) and `notes` can be changed later. `author` is
        who made it, by default the author of the store.
        `data` (an array, a frame, a path, or a mapping of names to those) is fingerprinted, not saved, so
        that you know later what it was trained on. `seeds` are recorded with the environment.
        `progress(done, total)` is called with bytes; `progress=True` shows a line with them.

        With `wait=False`, `save` returns a `saver.handle.Handle` once everything has been copied in memory.
        From then on `obj` may change; the handle says when the version is on disk, or raises the error. The
        next call of `save` waits for it. If memory is short, the save is finished before `save` returns.

        With `cluster`, all its ranks call this, and save together what they hold together; `per_rank` names
        parts of which each has its own. With `compare_replicas`, nothing is saved if ranks differ in what
        they should hold alike. See docs/distributed.md.
        Raises CannotSaveError if something has no data form, CannotWriteError if nothing was saved,
        CommitUnknownError if it is unknown whether it was, and LostRankError.
        """
        git = Git()
        arguments.flag("wait", wait)
        progress = arguments.callback("progress", progress)
        if isinstance(progress, Bar) and not wait:
            raise ValueError("progress: the line would end before the save; pass a function, or wait=True")
        details = details_of(model, step, metrics, tags, labels, notes)
        by = self._repo.author if author is None else author_of(author)
        given = environment.given_seeds(seeds) if seeds is not None else None
        bases = bases_of(self._repo, base)
        own = arguments.per_rank(per_rank, cluster, wait)
        alike = arguments.comparing(compare_replicas, cluster)

        def draft(of: Any) -> Draft:
            return encoding.draft(
                model, encoding.encode(of, cluster is not None), git, given, author=by,
                data=fingerprints_of(data, progress), bases=bases, **details,
            )  # fmt: skip

        if wait:
            self._background.wait()
            if cluster is None:
                return save_version(self._repo, draft(obj), progress)
            from saver.distributed.saving import save_together

            return save_together(self._repo, cluster_of(cluster), model, obj, draft, own, progress, alike)
        from saver.detached import detached

        return self._background.begin(model, lambda: detached(self._repo, draft(obj), progress))

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
    def gc(
        self, *, grace: float = GRACE, everything: bool = False, dry_run: bool = False,
        progress: Showing = None,
    ) -> Collected:  # fmt: skip
        """Free what no version needs. Safe while others save and load. Garbage is condemned, and deleted by
        the first collection at least `grace` seconds later (by the storage's own clock), so that current
        readers can finish. What killed saves left is looked for once a day, and with `everything`."""
        from saver.repo.gc import collect

        arguments.flag("everything", everything)
        arguments.flag("dry_run", dry_run)
        grace, progress = arguments.seconds("grace", grace), arguments.callback("progress", progress)
        return collect(self._repo, grace, dry_run, progress, everything)

    def checkpoints(
        self,
        model: str, objects: Mapping[str, Any], *, every: Policy, keep: Retention | None = None,
        busy: Literal["wait", "skip"] = "wait", staging: int | str | None = None, grace: float = 30.0,
        data: Any = None, labels: Labels | None = None, notes: str = "",
        total: int | None = None, progress: bool | None = None,
        cluster: str | Cluster | None = None, per_rank: Iterable[str] = (), compare_replicas: bool = False,
    ) -> Checkpoints:  # fmt: skip
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

        `labels` and `notes` are those of each version that it saves. `progress` shows a status line: step,
        rate, what was saved, what is due; with `total`, how many steps there are. None shows it if standard
        error is a terminal.
        With `cluster`, all its ranks have the run, and save and resume together; `per_rank` names the objects
        of which each has its own. `compare_replicas` is as in `save`. See docs/distributed.md.
        """
        from saver.checkpoints import Checkpoints

        told = details_of(model, None, None, (), labels, notes)
        if progress is not None:
            arguments.flag("progress", progress)
        run = Checkpoints(
            self._repo, model, objects, every=every, keep=keep, busy=busy, staging=staging, grace=grace,
            data=data, labels=told["labels"], notes=told["notes"], total=total, progress=progress,
            cluster=cluster_of(cluster) if cluster is not None else None, per_rank=per_rank,
            compare_replicas=compare_replicas,
        )  # fmt: skip
        if REHEARSAL in os.environ:
            from saver.rehearsal.attending import attend

            attend(run)
        return run

    @shown("pulling")
    def pull(
        self, ref: str | Version, source: str | os.PathLike[str] | Storage | Store, *,
        model: str | None = None, history: bool = True, tags: bool = True, progress: Showing = None,
    ) -> Pushed:  # fmt: skip
        """Pull a version, and those before it, from another store: its `push`, to this one."""
        of = other("source", source)
        return of.push(ref, self, model=model, history=history, tags=tags, progress=progress)

    @shown("importing")
    def import_(
        self, path: Source, model: str, *, format: str | None = None, tags: Iterable[str] = (),
        progress: Showing = None,
    ) -> Version:  # fmt: skip
        """Save the content of a file as the next version of `model`, with all that the file records of it.

        The file may be that of another tool, of a format that its content shows, or that `format` names; see
        docs/formats.md. Builds no objects, so no class needs to be trusted.
        """
        progress = arguments.callback("progress", progress)
        opened = open_file(path, format)
        found = opened.manifest
        metrics = {name: number_of(value) for name, value in found.metrics.items()}
        details = details_of(model, found.step, metrics, tags, None, found.notes)
        draft = encoding.draft_opened(model, opened, self._repo.author, progress, **details)
        return save_version(self._repo, draft, progress)
