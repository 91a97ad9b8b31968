"""`Saver`: a store of models with their versions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from saver import answering, arguments, encoding, environment
from saver.annotating import Annotating
from saver.clusters import cluster_of
from saver.demanding import sign_with, with_key
from saver.details import bases_of, details_of, fingerprints_of
from saver.git import Git
from saver.handle import Background, Handle
from saver.holders import Holders
from saver.hub import read_from
from saver.line import Bar, Showing, shown
from saver.repo import changing
from saver.repo.draft import Draft
from saver.repo.naming import Labels, author_of, model_of, several_of
from saver.repo.save import save_version
from saver.repo.version import Version, Versions
from saver.signing.keys import KeySource
from saver.storage import Progress, Storage
from saver.store import Store, other
from saver.streams import Source
from saver.verifying import Signing

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


class Saver(Annotating, Signing, Holders):
    """A store: named models, each with versions 1, 2, 3 …; see docs/quickstart.md.

    `store` is a folder, `memory://name`, or a Storage. The first save creates the folder. Any number of
    processes may use a store at the same time, and any number of threads may use one `Saver`.

    Versions are named by refs: `iris` (the newest), `iris@3`, `iris@production` (a tag), `iris@step=1000`,
    `iris@time=2026-11-20T12:00` (the newest at that time), `iris@best:auc` (see docs/finding.md).

    Every change is recorded with its time and `author`; see `log`. That is by default `$SAVER_AUTHOR`, or
    else the user's name. `sign`, a private key (a file, `env:NAME`, PEM as bytes), signs what is saved and
    every record; `trust_file` says which models and tags need whose signatures: see docs/security.md.

    With `key` (a key file, "prompt" for a passphrase, or another source of `saver.Keys`) the store is sealed:
    what is stored tells nothing of it, and only holders of its keys open it. See docs/security.md.
    With `compress=True`, what is saved here is compressed where that pays: see docs/compression.md.

    Methods that only read are those of `saver.store.Store`.
    """

    def __init__(
        self, store: str | os.PathLike[str] | Storage, *, author: str | None = None, key: Any = None,
        sign: KeySource | None = None, trust_file: str | os.PathLike[str] | None = None,
        compress: bool = False, token: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(store, author=author, key=key, trust_file=trust_file, token=token)
        sign_with(self._repo, sign)
        self._repo.compress = arguments.compressing(compress)
        self._background = Background()

    # fmt: off
    @overload
    def save(
        self, model: str, obj: Any, *, step: int | None = ..., metrics: Mapping[str, float] | None = ...,
        tags: Iterable[str] = ..., labels: Labels | None = ..., notes: str = ...,
        author: str | None = ..., data: Any = ..., example: Any = ..., pipeline: Any = ...,
        seeds: Mapping[str, int] | int | None = ..., base: Refs = ...,
        progress: Showing = ..., wait: Literal[True] = ...,
        cluster: str | Cluster | None = ..., per_rank: Iterable[str] = ..., compare_replicas: bool = ...,
        sign: KeySource | None = ..., compress: bool | None = ...,
    ) -> Version: ...
    @overload
    def save(
        self, model: str, obj: Any, *, step: int | None = ..., metrics: Mapping[str, float] | None = ...,
        tags: Iterable[str] = ..., labels: Labels | None = ..., notes: str = ...,
        author: str | None = ..., data: Any = ..., example: Any = ..., pipeline: Any = ...,
        seeds: Mapping[str, int] | int | None = ..., base: Refs = ...,
        progress: Progress | None = ..., wait: Literal[False], sign: KeySource | None = ...,
    ) -> Handle: ...
    # fmt: on
    @shown("saving")
    def save(
        self, model: str, obj: Any, *, step: int | None = None, metrics: Mapping[str, float] | None = None,
        tags: Iterable[str] = (), labels: Labels | None = None, notes: str = "",
        author: str | None = None, data: Any = None, example: Any = None, pipeline: Any = None,
        seeds: Mapping[str, int] | int | None = None, base: Refs = (),
        progress: Showing = None, wait: bool = True,
        cluster: str | Cluster | None = None, per_rank: Iterable[str] = (), compare_replicas: bool = False,
        sign: KeySource | None = None, compress: bool | None = None,
    ) -> Version | Handle:  # fmt: skip
        """Save `obj` as the next version of `model`. When this returns, it survives any crash.

        If `obj` is a dict with string keys (at most 64), its keys become the parts. Each part has a version
        number of its own, which moves only when its content changes. Bytes that the store already has are
        not written again, whether they come from the previous version, from `base` (refs of other
        versions), or from any other version that this machine saved or read here.

        `tags` move to the new version. `labels` (key=value) and `notes` can be changed later. `author` is
        who made it, by default the author of the store. `data` (an array, a frame, a path, or a mapping of
        names to those) is fingerprinted, not saved, so that you know later what it was trained on. `example`,
        rows of inputs, and `pipeline` ("scaler | model") record what goes in and what the model answers:
        docs/predictions.md. `seeds` are recorded with the environment. `progress(done, total)` is called with
        bytes; `progress=True` shows a line with them.

        With `wait=False`, `save` returns a `saver.handle.Handle` once everything has been copied in memory.
        From then on `obj` may change; the handle says when the version is on disk, or raises the error. The
        next call of `save` waits for it. If memory is short, the save is finished before `save` returns.

        With `cluster`, all its ranks call this, and save together what they hold together; `per_rank` names
        parts of which each has its own. With `compare_replicas`, nothing is saved if ranks differ in what
        they should hold alike: docs/distributed.md. `sign`, a private key, signs this version. `compress`
        says whether what is written is compressed, by default as the store was made with here. Raises
        CannotSaveError if something has no data form, CannotWriteError if nothing was saved,
        CommitUnknownError if it is unknown whether it was, and LostRankError.
        """
        git, repo = Git(), with_key(self._repo, sign)
        arguments.flag("wait", wait)
        progress = arguments.callback("progress", progress)
        if isinstance(progress, Bar) and not wait:
            raise ValueError("progress: the line would end before the save; pass a function, or wait=True")
        by = self._repo.author if author is None else author_of(author)
        details = {**details_of(model, step, metrics, tags, labels, notes), "author": by}
        given = environment.given_seeds(seeds)
        packed, bases = arguments.flag_or_none("compress", compress), bases_of(self._repo, base)
        own = arguments.per_rank(per_rank, cluster, wait)
        alike = arguments.comparing(compare_replicas, cluster)
        golden = answering.recorded(obj, example, pipeline, cluster)

        def draft(of: Any) -> Draft:
            encoded = encoding.encode(of, cluster is not None, packed)
            return encoding.draft(
                model, answering.together(encoded, golden), git, given,
                data=fingerprints_of(data, progress), bases=bases, **details,
            )  # fmt: skip

        if wait:
            self._background.wait()
            if cluster is None:
                return save_version(repo, draft(obj), progress)
            from saver.distributed.saving import save_together

            return save_together(repo, cluster_of(cluster), model, obj, draft, own, progress, alike)
        from saver.detached import detached

        return self._background.begin(model, lambda: detached(repo, draft(obj), progress))

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
        return prune(self._repo, model, keep, dry_run, arguments.callback("progress", progress))

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
        data: Any = None, example: Any = None, pipeline: Any = None, labels: Labels | None = None,
        notes: str = "", total: int | None = None, progress: bool | None = None,
        cluster: str | Cluster | None = None, per_rank: Iterable[str] = (), compare_replicas: bool = False,
        peer_memory: int | str | None = None,
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

        `labels`, `notes`, `example` and `pipeline` are as in `save`, for each version. `progress` shows a
        status line: step, rate, what was saved, what is due; with `total`, how many steps there are. None
        shows it if standard error is a terminal.
        With `cluster`, all its ranks have the run, and save and resume together; `per_rank` names the objects
        of which each has its own. `compare_replicas` is as in `save`. `peer_memory`, such as "64GB", is how
        much of the memory of each host keeps what was saved, for a faster `resume`. See docs/distributed.md.
        """
        from saver.checkpoints import Checkpoints
        from saver.recalling import recalling

        told = details_of(model, None, None, (), labels, notes)
        if progress is not None:
            arguments.flag("progress", progress)
        ranks = cluster_of(cluster) if cluster is not None else None
        run = Checkpoints(
            recalling(self._repo, model, peer_memory, ranks), model, objects, every=every, keep=keep,
            busy=busy, staging=staging, grace=grace, data=data, labels=told["labels"], notes=told["notes"],
            total=total, progress=progress, cluster=ranks, per_rank=per_rank,
            compare_replicas=compare_replicas,
        )  # fmt: skip
        run.objects.predict_with(example, pipeline)
        if REHEARSAL in os.environ:
            from saver.rehearsal.attending import attend

            attend(run)
        return run

    @shown("pulling")
    def pull(
        self, ref: str | Version, source: str | os.PathLike[str] | Storage | Store, *,
        model: str | None = None, history: bool = True, tags: bool = True, key: Any = None,
        progress: Showing = None,
    ) -> Pushed:  # fmt: skip
        """Pull a version, and those before it, from another store or a hub: its `push`, to this one. `key`
        opens what is sealed there; at a hub, that of this store does, too."""
        with read_from("source", source, other, key, self._key) as of:
            return of.push(ref, self, model=model, history=history, tags=tags, progress=progress)

    @shown("importing")
    def import_(
        self, path: Source, model: str, *, format: str | None = None, tags: Iterable[str] = (),
        key: Any = None, progress: Showing = None,
    ) -> Version:  # fmt: skip
        """Save the content of a file as the next version of `model`, with all that the file records of it.

        The file may be that of another tool, of a format that its content shows, or that `format` names; see
        docs/formats.md. Builds no objects, so no class needs to be trusted.
        """
        from saver.importing import import_file

        progress = arguments.callback("progress", progress)
        return import_file(self._repo, path, model, format, tags, key, progress)
