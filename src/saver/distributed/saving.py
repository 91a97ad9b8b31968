"""A save by all ranks: describe, plan, stage, report, commit. Rank 0 coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import msgspec

from saver.cluster import Cluster
from saver.distributed.corners import secret_of
from saver.distributed.describing import assigned, described
from saver.distributed.members import Members, members_of
from saver.distributed.naming import own_parts
from saver.distributed.planning import Task
from saver.distributed.plans import Plans, adapted, said, small_changes
from saver.distributed.replicas import demand_same
from saver.distributed.session import Session
from saver.errors import CannotSaveError, CannotWriteError, CommitUnknownError, LostRankError, SaverError
from saver.logger import logger
from saver.repo.changing import find
from saver.repo.commit import commit
from saver.repo.draft import Draft, Encoded
from saver.repo.paging import Placed, condemned_of, paged
from saver.repo.refused import CondemnedError
from saver.repo.repository import Repository
from saver.repo.settling import settle
from saver.repo.stage import FILE_BYTES, stage, stage_again
from saver.repo.staged import Condemned, Staged
from saver.repo.version import Version
from saver.repo.written import Written
from saver.storage import Progress

Copy: TypeAlias = Callable[[Task], Encoded]
"""Called once a rank knows its task: what it stages, which nothing changes any more."""


class _Plan(msgspec.Struct, frozen=True):
    """What rank 0 tells each rank before anything is written: its task, or None if it is the same as for the
    version before; the transaction of the commit, and
    the number of the log's last record, by which the outcome can be found if rank 0 is lost; and whether the
    version has the grid form."""

    task: Task | None
    transaction: str
    head: int
    grid: bool


class _Outcome(msgspec.Struct, frozen=True):
    """What became of a commit: the number of the version; or what must be staged again, by the `id` of each
    Staged."""

    number: int = 0
    again: dict[str, Condemned] = {}


def save_together(
    repo: Repository,
    cluster: Cluster,
    model: str,
    obj: Any,
    draft: Callable[[Any], Draft],
    per_rank: Iterable[str] = (),
    progress: Progress | None = None,
    compare: bool = False,
) -> Version:
    """Save one version of what all ranks pass; returns it in each of them, once it is durable.

    Every box of a tensor is written by one of the ranks that hold it, and every part's structure by the
    first one that has it. The parts that `per_rank` names are saved for each rank. `draft` encodes what this
    rank has, under the names that its parts get. With `compare`, what several ranks hold must be the same.

    If a rank is lost, or fails, the others raise LostRankError, or the error of that rank. Nothing is saved
    then.
    """
    members = members_of(cluster, secret_of(repo, creates=True))
    found = partial(draft, own_parts(obj, per_rank, members.rank))
    return save_as(repo, members, f"save {model}", found, progress, compare=compare)


def save_as(
    repo: Repository,
    members: Members,
    what: str,
    draft: Callable[[], Draft],
    progress: Progress | None = None,
    copy: Copy | None = None,
    soon: bool = False,
    compare: bool = False,
) -> Version:
    """Save one version of the drafts of all ranks, who call it `what`; see save_together. Without `copy`, the
    tensors of the draft are staged where they are. `soon` as in Session."""
    with Session(members, f"{what} and compare replicas" if compare else what, soon) as session:
        session.doing("encoding")
        return _Save(repo, members, session, draft(), progress, copy, compare).run()


def known_task(members: Members, model: str, encoded: Encoded) -> Task | None:
    """What this rank will stage of `encoded`, unless another one holds something else than in the last save;
    None if that cannot be known, as much is new here."""
    before, task = members.sent.get(model), members.tasks.get(model)
    if before is None or task is None or {*before.parts} != {*encoded.parts}:
        return None
    now = described(encoded).tensors
    changed = small_changes(before.tensors, now)
    return None if changed is None else adapted(task, changed, now)


class _Save:
    """One save, in one rank."""

    def __init__(
        self,
        repo: Repository,
        members: Members,
        session: Session,
        draft: Draft,
        progress: Progress | None,
        copy: Copy | None,
        compare: bool,
    ) -> None:
        self._copy: Copy = copy or partial(assigned, draft.encoded)
        self._repo, self._members, self._session = repo, members, session
        self._draft, self._model, self._encoded = draft, draft.model, draft.encoded
        self._progress, self._compare = progress, compare
        self._placed: Placed = {}
        """In rank 0, for the grid form: which rank stages which boxes."""

    def run(self) -> Version:
        """Save; returns the version."""
        planned = self._plan()
        mine, session = self._copy(self._members.tasks[self._model]), self._session
        with Written(self._repo.storage) as written:
            session.doing("staging")
            small = 0 if planned.grid else FILE_BYTES // session.size
            bases, report = self._draft.bases, self._report
            staged = stage(
                self._repo, self._model, mine, bases=bases, written=written, progress=report, small=small
            )
            try:
                return self._settled(staged, mine, planned, written)
            except SaverError as error:
                if session.leads:
                    raise
                lost = isinstance(error, LostRankError) and error.rank == 0
                if isinstance(error, CommitUnknownError) or (lost and not session.is_verdict(error)):
                    return self._without_coordinator(planned, written, error)
                if session.is_verdict(error):
                    written.release()  # rank 0 did not commit, and will not
                raise

    def _plan(self) -> _Plan:
        """Describe what this rank holds; hear what it stages."""
        session, members = self._session, self._members
        session.doing("describing")
        now = described(self._encoded)
        before = members.sent.pop(self._model, None)  # it knows its task again once it has heard of it
        found = session.gather("describe", said(before, now), bytes)
        plans: list[_Plan] = []
        if session.leads:
            known = members.plans.setdefault(self._model, Plans())
            tasks = known.tasks(str(self._repo.storage), found)
            self._placed = known.placed
            self._repo.open_to_write().__exit__(None, None, None)
            transaction, head = self._repo.fresh(), self._repo.state.last()[0]
            plans = [_Plan(task, transaction, head, bool(self._placed)) for task in tasks]
        planned = session.hand_out("plan", plans, _Plan)
        if planned.task is not None:
            members.tasks[self._model] = planned.task
        members.sent[self._model] = now
        if self._compare:
            held = members.plans[self._model].held if session.leads else []
            demand_same(session, str(self._repo.storage), held, self._encoded.stored)
        return planned

    def _report(self, done: int, total: int) -> None:
        """What staging tells: a rank that stages for long hears, too, that another one is lost."""
        self._session.doing("staging", done, total)
        if self._progress is not None:
            self._progress(done, total)

    def _settled(
        self,
        staged: Staged,
        mine: Encoded,
        planned: _Plan,
        written: Written,
    ) -> Version:
        """Report what was staged; commit, in rank 0; stage again what was condemned meanwhile."""
        session, number, version = self._session, 0, None
        while True:
            session.check()
            if not session.leads:
                written.keep()  # once this rank has reported, rank 0 may commit
            report = self._paged(staged, written) if planned.grid else staged
            reports = session.gather(f"staged-{number}", report, Staged)
            session.doing("committing")
            outcome = _Outcome()
            if session.leads:
                version, again_of = self._commit(reports, planned.transaction, written)
                outcome = _Outcome(version.number if version is not None else 0, again_of)
            outcome = session.agree(f"outcome-{number}", outcome, _Outcome)
            if outcome.number:
                return version or find(self._repo, f"{self._model}@{outcome.number}")
            again = outcome.again.get(staged.id)
            if again is not None and planned.grid:
                self._repo.state.refresh()
                again = condemned_of(self._repo, staged)
            if again is not None:
                staged = stage_again(self._repo, staged, again, mine, written=written, progress=self._report)
            number += 1

    def _paged(self, staged: Staged, written: Written) -> Staged:
        """What was staged, with its shards in a page."""
        parts = {name: part.tensors for name, part in self._encoded.parts.items()}
        return paged(self._repo, staged, parts, written)

    def _commit(
        self, reports: list[Staged], transaction: str, written: Written
    ) -> tuple[Version | None, dict[str, Condemned]]:
        """Commit what all ranks staged: the version, or what of it must be staged again."""
        written.keep()
        try:
            self._session.decide()
            version = commit(
                self._repo, reports, self._draft, progress=self._progress, transaction=transaction,
                placed=self._placed,
            )  # fmt: skip
            return version, {}
        except CondemnedError as error:
            logger.info("%s", error)
            self._session.reopen()
            written.release()
            return None, error.condemned
        except (CannotWriteError, CannotSaveError, LostRankError):
            written.release()  # nothing was committed
            raise
        except BaseException:
            self._session.is_unknown = True
            raise

    def _without_coordinator(self, planned: _Plan, written: Written, error: SaverError) -> Version:
        """Rank 0 is lost, or does not know: find out whether it committed, and let it do so no more."""
        try:
            version = settle(self._repo, planned.transaction, planned.head)
        except Exception as failure:
            raise CommitUnknownError(
                f"{error}; whether it saved {self._model} before that is unknown: {failure}"
            ) from failure
        if version is None:
            written.release()
            if isinstance(error, LostRankError):
                raise error
            raise LostRankError(f"{error}; nothing was saved", 0) from error
        logger.warning("%s; by then it had saved %s", error, version)
        return version
