"""A callback that lets `fit` be killed at any batch and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
)

from saver import Saver
from saver.callers import warn
from saver.checkpoints import Checkpoints
from saver.families.keras.arrays import numpy_of
from saver.families.keras.state import synchronize
from saver.policy import Policy, Retention
from saver.random_states import continued, random_states

__all__ = ["SaverCallback"]


class SaverCallback(Callback):  # type: ignore[misc]
    """Saves the model while `fit` trains it, and resumes from the newest version, also within an epoch:

        model.fit(x, y, epochs=20, callbacks=[SaverCallback(store, "iris", every=Every(steps=100))])

    Run the same script again after it was killed, and it ends with the same weights and the same history, to
    the bit. A step is a batch, counted through all epochs; `every`, `keep` and the other arguments are those
    of `Saver.checkpoints`. The metrics of each batch are in the training log; those of the last batch of an
    epoch have the ones of the validation beside them, as `val_loss`.

    Batches that were trained before are drawn again and passed over, so their order must be one that can be
    drawn again: that of arrays in order (`shuffle=False`), of a `PyDataset`, of a `tf.data` pipeline that
    shuffles once (`reshuffle_each_iteration=False`), and with JAX and PyTorch of arrays that `fit` shuffles.
    With TensorFlow, the order in which `fit` shuffles arrays cannot be saved, so a resumed training does not
    equal the uninterrupted one; it does with a `PyDataset`.

    Pass other callbacks as `callbacks`, not to `fit`: what EarlyStopping, ReduceLROnPlateau and
    ModelCheckpoint have counted is saved and restored. Others may have `state_dict` and `load_state_dict`;
    of those that have not, a warning says that they begin anew.
    """

    def __init__(
        self,
        store: Saver,
        model: str,
        *,
        every: Policy,
        keep: Retention | None = None,
        callbacks: Sequence[Callback] = (),
        **arguments: Any,
    ) -> None:
        super().__init__()
        self._store, self._name, self._every = store, model, every
        self._arguments = {"keep": keep, **arguments}
        self._own = list(callbacks)
        self._others: Any = None
        self._run: Checkpoints | None = None
        self._state = _State(None, [])
        self._logs: dict[str, float] | None = None
        self._resumed = False
        self._trained: Any = None
        self._later: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Resume: the model becomes what was saved last, if there is something."""
        self._others = CallbackList(self._own, model=self.model, **self.params)
        self._others.on_train_begin(logs)
        self._state, self._logs = _State(self.model, self._own), None
        objects = {"model": self.model, "training": self._state}
        run = self._store.checkpoints(self._name, objects, every=self._every, **self._arguments)
        run.__enter__()
        self._run = run
        for each in self._own:
            if not isinstance(each, tuple(_COUNTED)) and not hasattr(each, "state_dict"):
                warn(
                    f"{self._name}: what {type(each).__qualname__} has counted is not saved; a resumed "
                    "training has it as it was made; give it state_dict and load_state_dict"
                )
        try:
            self._resumed = run.resume() > 0
        except BaseException as error:
            self._close(error)
            raise
        if self._resumed:
            ended = self._state.stopped
            self.model._initial_epoch = self.params["epochs"] if ended else self._state.epoch
            past = {name: [*of] for name, of in self._state.history.items()}
            self.model.history.history.update(past)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note where the order of batches begins, or go back there."""
        if not self._resumed:
            self._state.begin(epoch)
        elif self._state.batch:
            self._later = random_states()
            continued(self._state.generators)()
            self._pass_over()
        else:
            self._state.begin(epoch)
        if self._resumed:
            self.model.history.epoch[:] = self._state.epochs
            self._state.put_callbacks()
        self._resumed = False
        self._others.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Report the batch before this one: only now is it known that it was not the last."""
        if batch < self._state.batch and self._trained is not None:
            return
        if self._trained is not None:
            self.model.train_function, self._trained = self._trained, None
            self._state.put_metrics()
            continued(self._later)()
        self._report()
        self._others.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take note of what the batch reported."""
        if self._trained is not None:
            return
        self._state.batch = batch + 1
        self._state.done += 1
        self._logs = _numbers(logs)
        self._others.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the last batch, with what the validation reported."""
        self._others.on_epoch_end(epoch, logs)
        self._state.end(epoch, _numbers(logs))
        self._state.stopped = bool(self.model.stop_training)
        self._logs = {**(self._logs or {}), **_numbers(logs)}
        self._report()

    def on_test_begin(self, logs: Any = None) -> None:
        """Pass it on."""
        if self._others is not None:
            self._others.on_test_begin(logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Pass it on."""
        if self._others is not None:
            self._others.on_test_end(logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Save the model as it is at the end, and wait until everything is on disk."""
        run = self._run
        assert run is not None, "on_train_begin was called"
        self._others.on_train_end(logs)
        self.model._initial_epoch = None  # another fit begins anew
        self.model.history.epoch[:] = self._state.epochs
        try:
            if run.progress.step is not None and self._state.done > self._state.reported:
                run.save("the end of training")
        except BaseException as error:
            self._close(error)
            raise
        self._close(None)

    def _pass_over(self) -> None:
        """Let the batches that were trained before be drawn, and nothing else."""
        model, kind = self.model, keras.backend.backend()
        self._trained = model.train_function

        def drawn(iterator: Any) -> dict[str, Any]:
            for _ in range(model.steps_per_execution):
                batch = next(iterator)
            if not self._state.has_metrics():  # TensorFlow makes them for its first batch
                model._symbolic_build(data_batch=batch)
            return {}

        if kind == "jax":
            model.train_function = lambda state, iterator: (drawn(iterator), state)
        elif kind == "tensorflow":
            model.train_function = drawn
        else:
            model.train_function = lambda data: {}

    def _report(self) -> None:
        run, logs = self._run, self._logs
        assert run is not None, "on_train_begin was called"
        if logs is None:
            return
        self._logs = None
        synchronize(self.model)
        try:
            saved = run.step(self._state.done - 1, epoch=float(self._state.epoch), **logs)
        except BaseException as error:
            self._close(error)
            raise
        if saved:
            self._state.reported = self._state.done

    def _close(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def _numbers(logs: Any) -> dict[str, float]:
    return {name: float(value) for name, value in (logs or {}).items() if np.ndim(value) == 0}


class _State:
    """Where training is, beside the model: the epoch and the batch, the generators when the epoch began, the
    metrics of the epoch so far, the history, and what other callbacks have counted."""

    def __init__(self, model: Any, callbacks: list[Any]) -> None:
        self.epoch = self.batch = self.done = self.reported = 0
        self.generators: Any = {}
        self.history: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.stopped = False
        self._model, self._callbacks = model, callbacks
        self._saved: dict[str, Any] = {}

    def begin(self, epoch: int) -> None:
        self.epoch, self.batch = epoch, 0
        self.generators = random_states()

    def end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        self.epochs.append(epoch)
        self.epoch, self.batch = epoch + 1, 0

    def has_metrics(self) -> bool:
        return len(self._model.metrics_variables) == len(self._saved["metrics"])

    def put_metrics(self) -> None:
        for variable, array in zip(self._model.metrics_variables, self._saved["metrics"], strict=True):
            variable.assign(array)

    def put_callbacks(self) -> None:
        for each, found in zip(self._callbacks, self._saved["callbacks"], strict=True):
            _count_on(each, found)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch, "batch": self.batch, "done": self.done, "stopped": self.stopped,
            "generators": self.generators, "history": {name: [*of] for name, of in self.history.items()},
            "epochs": [*self.epochs], "metrics": [numpy_of(each) for each in self._model.metrics_variables],
            "callbacks": [_counted(each) for each in self._callbacks],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["callbacks"]) != len(self._callbacks):
            raise ValueError("training was saved with other callbacks; pass the same ones")
        self.epoch, self.batch, self.stopped = state["epoch"], state["batch"], state["stopped"]
        self.done = self.reported = state["done"]
        self.generators, self.history, self.epochs = state["generators"], state["history"], state["epochs"]
        self._saved = {"metrics": state["metrics"], "callbacks": state["callbacks"]}


_COUNTED: dict[type[Callback], tuple[str, ...]] = {
    EarlyStopping: ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    ModelCheckpoint: ("best",),
}
"""What training changes of Keras' own callbacks. Other attributes are settings, which they change as well
when they are used for the first time."""


def _counted(callback: Any) -> dict[str, Any]:
    """What a callback has counted."""
    if hasattr(callback, "state_dict"):
        return {"state": callback.state_dict()}
    names = next((names for kind, names in _COUNTED.items() if isinstance(callback, kind)), ())
    return {name: vars(callback)[name] for name in names if name in vars(callback)}


def _count_on(callback: Any, found: dict[str, Any]) -> None:
    if hasattr(callback, "load_state_dict"):
        callback.load_state_dict(found["state"])
        return
    names = next((names for kind, names in _COUNTED.items() if isinstance(callback, kind)), ())
    vars(callback).update({name: found[name] for name in names if name in found})
