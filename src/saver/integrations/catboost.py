"""Training by CatBoost that can be killed at any round and resumed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from catboost import CatBoost, CatBoostError
from numpy.typing import NDArray

from saver import Saver
from saver.callers import warn
from saver.integrations.rounds import Rounds, stateful
from saver.policy import Policy, Retention

__all__ = ["SaverCallback"]

_ITERATIONS = ("iterations", "num_boost_round", "n_estimators", "num_trees")
_DEFAULT_ITERATIONS = 1000
_OURS = frozenset(("save_snapshot", "snapshot_file", "snapshot_interval"))


class SaverCallback:
    """Fits a model, saves meanwhile what CatBoost needs to go on, and resumes from the newest version:

        run = SaverCallback(store, "trees", every=Every(steps=100))
        model = run.fit(CatBoostClassifier(iterations=1000), features, target, eval_set=held_out)

    Run the same script again after it was killed, and it ends with the same model: the same trees, the same
    predictions to the bit, also where training draws random numbers. `fit` stands for the method of the
    model, because CatBoost is given a snapshot before it begins. `every`, `keep` and the other arguments are
    those of `Saver.checkpoints`; a step is a round, and the evaluations of each are in the training log, as
    `validation-Logloss`.

    CatBoost writes its snapshots itself, at most every `interval` seconds (0: after each round), and a
    version has the newest one: training goes on from there. A snapshot is bytes that CatBoost's compiled
    code believes, so resume only from a store whose writers you trust.
    """

    def __init__(
        self,
        store: Saver,
        model: str,
        *,
        every: Policy,
        keep: Retention | None = None,
        interval: int = 1,
        **arguments: Any,
    ) -> None:
        if type(interval) is not int or interval < 0:
            raise ValueError(f"interval={interval!r}: pass a number of seconds, at least 0")
        self._store, self._model, self._every, self._keep = store, model, every, keep
        self._interval, self._arguments = interval, arguments

    def fit(
        self,
        model: CatBoost,
        features: Any,
        target: Any = None,
        *,
        callbacks: Sequence[Any] = (),
        **arguments: Any,
    ) -> Any:
        """The model, fitted with all its rounds. `arguments` are the other ones of its method `fit`.

        The `callbacks` are called after each round; what those with `state_dict` and `load_state_dict` have
        seen is saved. Raises ValueError if the model must not write files, or has a snapshot of its own.
        """
        settings = {**model.get_params(), **arguments}
        _check(settings)
        if settings.get("task_type") == "GPU":
            warn(
                f"{self._model}: a GPU adds numbers in any order, so a resumed training will not equal the "
                "uninterrupted one"
            )
        total = next((settings[name] for name in _ITERATIONS if name in settings), _DEFAULT_ITERATIONS)
        rounds = Rounds(self._store, self._model, total, self._every, self._keep, self._arguments)
        with TemporaryDirectory() as folder:
            state = _Snapshot(os.path.join(folder, "snapshot"))
            rounds.open({"model": model, "training": state, **stateful(list(callbacks))})
            with rounds.closing():
                if not state.finished:
                    self._train(model, rounds, state, list(callbacks), (features, target), arguments)
            rounds.end(changed=not state.finished_before)
        return model

    def _train(
        self,
        model: CatBoost,
        rounds: Rounds,
        state: _Snapshot,
        callbacks: list[Any],
        data: tuple[Any, Any],
        arguments: dict[str, Any],
    ) -> None:
        ours = _Rounds(rounds, callbacks)
        try:
            model.fit(
                *data, **arguments, callbacks=[ours], save_snapshot=True, snapshot_file=state.path,
                snapshot_interval=self._interval,
            )  # fmt: skip
        except CatBoostError:
            if ours.error is None:
                raise
        if ours.error is not None:
            raise ours.error
        state.finished = True


def _check(settings: dict[str, Any]) -> None:
    if settings.get("allow_writing_files") is False:
        raise ValueError(
            "allow_writing_files=False: CatBoost then writes no snapshot to resume from; leave it out"
        )
    for name in _OURS & settings.keys():
        raise ValueError(f"{name}: SaverCallback decides that; take it out")


class _Rounds:
    """CatBoost's callback. It makes another error of those that a callback raises, so that one is kept."""

    def __init__(self, rounds: Rounds, callbacks: list[Any]) -> None:
        self._rounds, self._callbacks = rounds, callbacks
        self.error: BaseException | None = None

    def after_iteration(self, info: Any) -> bool:
        """Save if a save is due. The snapshot is that of the round before, so a resumed training does one
        round again, of which nobody hears."""
        if info.iteration <= self._rounds.done:
            return True
        try:
            goes_on = [each.after_iteration(info) for each in self._callbacks]
            self._rounds.step(
                {
                    f"{data}-{name}": values[-1]
                    for data, found in info.metrics.items()
                    for name, values in found.items()
                    if values
                }
            )
        except BaseException as error:
            self.error = error
            return False
        return all(goes_on)


class _Snapshot:
    """What training depends on: CatBoost's snapshot, in a file; none once the training has finished."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.finished = self.finished_before = False

    def state_dict(self) -> dict[str, Any]:
        found: NDArray[np.uint8] = np.empty(0, np.uint8)
        if not self.finished and os.path.exists(self.path):
            found = np.fromfile(self.path, np.uint8)
        return {"finished": self.finished, "snapshot": found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.finished = self.finished_before = state["finished"]
        if len(state["snapshot"]):
            state["snapshot"].tofile(self.path)
