"""A callback that lets XGBoost's training be killed at any round and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from xgboost import Booster
from xgboost.callback import (
    EarlyStopping,
    EvaluationMonitor,
    LearningRateScheduler,
    TrainingCallback,
)

from saver import Saver
from saver.callers import warn
from saver.errors import CannotSaveError
from saver.families.xgboost.codecs import become, joined, split
from saver.integrations.rounds import Rounds, stateful
from saver.policy import Policy, Retention
from saver.policy.saving import Steps

__all__ = ["SaverCallback"]

_STATELESS = (EvaluationMonitor, LearningRateScheduler)
_RANDOM = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")

_STOPPING = ("best_scores", "current_rounds", "maximize", "starting_round", "stopping_history")
"""What `EarlyStopping` changes of itself while it trains."""


class SaverCallback(TrainingCallback):  # type: ignore[misc]
    """Saves the booster while it trains, and resumes from the newest version:

        rounds = SaverCallback(store, "trees", rounds=1000, every=Every(steps=100))
        booster = xgboost.train(parameters, data, 1000, callbacks=[rounds])

    Run the same script again after it was killed, and it ends with the same booster, to the bit. `rounds` is
    how many rounds there are in all, at least those of `num_boost_round`: XGBoost counts the rounds of each
    process from 0, and the callback ends the training when there are enough. `every`, `keep` and the other
    arguments are those of `Saver.checkpoints`; a step is a round, and the evaluations of each are in the
    training log, as `validation-rmse`.

    After each save, the booster is loaded anew and continues with another seed (that of the parameters plus
    the number of rounds), because XGBoost cannot save the position of its random generator. So a booster
    that draws random numbers differs from one trained without the callback, or with another `every`; and a
    resumed one equals the uninterrupted one if saves come at the same rounds, as with `Every(steps=...)`
    alone. The callback warns when training begins if they may not, if `seed_per_iteration` is set, and if
    `subsample` meets `tree_method="approx"`, which keeps bins of its first sample in the DMatrix.

    Pass other callbacks as `callbacks`, not to XGBoost: they are called with the round in all processes, and
    what `EarlyStopping` has seen is saved and restored. Others may have `state_dict` and `load_state_dict`.
    """

    def __init__(
        self,
        store: Saver,
        model: str,
        *,
        rounds: int,
        every: Policy,
        keep: Retention | None = None,
        callbacks: Sequence[TrainingCallback] = (),
        **arguments: Any,
    ) -> None:
        super().__init__()
        self._rounds = Rounds(store, model, rounds, every, keep, arguments)
        self._model = model
        self._callbacks = list(callbacks)
        self._state = _State(self._callbacks)

    def before_training(self, model: Any) -> Any:
        """Resume: the booster becomes the one that was saved last, if there is one."""
        if type(model) is not Booster:
            raise CannotSaveError(
                f"{self._model}: xgboost.cv trains several boosters at once, and the callback saves one; "
                "call xgboost.train for each fold"
            )
        for each in self._callbacks:
            model = each.before_training(model)
        self._state = _State(self._callbacks)
        self._state.seed = _seed(model)
        self._warn(model)
        objects = {"model": model, "training": self._state, **stateful(self._callbacks)}
        if self._rounds.open(objects):
            with self._rounds.closing():
                self._reload(model)
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Whether there are enough rounds, or another callback says so."""
        if epoch == 0:
            self._state.put_back(evals_log)
        if epoch == 1:
            self._warn_of_stopping(model)
        done = self._rounds.done
        if done >= self._rounds.total or self._state.stopped:
            return True
        stops = [each.before_iteration(model, done, evals_log) for each in self._callbacks]
        return any(stops)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Save if a save is due."""
        with self._rounds.closing():
            self._state.history = evals_log
            done = self._rounds.done
            stops = [each.after_iteration(model, done, evals_log) for each in self._callbacks]
            self._state.stopped = any(stops)
            if self._rounds.step(_latest(evals_log)):
                self._reload(model)
        return self._state.stopped

    def after_training(self, model: Any) -> Any:
        """Save the booster as it is at the end, and wait until everything is on disk."""
        with self._rounds.closing():
            model.set_param({"seed": self._state.seed})
        self._rounds.end()
        for each in self._callbacks:
            model = each.after_training(model)
        return model

    def _reload(self, model: Any) -> None:
        """Let the booster be what a new process would load, with the seed of the rounds that follow."""
        become(model, joined(*split(model)))
        model.set_param({"seed": self._state.seed + self._rounds.done})

    def _warn(self, model: Any) -> None:
        found = json.loads(model.save_config())["learner"]
        booster = found["gradient_booster"]
        settings = booster.get("gbtree", booster).get("tree_train_param", {})
        approximate = "grow_histmaker" in json.dumps(booster)
        if approximate and settings.get("subsample", "1") != "1":
            warn(
                f"{self._model}: with tree_method='approx', XGBoost keeps the bins of the first sample "
                "in the DMatrix, where they cannot be saved, so with subsample a resumed training will not "
                "equal the uninterrupted one; use tree_method='hist'"
            )
        draws = booster["name"] == "dart" or any(settings.get(name, "1") != "1" for name in _RANDOM)
        if found["generic_param"]["seed_per_iteration"] not in ("0", "false"):
            warn(
                f"{self._model}: seed_per_iteration counts from 0 in each process, so a resumed training "
                "will not equal the uninterrupted one; leave it out"
            )
        if draws and not all(isinstance(policy, Steps) for policy in self._rounds.every.members):
            warn(
                f"{self._model}: training draws random numbers, and after each save others; a resumed "
                f"training equals the uninterrupted one only if both save at the same rounds, which "
                f"{self._rounds.every!r} does not promise; use Every(steps=...) alone"
            )
        for each in self._callbacks:
            if not isinstance(each, (*_STATELESS, EarlyStopping)) and not hasattr(each, "state_dict"):
                warn(
                    f"{self._model}: what {type(each).__qualname__} has seen is not saved; a resumed "
                    "training has it as it was made; give it state_dict and load_state_dict"
                )

    def _warn_of_stopping(self, model: Any) -> None:
        """Another callback runs after this one, so what it left in the first round shows in the second."""
        own = any(isinstance(each, EarlyStopping) for each in self._callbacks)
        if model.attr("best_iteration") is not None and not own:
            warn(
                f"{self._model}: what early_stopping_rounds counts is not saved, so a resumed training stops "
                "at another round; pass EarlyStopping in the callbacks of SaverCallback instead"
            )


class _State:
    """What training depends on beside the booster: what was evaluated, and what callbacks have seen."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self.history: Any = {}
        self.seed = 0
        self.stopped = False
        self._stopping = [each for each in callbacks if isinstance(each, EarlyStopping)]

    def state_dict(self) -> dict[str, Any]:
        stopping = [{name: getattr(each, name) for name in _STOPPING} for each in self._stopping]
        history = {data: {name: list(of) for name, of in each.items()} for data, each in self.history.items()}
        return {"history": history, "seed": self.seed, "stopped": self.stopped, "stopping": stopping}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["stopping"]) != len(self._stopping):
            raise ValueError(
                f"training was saved with {len(state['stopping'])} EarlyStopping, and has "
                f"{len(self._stopping)}"
            )
        self.history, self.seed, self.stopped = state["history"], state["seed"], state["stopped"]
        for each, saved in zip(self._stopping, state["stopping"], strict=True):
            for name in _STOPPING:
                setattr(each, name, saved[name])

    def put_back(self, evals_log: Any) -> None:
        """Let XGBoost continue its history where it was."""
        for data, metrics in self.history.items():
            for name, values in metrics.items():
                evals_log.setdefault(data, {}).setdefault(name, [])[:] = values


def _latest(evals_log: Any) -> dict[str, float]:
    return {f"{data}-{name}": values[-1] for data, each in evals_log.items() for name, values in each.items()}


def _seed(model: Any) -> int:
    return int(json.loads(model.save_config())["learner"]["generic_param"]["seed"])
