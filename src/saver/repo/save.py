"""A save by a single process is one stage and one commit."""

from __future__ import annotations

from saver.logger import logger
from saver.repo.commit import commit
from saver.repo.draft import Draft
from saver.repo.refused import CondemnedError
from saver.repo.repository import Repository
from saver.repo.sharing import tell
from saver.repo.stage import stage, stage_again
from saver.repo.version import Version
from saver.repo.written import Written
from saver.storage import Progress


def save_version(repo: Repository, draft: Draft, progress: Progress | None = None) -> Version:
    """Save a version, or change nothing. When this returns, the version is durable.

    Raises CannotWriteError, and leaves nothing; or CommitUnknownError if it is unknown whether the version
    exists.
    """
    encoded = draft.encoded
    with Written(repo.storage) as written:
        staged = stage(repo, draft.model, encoded, bases=draft.bases, written=written, progress=progress)
        while True:
            try:
                version = commit(repo, [staged], draft, written=written, progress=progress)
                break
            except CondemnedError as error:
                logger.info("%s", error)
                again = error.condemned[staged.id]
                staged = stage_again(repo, staged, again, encoded, written=written, progress=progress)
    is_in_memory = not encoded.hashed  # otherwise it would be read once more, for the index alone
    if repo.index is not None and staged.new and is_in_memory:
        known = repo.known(version)
        new = {name: known[name] for name in staged.new if name in known}
        tell(repo, version, new, encoded.in_shards()[0])
    return version
