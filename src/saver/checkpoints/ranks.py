"""A run of many ranks: what all of them do together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from saver.checkpoints.deciding import Deciding, Due
from saver.cluster import Cluster
from saver.distributed.broadcast import demand_network, told
from saver.distributed.corners import Corner, SealedCorner, secret_of
from saver.distributed.members import Members
from saver.distributed.peers import Peers
from saver.distributed.planning import Task
from saver.distributed.running import Announced, Announcements
from saver.distributed.saving import Copy, known_task, save_as
from saver.distributed.session import Session
from saver.errors import CannotSaveError
from saver.policy import Checkpoint, Moment, Policy
from saver.repo.draft import Draft, Encoded
from saver.repo.repository import Repository
from saver.repo.version import Version


class Ranks:
    """The ranks of the run `model`. They meet when the run is opened, and begin the same saves after the same
    steps, whatever error one of them hears of earlier than the others: so no rank waits for a save that
    another one does not make.
    """

    def __init__(self, cluster: Cluster, model: str, every: Policy, waits: bool, alike: bool) -> None:
        self.rank, self.size = cluster.rank, cluster.size
        self.leads = cluster.rank == 0
        self._cluster, self._model = cluster, model
        self._every, self._waits, self.alike = every, waits, alike
        self._members: Members | None = None
        self._said: Announcements | None = None
        self._peers: Peers | None = None

    def open(self, repo: Repository, arrived: Collection[int]) -> None:
        """Meet, apart from those who use another store. Raises LostRankError if not all ranks come. `arrived`
        are the signals that have arrived at any time."""
        secret = secret_of(repo, creates=True)
        cluster = self._cluster if secret is None else SealedCorner(self._cluster, secret)
        self._members = Members(Corner(cluster, self._model))
        if repo.recalling is not None:
            self._peers = Peers(self._members, repo.recalling)
            self._peers.begin()
        if not Deciding.is_certain(self._every, self._waits):
            self._said = Announcements(self._members, arrived)
        self._deciding = Deciding(self._every, self.leads, self._said, self._waits)

    def close(self, failure: BaseException | None) -> None:
        """Part. A `failure` ended the loop of this rank."""
        said, self._said = self._said, None
        members, self._members = self._members, None
        peers, self._peers = self._peers, None
        if peers is not None:
            peers.close(failure is None)
        if said is not None:
            said.close(failure)
        if members is not None:
            members.close()

    @property
    def _all(self) -> Members:
        if self._members is None:
            raise CannotSaveError(f"{self._model}: the run is not open; write `with run:` around the loop")
        return self._members

    # Whether to save

    def due(self, moment: Moment, saved: Sequence[Checkpoint], skips: Callable[[], bool]) -> Due:
        """Whether all ranks save after this step."""
        return self._deciding.due(moment, saved, skips)

    def served(self, number: int) -> None:
        """A signal has taken effect."""
        if self._said is not None:
            self._said.served(number)

    def complete(self) -> Announced | None:
        """The loop is over: the save that was announced for a step that did not come, if there is one."""
        return self._said.complete() if self._said is not None else None

    # Together

    def known_task(self, encoded: Encoded) -> Task | None:
        """What this rank writes of that, unless another one holds something new; None if it does itself."""
        return known_task(self._all, self._model, encoded)

    def saves(self, repo: Repository, step: int, soon: bool) -> Callable[..., Version]:
        """The function that saves one version of what all ranks have; an error of one is raised in all. It
        gets what makes the draft, and what copies this rank's share. `soon` as in Session."""
        said, members = self._said, self._all
        call = said.call if said is not None else 0

        def save(draft: Callable[[], Draft], copy: Copy | None = None) -> Version:
            what = f"save {self._model} after step {step}"
            try:
                version = save_as(repo, members, what, draft, copy=copy, soon=soon, compare=self.alike)
            finally:  # each rank comes, also one whose save failed
                if self._peers is not None:
                    self._peers.keep(what)
            if said is not None:
                said.forget(call)
            return version

        return save

    def session(self, what: str, how: str | None = None) -> Session:
        """What all ranks do now, while no save goes on; if they read, `how` is as in `Broadcast`."""
        demand_network(self._cluster, how)
        return Session(self._all, f"{what} {self._model}{told(how)}")
