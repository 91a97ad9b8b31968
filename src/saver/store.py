"""`Store`: the half of `saver.Saver` that reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from saver import arguments, environment
from saver.addresses import repository, storage_at
from saver.answering import Answering, checks, confirmed
from saver.clusters import cluster_of
from saver.demanding import demand, demanding, open_signed
from saver.description import Description, describe_opened
from saver.hub import hub_at, not_sealed_for
from saver.line import Showing, shown
from saver.opened import Opened
from saver.opening import open_file
from saver.repo import changing, history
from saver.repo.choosing import ALL, Choice
from saver.repo.history import Changes, Summaries, Summary
from saver.repo.naming import author_of, group_of, model_of, ref_of
from saver.repo.signing import signing_with
from saver.repo.version import Version, Versions
from saver.repo.vouching import summed, vouched
from saver.sealing import storage_for
from saver.signing.policy import SignedBy
from saver.storage import Storage
from saver.streams import Source, Target, names_file
from saver.verifying import Verifying

if TYPE_CHECKING:  # imported when they are called: `import saver` stays fast
    from saver.card import Card
    from saver.cluster import Cluster
    from saver.compare import Difference
    from saver.exporting import Exported
    from saver.pushing import Pushed
    from saver.repo.backup import Copied
    from saver.repo.check import Checked
    from saver.restoring import Names, Report


class Store(Verifying, Answering):
    """A store as one reads it: loads versions, lists and compares them, copies them elsewhere. Nothing here
    changes it; `saver.Saver` adds what does."""

    def __init__(
        self, store: str | os.PathLike[str] | Storage, *, author: str | None = None, key: Any = None,
        trust_file: str | os.PathLike[str] | None = None, token: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        by = environment.author if author is None else partial(str, author_of(author))
        self._key, self.storage = key, storage_for(storage_at("store", store, token), key, by)
        self._repo = repository(self.storage, by)
        demand(self._repo, trust_file)

    def __repr__(self) -> str:
        return f"saver.Saver({str(self.storage)!r})"

    # Loading

    @shown("loading")
    def load(
        self,
        ref: str | Version,
        *,
        parts: Iterable[str] | None = None,
        trust: Iterable[str] = (),
        classes: Mapping[str, Any] | None = None,
        lazy: bool = False,
        writable: bool = False,
        device: Any = None,
        limit: int | str | None = None,
        signed_by: SignedBy = None,
        check_predictions: bool = False,
        progress: Showing = None,
    ) -> Any:
        """What was saved, to the bit, without running code from the store.

        `parts`, `trust`, `classes`, `lazy`, `writable`, `device`, `limit`, `signed_by`, `check_predictions`
        and the errors are those of `saver.load`.
        """
        progress = arguments.callback("progress", progress)
        allowed = arguments.loading(trust, classes, limit, lazy=lazy, writable=writable)
        names = None if parts is None else arguments.texts("parts", parts)
        check = checks(check_predictions, parts, lazy)
        opened = open_signed(self._repo, ref, signed_by=signed_by)
        found = opened.load(
            allowed, names, lazy=lazy, writable=writable, device=device, limit=limit, progress=progress
        )
        return confirmed(opened, found, allowed, check)

    @shown("restoring")
    def restore(
        self, ref: str | Version, into: Any, *, strict: bool = True, names: Names = None,
        trust: Iterable[str] = (), classes: Mapping[str, Any] | None = None, limit: int | str | None = None,
        signed_by: SignedBy = None, progress: Showing = None, cluster: str | Cluster | None = None,
        per_rank: Iterable[str] = (), shared: arguments.Sharing = None,
    ) -> Report:  # fmt: skip
        """Restore a version in place, into existing objects: see `saver.restoring`.

        With `cluster`, all ranks of one call this, and all of them restore the same version, or none changes
        anything; `per_rank` names the parts of which each rank has its own: see docs/distributed.md. Each
        reads what it needs: of a distributed tensor, its own box. What several need is read by each (`shared`
        is "read"), or by one, which passes it on ("broadcast"); by default the latter in buckets.
        """
        from saver.restoring import restore

        progress = arguments.callback("progress", progress)
        allowed = arguments.restoring(into, names, trust, classes, limit, strict)
        own = arguments.per_rank(per_rank, cluster)
        how = arguments.sharing(shared, cluster)
        restoring = partial(
            demanding(self._repo, signed_by, restore),
            strict=strict,
            names=names,
            trust=allowed,
            limit=limit,
            progress=progress,
        )
        if cluster is None:
            return restoring(self._open(ref), into)
        from saver.distributed.restoring import restore_together

        ref_of("ref", ref)
        return restore_together(self._repo, cluster_of(cluster), ref, into, own, restoring, how)

    def _open(self, ref: str | Version, name: str = "ref") -> Opened:
        """Open the version that a ref names."""
        return open_signed(self._repo, ref, name, demands=False)

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

    def summaries(self, group: str = "") -> Summaries:
        """A summary of each model, sorted by name: the number of versions, the newest one, the tags."""
        group_of(group)
        self._repo.open()
        return Summaries(summed(self._repo, each) for each in history.summaries(self._repo, group))

    def summary(self, model: str) -> Summary:
        """The summary of one model. Raises NotFoundError if it has no versions."""
        model_of(model)
        self._repo.open()
        return summed(self._repo, history.summary(self._repo, model))

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
            return Versions(vouched(self._repo, each) for each in history.newest(self._repo, model, last))
        found = choice.among(list(self._repo.versions(model)), last)
        return Versions(vouched(self._repo, each) for each in found)

    def version(self, ref: str | Version) -> Version:
        """The version that a ref names, as it is now. Raises NotFoundError."""
        return vouched(self._repo, changing.find(self._repo, ref))

    def describe(self, ref: str | Version) -> Description:
        """What a version contains: parts, shapes, sizes, dtypes, environment. Builds and imports nothing."""
        return describe_opened(self._open(ref))

    def card(self, ref: str | Version) -> Card:
        """A model card of a version, in Markdown: docs/sharing.md. Imports nothing."""
        from saver.card import card_of_version

        return card_of_version(self._repo, changing.find(self._repo, ref))

    def history(
        self, model: str, *, last: int | None = None, where: str | None = None, sort: str | None = None
    ) -> Changes:
        """The same as `versions`, each with the parts that changed since the version before it."""
        choice = Choice.of(where, sort)
        if last is not None:
            last = arguments.whole_number("last", last, 0, sys.maxsize - 2)
        if choice == ALL:
            versions = self.versions(model, last=None if last is None else last + 1)
            changes = Changes(history.changes(versions))
            return changes if last is None else Changes(changes[-last:] if last else ())
        by_number = {change.version.number: change for change in history.changes(self.versions(model))}
        chosen = choice.among([change.version for change in by_number.values()], last)
        return Changes(by_number[version.number] for version in chosen)

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

    @shown("checking")
    def check(self, *, progress: Showing = None) -> Checked:
        """Read everything and report what is damaged and what is garbage. Saving a damaged tensor again
        repairs it."""
        from saver.repo.check import check

        progress = arguments.callback("progress", progress)
        return check(self._repo, progress)

    # Copying, exporting

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
        return backup(self._repo, storage_at("target", target), progress)

    @shown("pushing")
    def push(
        self, ref: str | Version, target: str | os.PathLike[str] | Storage | Store, *,
        model: str | None = None, history: bool = True, tags: bool = True, to: Any = None,
        progress: Showing = None,
    ) -> Pushed:  # fmt: skip
        """Push the version that `ref` names, and those before it, to another store or a hub: docs/sharing.md.

        There they have the same numbers, metrics, labels and notes, the same name or that of `model`, and the
        same tags, which move from other versions; not with `tags=False`. With `history=False`, only this
        version is pushed. What is there already is not sent again, and a push that was interrupted goes on.
        Each version is verified, and exists there once all of it is durable. `to`, at a hub: who can open it,
        as in `saver.dump`. Raises CannotWriteError, and changes nothing, if other versions have its numbers.
        """
        from saver.pushing import push

        progress = arguments.callback("progress", progress)
        ref_of("ref", ref)
        name = None if model is None else model_of(model)
        flags = {"history": arguments.flag("history", history), "tags": arguments.flag("tags", tags)}
        if (hub := hub_at(target)) is not None:
            return hub.push(self._repo, ref, name, to=to, key=self._key, progress=progress, **flags)
        there = not_sealed_for(to, self._repo, other("target", target)._repo)
        there = there if there.signer.key else signing_with(there, self._repo.signer.key)
        return push(self._repo, ref, there, name, progress=progress, **flags)

    @shown("exporting")
    def export(
        self, ref: str | Version, path: Target, *, format: str | None = None,
        parts: Iterable[str] | None = None, trust: Iterable[str] = (),
        classes: Mapping[str, Any] | None = None, limit: int | str | None = None, example: Any = None,
        to: Any = None, compress: bool = False, progress: Showing = None,
    ) -> Exported:  # fmt: skip
        """Write a version to a file, or a folder, in the format of its ending, or in `format`; without
        either, to a Saver file, which holds everything. Returns what was written and what was lost: see
        `saver.export`. If the version records its training data, that serves as the `example`."""
        from saver.exporting import export_out
        from saver.format import Loading

        progress = arguments.callback("progress", progress)
        packed = arguments.compressing(compress)
        loading = Loading(arguments.loading(trust, classes, limit), limit, example)
        names = None if parts is None else arguments.texts("parts", parts)
        return export_out(open_signed(self._repo, ref), path, format, names, loading, progress, to, packed)


def other(name: str, place: str | os.PathLike[str] | Storage | Store, key: Any = None) -> Store:
    """The other store that the argument `name` is, or whose place it is, which `key` opens."""
    return place if isinstance(place, Store) else Store(storage_at(name, place), key=key)
