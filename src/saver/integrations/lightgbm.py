"""Training by LightGBM that can be killed at any round and resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightgbm
from lightgbm import Booster, Dataset, LGBMModel
from lightgbm.callback import CallbackEnv, EarlyStopException

from saver import Saver
from saver.callers import warn
from saver.families.lightgbm import text, trees
from saver.families.lightgbm.codecs import become, joined
from saver.families.lightgbm.resuming import inexact
from saver.integrations.rounds import Rounds, stateful
from saver.policy import Policy, Retention

__all__ = ["SaverCallback"]

_ROUNDS = (
    "num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds",
    "nrounds", "num_boost_round", "n_estimators", "max_iter",
)  # fmt: skip
_STOPPING = ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change")

_SEEN = ("enabled", "best_iter", "best_score", "first_metric")
"""What LightGBM's early stopping changes of itself, beside `best_score_list`."""


class SaverCallback:
    """Trains, saves the booster meanwhile, and resumes from the newest version:

        run = SaverCallback(store, "trees", rounds=1000, every=Every(steps=100))
        booster = run.train(parameters, data, valid_sets=[held_out])
        model = run.fit(LGBMClassifier(n_estimators=1000), features, target)  # or this

    Run the same script again after it was killed, and it ends with the same booster, to the bit. `train`
    stands for `lightgbm.train`, because LightGBM takes the trees of an earlier training (`init_model`) only
    before it begins. `rounds` is how many rounds there are in all. `every`, `keep` and the other arguments
    are those of `Saver.checkpoints`; a step is a round, and the evaluations of each are in the training log,
    as `valid_0-l2`.

    LightGBM cannot save the positions of its random generators, nor the trees that dart drops, so the
    resumed training differs from the uninterrupted one if it draws random numbers: bagging, GOSS, dart,
    `feature_fraction`, `extra_trees` and others. It also may where LightGBM is free to add numbers in another
    order (no `force_col_wise` or `force_row_wise`, several threads), and with `linear_tree`. The callback
    warns of each when training begins. A random forest cannot be resumed, and is refused.
    """

    def __init__(
        self,
        store: Saver,
        model: str,
        *,
        rounds: int,
        every: Policy,
        keep: Retention | None = None,
        **arguments: Any,
    ) -> None:
        self._rounds = Rounds(store, model, rounds, every, keep, arguments)

    def train(
        self,
        params: Mapping[str, Any],
        train_set: Dataset,
        *,
        callbacks: Sequence[Any] = (),
        **arguments: Any,
    ) -> Booster:
        """What `lightgbm.train` returns after all rounds. `arguments` are its other ones (`valid_sets`,
        `valid_names`, `feval`).

        The `callbacks` are called with the round in all processes. What LightGBM's `early_stopping` and
        `record_evaluation` have seen is saved, also if `params` ask for early stopping; others may have
        `state_dict` and `load_state_dict`. Raises ValueError if `params` have a number of rounds, or ask for
        a random forest.
        """
        _check(arguments)
        params, callbacks = _settled(params, callbacks)
        return self._trained(
            callbacks,
            lambda left, start, ours: lightgbm.train(
                params, train_set, left, init_model=start, callbacks=ours, **arguments
            ),
        )

    def fit(
        self,
        estimator: LGBMModel,
        features: Any,
        target: Any,
        *,
        callbacks: Sequence[Any] = (),
        **arguments: Any,
    ) -> Any:
        """The estimator, fitted with all its rounds, as `train` does it. `arguments` are the other ones of
        its method `fit`. Raises ValueError if its `n_estimators` are not the `rounds`, or if it has a
        parameter for early stopping; pass `lightgbm.early_stopping` as a callback instead."""
        _check(arguments)
        total, found = self._rounds.total, estimator.get_params()
        if found["n_estimators"] != total:
            raise ValueError(
                f"n_estimators={found['n_estimators']!r}, but rounds={total}; pass the same number"
            )
        for name in _STOPPING:
            if found.get(name):
                raise ValueError(f"{name} is a parameter; pass lightgbm.early_stopping in callbacks= instead")
        record = lightgbm.record_evaluation({})

        def fitted(left: int, start: Booster | None, ours: list[Any]) -> Booster:
            estimator.n_estimators = left
            try:
                estimator.fit(features, target, init_model=start, callbacks=ours, **arguments)
            finally:
                estimator.n_estimators = total
            return estimator.booster_

        before = vars(estimator).get("_Booster")
        booster = self._trained(sorted([record, *callbacks], key=_order), fitted)
        if (
            vars(estimator).get("_Booster") is before
        ):  # all rounds were done: it learns what is not in a booster
            fitted(1, None, [])
        estimator._Booster, estimator._evals_result = booster, record.eval_result
        estimator._best_iteration, estimator._best_score = booster.best_iteration, booster.best_score
        return estimator

    def _trained(
        self, callbacks: list[Any], train: Callable[[int, Booster | None, list[Any]], Booster]
    ) -> Booster:
        """The booster after all rounds. `train` is called with the number of those that are left, the booster
        of the earlier ones, and callbacks."""
        shown, seen = _untrained(), _Seen(callbacks)
        objects = {"model": shown, "training": seen, **stateful(callbacks)}
        done = self._rounds.open(objects)
        with self._rounds.closing():
            if seen.stopped or done >= self._rounds.total:
                self._rounds.end()
                return shown
            start = _taken(shown) if done else None
            ours = _Ours(self._rounds, shown, seen, callbacks)
            try:
                booster = train(self._rounds.total - done, start, [ours.before, ours.after])
                self._rounds.end(changed=True)
            finally:
                shown.__dict__ = {}  # it was another name of the booster, and must not free it as well
        return booster


