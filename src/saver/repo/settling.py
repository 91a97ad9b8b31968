"""What became of a commit that another process was to make, and that may have died in it."""

from __future__ import annotations

from saver.repo.events import Commit, Void
from saver.repo.repository import Repository
from saver.repo.state.values import version_state
from saver.repo.version import Version, from_state


def settle(repo: Repository, transaction: str, since: int) -> Version | None:
    """The version that the commit with this transaction made; or None, and from now on it makes none. It was
    announced when the log's last record was number `since`.

    For those who wait for the commit of a process that may have died: see docs/protocol.md. Raises
    CannotWriteError, or CommitUnknownError: then it may still take place.
    """
    found: Version | None = None

    def decide() -> Void | None:
        nonlocal found, since
        head = repo.state.last()[0]
        for record, _ in repo.state.log.read_on(since + 1, head):
            event = record.event
            counts = record.transaction == transaction and repo.state.refused(record.number) is None
            if counts and isinstance(event, Commit) and found is None:
                found = from_state(event.model, event.number, version_state(record, event), event.tags)
        since = head
        return Void(transaction) if found is None and repo.state.void(transaction) is None else None

    repo.append(decide)
    return found
