"""What the callbacks of boosting libraries share: a run whose steps are the rounds of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from saver import Saver
from saver.checkpoints import Checkpoints
from saver.policy import Policy, Retention


class Rounds:
    """A run with `total` rounds. `done` are the rounds that are done, by this process and by those before it,
    `saved` those that are saved."""

    def __init__(
        self,
        store: Saver,
        model: str,
        total: int,
        every: Policy,
        keep: Retention | None,
        arguments: Mapping[str, Any],
    ) -> None:
        if type(total) is not int or total < 1:
            raise ValueError(f"rounds={total!r}: pass the number of rounds in all, at least 1")
        self.model, self.total, self.every = model, total, every
        self.done, self.saved = 0, 0
        self._store = store
        self._arguments = {"keep": keep, "total": total, **arguments}
        self._run: Checkpoints | None = None

    def open(self, objects: Mapping[str, Any]) -> int:
        """Open the run, restore the objects as they were saved last, and return how many rounds are done."""
        run = self._store.checkpoints(self.model, objects, every=self.every, **self._arguments)
        run.__enter__()
        self._run = run
        with self.closing():
            self.done = self.saved = run.resume()
        return self.done

    def step(self, metrics: Mapping[str, float]) -> bool:
        """Say that another round is done; whether it was saved."""
        assert self._run is not None, "the run was opened"
        saved = self._run.step(self.done, **metrics)
        self.done += 1
        if saved:
            self.saved = self.done
        return bool(saved)

    def end(self, changed: bool = False) -> None:
        """Save what is not saved, or what `changed` since, and wait until everything is on disk."""
        assert self._run is not None, "the run was opened"
        with self.closing():
            if changed or self.done > self.saved:
                self._run.save("the end of training")
        self._close(None)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the run if the block raises."""
        try:
            yield
        except BaseException as error:
            self._close(error)
            raise

    def _close(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def stateful(callbacks: list[Any]) -> dict[str, Any]:
    """The callbacks that say themselves what is to be saved of them, by the names of their parts."""
    return {
        f"callback {number}": each
        for number, each in enumerate(callbacks)
        if hasattr(each, "state_dict") and hasattr(each, "load_state_dict")
    }