def _settled(params: Mapping[str, Any], callbacks: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """The parameters without what needs callbacks, and all callbacks in their order."""
    params, callbacks = dict(params), list(callbacks)
    for name in _ROUNDS:
        if name in params:
            raise ValueError(f"{name} is a parameter; pass the number of rounds as rounds= of SaverCallback")
    asked = [params.pop(name) for name in _STOPPING if name in params]
    if asked and asked[0] and asked[0] > 0:
        first = bool(params.get("first_metric_only", False))
        delta = params.get("early_stopping_min_delta", 0.0)
        callbacks.append(lightgbm.early_stopping(asked[0], first, verbose=False, min_delta=delta))
    return params, sorted(callbacks, key=_order)


def _order(callback: Any) -> int:
    return getattr(callback, "order", 0)


def _check(arguments: Mapping[str, Any]) -> None:
    for name in ("init_model", "num_boost_round", "keep_training_booster"):
        if name in arguments:
            raise ValueError(f"{name}: SaverCallback decides that; take it out")


def _untrained() -> Booster:
    """A booster without trees, which becomes the one that was saved."""
    sizes = {"num_class": 1, "num_tree_per_iteration": 1, "label_index": 0, "max_feature_idx": 0}
    model = text.Model("v4", sizes, None, False, ["x"], ["none"], [], {}, trees.read(b"", []))
    found: Booster = joined(model)
    return found


def _taken(booster: Booster) -> Booster:
    """The booster in an object of its own; the given one is empty then."""
    found = Booster.__new__(Booster)
    become(found, booster)
    return found


class _Ours:
    """The two callbacks that LightGBM gets, before and after each round.

    `shown` is the object that the run saves: another name of the booster that is being trained.
    """

    def __init__(self, rounds: Rounds, shown: Booster, seen: _Seen, callbacks: Iterable[Any]) -> None:
        self._rounds, self._shown, self._seen = rounds, shown, seen
        callbacks = list(callbacks)
        self._before = [each for each in callbacks if getattr(each, "before_iteration", False)]
        self._after = [each for each in callbacks if each not in self._before]
        self._begun = False
        self.before = _Callback(self._before_round, True)
        self.after = _Callback(self._after_round, False)

    def _whole(self, env: CallbackEnv) -> CallbackEnv:
        """What callbacks are given: the rounds of all processes."""
        return replace(env, begin_iteration=0, end_iteration=self._rounds.total)

    def _before_round(self, env: CallbackEnv) -> None:
        if not self._begun:
            self._begun = True
            self._begin(env)
        for each in self._before:
            each(self._whole(env))

    def _begin(self, env: CallbackEnv) -> None:
        self._shown.__dict__ = env.model.__dict__
        if self._rounds.done:  # the text of the booster says how many rounds training has in all
            env.model.reset_parameter({"num_iterations": self._rounds.total})
        for why in inexact(env.model):
            warn(f"{self._rounds.model}: {why}")

    def _after_round(self, env: CallbackEnv) -> None:
        env = self._whole(env)
        self._seen.resumed(env)
        results = env.evaluation_result_list or ()
        stopped: EarlyStopException | None = None
        for each in self._after:
            try:
                each(env)
            except EarlyStopException as stop:
                stopped = stop
                break
        self._seen.stopped = stopped is not None
        self._rounds.step({f"{each.dataset_name}-{each.metric_name}": each.metric_value for each in results})
        if stopped is not None:
            raise stopped


class _Callback:
    """A callback as LightGBM wants it."""

    def __init__(self, function: Any, before: bool) -> None:
        self._function, self.before_iteration, self.order = function, before, 0

    def __call__(self, env: CallbackEnv) -> None:
        self._function(env)


class _Seen:
    """What training depends on beside the booster: what LightGBM's own callbacks have seen."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        callbacks = list(callbacks)
        self.stopped = False
        self._stopping = [each for each in callbacks if hasattr(each, "best_score_list")]
        self._recording = [each for each in callbacks if hasattr(each, "eval_result")]
        self._waiting: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        stopping = [
            {
                **{name: getattr(each, name) for name in _SEEN},
                "best_score_list": [[tuple(one) for one in results] for results in each.best_score_list],
            }
            for each in self._stopping
        ]
        recorded = [
            {data: {name: list(values) for name, values in found.items()} for data, found in record.items()}
            for record in (each.eval_result for each in self._recording)
        ]
        return {"stopped": self.stopped, "stopping": stopping, "recorded": recorded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, here in (("stopping", self._stopping), ("recorded", self._recording)):
            if len(state[name]) != len(here):
                raise ValueError(
                    f"training was saved with {len(state[name])} callbacks of LightGBM ({name}), and has "
                    f"{len(here)}"
                )
        self.stopped = state["stopped"]
        self._waiting = state["stopping"]
        for each, record in zip(self._recording, state["recorded"], strict=True):
            each.eval_result.clear()
            each.eval_result.update(record)

    def resumed(self, env: CallbackEnv) -> None:
        """In the first round after a resume: LightGBM's early stopping makes its comparisons from the first
        evaluation that it sees, and then has seen what it had."""
        waiting, self._waiting = self._waiting, []
        for each, saved in zip(self._stopping, waiting, strict=False):
            each._init(env)
            for name in _SEEN:
                setattr(each, name, saved[name])
            each.best_score_list = [
                [lightgbm.basic.EvalResult(*one) for one in results] for results in saved["best_score_list"]
            ]
