"""MLflow, as a peer that keeps versions: runs in SQLite, their files in a folder."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import make_durable, remove
from benchmarks.states import State, as_torch

MLFLOW = "MLflow"


class Runs:
    """An experiment with a run for each version, which is logged by `mlflow.pytorch.log_state_dict`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = folder / "artifacts"
        self._files.mkdir(parents=True)
        self._run = ""
        with _quiet() as flow:
            flow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
            self._experiment = flow.create_experiment("net", artifact_location=str(self._files))

    def save(self, state: State) -> None:
        """A run with one state dict; its folder is fsynced, and SQLite fsyncs by itself."""
        with _quiet() as flow, flow.start_run(experiment_id=self._experiment) as run:
            flow.pytorch.log_state_dict(as_torch(state), artifact_path="model")
            self._run = run.info.run_id
        make_durable(self._files / self._run)

    def load(self, state: State) -> State:
        """The state dict of the last run."""
        with _quiet() as flow:
            loaded: State = flow.pytorch.load_state_dict(
                str(self._files / self._run / "artifacts" / "model"), weights_only=True
            )
        return loaded

    def forget(self) -> None:
        """Delete its files; the run is kept."""
        remove(self._files / self._run)


@contextmanager
def _quiet() -> Iterator[Any]:
    """The module mlflow, without telemetry and without warnings about its own libraries."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pytorch

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        yield mlflow
