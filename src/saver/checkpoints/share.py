"""The copy of what one of many ranks writes: made while training stands still."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, get_ident

from msgspec.structs import replace

from saver.checkpoints.pieces import of_pieces
from saver.distributed.describing import assigned
from saver.distributed.planning import Task
from saver.errors import CannotSaveError
from saver.repo.draft import Encoded
from saver.staging import Snapshot
from saver.tensors import length_of
from saver.torn import Torn


class Share:
    """What this rank writes of `encoded`, copied by `take`; it is probably `known`.

    Two threads have it. The one that trains copies at once what the rank writes if no rank holds anything
    new. The one that saves finds out meanwhile, with the other ranks, what it writes (`of`). Training goes on
    once that is copied; it waits for no other rank if everything that is here was copied.
    """

    def __init__(
        self, model: str, encoded: Encoded, take: Callable[[Encoded], Snapshot], known: Task | None
    ) -> None:
        self._model, self._encoded, self._take, self._known = model, encoded, take, known
        self._trains = get_ident()
        self._planned, self._ended = Event(), Event()
        self._task: Task | None = None
        self._copied: Encoded | None = None
        self._snapshot = Snapshot({})
        self._error: Exception | None = CannotSaveError(f"{model}: it was interrupted while it was copied")

    def copy_beside(self, save: Callable[[], None]) -> None:
        """In the thread that trains: let another one `save`, and copy what it needs. Errors of the copy are
        raised there."""
        try:
            save()
            if not self._ended.is_set():
                self._copy()
        finally:
            self._ended.set()

    def of(self, task: Task) -> Encoded:
        """In the thread that saves: what this rank writes, which it learns here; copied."""
        self._task = task
        self._planned.set()
        if get_ident() == self._trains:  # the system could not start another thread
            self._copy()
            self._ended.set()
        self._ended.wait()
        try:
            if self._error is not None:
                raise self._error
            self._snapshot.wait()
        except Torn as error:
            raise CannotSaveError(
                f"{self._model}: {error} changed while it was copied, so nothing was saved; change weights "
                "only between the calls of step, and in no other thread"
            ) from None
        assert self._copied is not None
        return assigned(self._copied, task)

    def give_up(self) -> None:
        """In the thread that saves: this rank writes nothing more."""
        self._planned.set()

    def _copy(self) -> None:
        try:
            if self._known is not None:
                self._keep(self._known)
            if not self._is_everything():
                self._planned.wait()
            if self._task is not None and not self._has(self._task):
                self._keep(self._task)
            self._error = None
        except Exception as error:
            self._error = error

    def _keep(self, task: Task) -> None:
        self._snapshot.wait()  # devices may still copy into the same memory
        self._copied, chosen = None, replace(assigned(self._encoded, task), parts=self._encoded.parts)
        self._snapshot = self._take(chosen)
        self._copied = of_pieces(chosen, self._snapshot.tensors)

    def _has(self, task: Task) -> bool:
        """Whether what a task names is copied."""
        if self._copied is None:
            return False
        try:
            assigned(self._copied, task)
        except KeyError:
            return False
        return True

    def _is_everything(self) -> bool:
        """Whether all that this rank holds is copied: no plan can ask for more."""
        return self._copied is not None and _size(self._copied) == _size(self._encoded)


def _size(encoded: Encoded) -> int:
    """Bytes; empty tensors count, too."""
    shards = (data for cut in encoded.sharded.values() for data in cut.shards.values())
    return sum(max(length_of(data), 1) for data in (*encoded.tensors.values(), *shards))
