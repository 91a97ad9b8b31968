"""A callback that lets Lightning's training be killed and resumed, and checkpoints of Lightning as data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import CheckpointIO

import saver
from saver import Saver
from saver.callers import warn
from saver.checkpoints import Checkpoints
from saver.errors import CannotSaveError, NotFoundError, kind_of
from saver.policy import Policy, Retention

__all__ = ["SaverCallback", "SaverCheckpointIO"]

_MODULE = "module"
"""The part that the module is: its weights, and what it keeps in plain attributes."""


class SaverCheckpointIO(CheckpointIO):  # type: ignore[misc]
    """Writes Lightning's own checkpoints as files of Saver: durable, verified when read, and data only.

        trainer = Trainer(plugins=[SaverCheckpointIO()])

    `ModelCheckpoint` and `ckpt_path` work as before. `trust` is as in `saver.load`, for classes of your own
    among the hyperparameters.
    """

    def __init__(self, trust: Iterable[str] = ()) -> None:
        self._trust = tuple(trust)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint. Raises CannotSaveError for what has no data form in it, before it writes."""
        if storage_options is not None:
            raise TypeError(f"{path}: Saver's files take no storage_options; leave them out")
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        saver.dump(checkpoint, path)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint, verified. No code runs, whatever `weights_only` is."""
        device = map_location if isinstance(map_location, str) else "cpu"
        found: dict[str, Any] = saver.load(path, trust=self._trust, device=device)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file, if it is there."""
        if os.path.exists(path):
            os.remove(path)


class SaverCallback(Callback):  # type: ignore[misc]
    """Saves a training, and resumes it from the newest version:

        callback = SaverCallback(store, "net", every=Every(epochs=1))
        trainer = Trainer(callbacks=[callback], enable_checkpointing=False)
        callback.fit(trainer, module, loader)

    Run the same script again after it was killed, and it ends with the same weights, to the bit. What
    Lightning would put into a checkpoint is saved (weights, optimizers, schedulers, loops, the state of
    callbacks), what the module keeps in plain attributes, and all random generators; the metrics of each
    epoch are in the training log. `every`, `keep` and the other arguments are those of `Saver.checkpoints`.

    A step is an epoch, and saves come between epochs: within one, Lightning resumes with the first batch of a
    loader that cannot say where it is. One process trains: with more, `fit` raises CannotSaveError.
    """

    def __init__(
        self, store: Saver, model: str, *, every: Policy, keep: Retention | None = None, **arguments: Any
    ) -> None:
        super().__init__()
        self._store, self._model, self._every = store, model, every
        self._arguments = {"keep": keep, **arguments}
        self._run: Checkpoints | None = None
        self._fits = False
        self._reported = self._saved = 0

    def fit(self, trainer: Trainer, module: LightningModule, *data: Any, **arguments: Any) -> None:
        """Fit, from the newest version on if there is one. Further arguments are those of `Trainer.fit`."""
        if self not in trainer.callbacks:
            raise ValueError(f"{self._model}: pass callbacks=[this callback] to the trainer first")
        if trainer.world_size > 1:
            raise CannotSaveError(f"{self._model}: {trainer.world_size} processes train; use one")
        self._fits = True
        try:
            try:
                saved = _found(self._store, self._model)
            except NotFoundError:
                trainer.fit(module, *data, **arguments)
                return
            before = trainer.strategy.checkpoint_io
            trainer.strategy.checkpoint_io = _Found(saved, before)
            with tempfile.NamedTemporaryFile(suffix=".ckpt") as name:
                try:
                    trainer.fit(module, *data, ckpt_path=name.name, **arguments)
                finally:
                    trainer.strategy.checkpoint_io = before
        except BaseException as error:
            self._close(error)
            raise
        finally:
            self._fits = False

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the run, and restore the random generators before the loaders draw from them."""
        if not self._fits:
            raise CannotSaveError(
                f"{self._model}: call fit(trainer, module, ...) of the callback instead of trainer.fit(), so "
                "that training can go on where it was"
            )
        objects = {"checkpoint": _Checkpoint(trainer), _MODULE: pl_module}
        self._run = self._store.checkpoints(self._model, objects, every=self._every, **self._arguments)
        self._run.__enter__()
        self._reported = self._saved = self._run.resume()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch before, now that its schedulers have stepped."""
        self._report(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Say now if a resumed training will not equal the uninterrupted one."""
        for loader in trainer.fit_loop._combined_loader.flattened:
            if hasattr(loader, "state_dict"):
                warn(
                    f"{self._model}: {kind_of(loader)} shuffles otherwise in a process that resumes, "
                    "so a resumed training will not equal the uninterrupted one; use a "
                    "torch.utils.data.DataLoader"
                )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the end."""
        run = self._run
        self._report(trainer)
        if run is not None and self._reported > self._saved:
            run.save("the end of training")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait until everything is on disk."""
        self._close(None)

    def _report(self, trainer: Any) -> None:
        run = self._run
        done = trainer.fit_loop.epoch_progress.current.completed
        if run is not None and done > self._reported:
            self._reported = done
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            metrics.pop("epoch", None)
            if run.step(done - 1, epoch=done, **metrics):
                self._saved = done

    def _close(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


class _Checkpoint:
    """What Lightning would write into a checkpoint; it restores that itself."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = self._trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        _begin_epoch(found["loops"]["fit_loop"])
        if found["state_dict"].keys() == self._trainer.lightning_module.state_dict().keys():
            del found["state_dict"]  # which the module is saved by, beside what else it keeps
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: `fit` gave it to Lightning."""


def _found(store: Saver, model: str) -> dict[str, Any]:
    """The newest checkpoint, with the weights. Raises NotFoundError."""
    parts = store.load(model, parts=["checkpoint", _MODULE])
    checkpoint: dict[str, Any] = parts["checkpoint"]
    checkpoint.setdefault("state_dict", parts[_MODULE])
    return checkpoint


def _begin_epoch(loop: dict[str, Any]) -> None:
    """Let the batches of the next epoch be still to come. Lightning sets the counts of an epoch back when the
    next one begins, which is after its callbacks are called; resumed with the counts of the epoch before, it
    would skip the next."""
    for name in ("batch_progress", "scheduler_progress", "automatic_optimization.optim_progress"):
        _set_back(loop[f"epoch_loop.{name}"])
    loop["state_dict"].pop("combined_loader", None)  # where the loaders ended


def _set_back(progress: dict[str, Any]) -> None:
    for name, value in progress.items():
        if name == "current":
            progress[name] = dict.fromkeys(value, 0)
        elif name == "is_last_batch":
            progress[name] = False
        elif isinstance(value, dict):
            _set_back(value)


class _Found(CheckpointIO):  # type: ignore[misc]
    """Gives Lightning the checkpoint that was found, and leaves the rest to another."""

    def __init__(self, found: dict[str, Any], other: CheckpointIO) -> None:
        self._found, self._other = found, other

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self._other.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self._found

    def remove_checkpoint(self, path: Any) -> None:
        self._other.remove_checkpoint(path)
