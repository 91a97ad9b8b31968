"""Saves that go on in the background, from copies."""

from __future__ import annotations

import msgspec

from saver.errors import CannotSaveError
from saver.handle import Job
from saver.repo.draft import Draft
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version
from saver.staging import Staging
from saver.storage import Progress
from saver.torn import Torn


def detached(repo: Repository, draft: Draft, progress: Progress | None) -> Job:
    """A job that commits copies in memory, so that the objects may change; or the objects themselves, if
    there is not enough memory for copies."""
    staging, tensors = Staging(), draft.encoded.tensors
    try:
        if staging.room(tensors) < 0:
            raise MemoryError
        snapshot = staging.take(tensors)
        snapshot.wait()
    except MemoryError:
        staging.close()
        return Job(lambda: save_version(repo, draft, progress), detached=False)
    except Torn as error:
        staging.close()
        raise CannotSaveError(
            f"{draft.model}: {error} changed while it was copied, so nothing was saved; save when no other "
            "thread changes it"
        ) from None
    copied = msgspec.structs.replace(draft.encoded, tensors=snapshot.tensors)

    def write() -> Version:
        try:
            return save_version(repo, msgspec.structs.replace(draft, encoded=copied), progress)
        finally:
            staging.close()

    return Job(write, detached=True)
