"""Work that is done beside the calls that somebody makes anyway, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from saver.errors import SaverError
from saver.storage import Storage

T = TypeVar("T")

Ask: TypeAlias = Callable[[], Any]

Steps: TypeAlias = Generator[list[Ask], list[Any], None]
"""Work in steps: yields the calls of a step, which need not wait for each other, and is sent their answers,
or is thrown the first SaverError. Between the steps it runs in the caller's thread."""


class Beside:
    """Work in steps, each of which goes with one call of somebody else: where calls are slow, both are made
    at the same time; in a folder, first the step.

    Leaving the `with` block does the steps that are left. If an error ends it, or a call fails, they are left
    undone.
    """

    def __init__(self, storage: Storage, steps: Steps) -> None:
        self._storage, self._steps = storage, steps
        self._step: list[Ask] | None = next(steps, None)
        self._answers: list[Any] = []
        self._failed: SaverError | None = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()
        self.finish()

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` returns or raises; the next step is done at the same time."""
        if self._step is None:
            return ask()
        try:
            _, answer = self._storage.together((self._do, ask))
        except BaseException:
            self.abandon()
            raise
        self._go_on()
        return answer  # type: ignore[return-value]

    def finish(self) -> None:
        """Do the steps that are left, one after another."""
        while self._step is not None:
            self._do()
            self._go_on()

    def abandon(self) -> None:
        """Leave undone what is left."""
        self._step = None
        self._steps.close()

    def _do(self) -> None:
        try:
            self._answers = list(self._storage.together(self._step or ()))
        except SaverError as error:
            self._failed = error

    def _go_on(self) -> None:
        """Give the answers of a step to the work, and learn the next step."""
        failed, self._failed = self._failed, None
        try:
            self._step = self._steps.send(self._answers) if failed is None else self._steps.throw(failed)
        except StopIteration:
            self._step = None
