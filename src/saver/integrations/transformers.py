"""A callback that lets the training of a `transformers.Trainer` be killed at any step and resumed."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState

from saver import Saver
from saver.callers import warn
from saver.checkpoints import Checkpoints
from saver.errors import CannotSaveError, DamagedError, NotFoundError
from saver.policy import Policy, Retention
from saver.random_states import continued, random_states

__all__ = ["SaverCallback"]

_STATE_FILE = "trainer_state.json"

_COUNTED = (
    "_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "_initial_global_step",
    "_initial_num_input_tokens_seen", "current_flos",
)  # fmt: skip
"""What the trainer adds up between two lines of its log, and over the training."""


class SaverCallback(TrainerCallback):  # type: ignore[misc]
    """Saves a training, and resumes it from the newest version:

        callback = SaverCallback(store, "tuned", every=Every(steps=100))
        trainer = Trainer(net, arguments, train_dataset=data, callbacks=[callback])
        callback.train(trainer)

    Run the same script again after it was killed, and it ends with the same weights, to the bit, and the same
    log. The model, the optimizer, the scheduler, the scaler of gradients, the trainer's own state and that of
    its callbacks, and all random generators are saved; a step is one of the optimizer, and what the trainer
    logs is in the training log. `every`, `keep` and the other arguments are those of `Saver.checkpoints`. Set
    `save_strategy="no"`: the trainer need not save as well.

    The trainer reads one batch ahead, and skips those before it by their place. So a resumed training equals
    the uninterrupted one if what makes a batch draws no random numbers from the global generators: the
    callback warns of a collator that masks without a seed. One process trains: with more, it raises
    CannotSaveError.
    """

    def __init__(
        self, store: Saver, model: str, *, every: Policy, keep: Retention | None = None, **arguments: Any
    ) -> None:
        super().__init__()
        self._store, self._model, self._every = store, model, every
        self._arguments = {"keep": keep, **arguments}
        self._trainer: Any = None
        self._run: Checkpoints | None = None
        self._reported = self._saved = 0
        self._random: dict[str, Any] | None = None
        self._metrics: dict[str, float] = {}

    def train(self, trainer: Trainer) -> Any:
        """Train, from the newest version on if there is one. Returns what `Trainer.train` does."""
        if self not in trainer.callback_handler.callbacks:
            raise ValueError(f"{self._model}: pass callbacks=[this callback] to the trainer first")
        if trainer.args.world_size > 1:
            raise CannotSaveError(f"{self._model}: {trainer.args.world_size} processes train; use one")
        self._warn(trainer)
        self._trainer = trainer
        try:
            saved = self._newest()
            if saved is None:
                return trainer.train()
            with tempfile.TemporaryDirectory() as folder:
                with open(os.path.join(folder, _STATE_FILE), "w", encoding="utf-8") as file:
                    file.write(saved)
                # the weights are restored when training begins, with everything else
                trainer._load_from_checkpoint = lambda *_, **__: None
                try:
                    return trainer.train(resume_from_checkpoint=folder)
                finally:
                    del trainer._load_from_checkpoint
        except BaseException as error:
            self._close(error)
            raise
        finally:
            self._trainer = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Restore all that was saved."""
        if self._trainer is None:
            raise CannotSaveError(
                f"{self._model}: call train(trainer) of the callback instead of trainer.train(), so that "
                "training can go on where it was"
            )
        objects = {
            "model": given["model"],
            "optimizer": getattr(given["optimizer"], "optimizer", given["optimizer"]),
            "scheduler": given["lr_scheduler"],
            "training": _Training(self._trainer),
        }
        scaler = getattr(self._trainer.accelerator, "scaler", None)
        if scaler is not None:
            objects["scaler"] = scaler
        self._run = self._store.checkpoints(self._model, objects, every=self._every, **self._arguments)
        self._run.__enter__()
        self._reported = self._saved = self._run.resume()
        if self._reported != state.global_step:
            raise DamagedError(
                f"{self._model}: the newest version is damaged, and the one before it is of step "
                f"{self._reported - 1}; delete the newest, and run this again"
            )
        self._random = random_states() if self._reported else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Report the step before, now that the trainer has logged it and read the next batch; in the first
        step of a resumed training, go on with the random numbers that came then."""
        if self._random is not None:
            continued(self._random)()
            self._random = None
        self._report(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Keep what is logged for the training log."""
        self._metrics |= {name: value for name, value in (logs or {}).items() if type(value) in (int, float)}

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Save the end, and wait until everything is on disk."""
        run = self._run
        if run is not None:
            self._report(state)
            if state.global_step > self._saved:
                run.save("the end of training")
        self._close(None)

    def _report(self, state: Any) -> None:
        run = self._run
        if run is not None and state.global_step > self._reported:
            self._reported = state.global_step
            metrics, self._metrics = self._metrics, {}
            metrics.pop("epoch", None)
            metrics.pop("step", None)
            if run.step(state.global_step - 1, epoch=state.epoch, **metrics):
                self._saved = state.global_step

    def _newest(self) -> str | None:
        """The trainer's own state, as it was saved last; None if nothing was."""
        try:
            found = self._store.load(self._model, parts=["training"])["training"]
        except NotFoundError:
            return None
        text: str = found["state"]
        return text

    def _close(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def _warn(self, trainer: Any) -> None:
        collator = trainer.data_collator
        if getattr(collator, "mlm", False) and getattr(collator, "seed", None) is None:
            warn(
                f"{self._model}: {type(collator).__name__} draws from the global random generators while the "
                "trainer reads ahead, so a resumed training will not equal the uninterrupted one; give it a "
                "seed"
            )
        if str(getattr(trainer.args.save_strategy, "value", trainer.args.save_strategy)) != "no":
            warn(
                f"{self._model}: the trainer saves checkpoints of its own as well; set save_strategy='no', "
                "unless you want both"
            )


class _Training:
    """The trainer's own state, its callbacks', and what it has added up since it logged last."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        trainer = self._trainer
        for each in (*trainer.callback_handler.callbacks, trainer.control):
            if isinstance(each, ExportableState):
                trainer.state.stateful_callbacks[type(each).__name__] = each.state()
        counted = {name: _number(getattr(trainer, name)) for name in _COUNTED if hasattr(trainer, name)}
        return {"state": json.dumps(asdict(trainer.state), sort_keys=True), "counted": counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state["counted"].items():
            if name in _COUNTED and hasattr(self._trainer, name):
                before = getattr(self._trainer, name)
                is_tensor = isinstance(before, torch.Tensor)
                setattr(self._trainer, name, before.new_tensor(value) if is_tensor else value)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
