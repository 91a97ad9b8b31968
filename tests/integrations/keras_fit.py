"""`fit` of Keras, killed at any batch and resumed, on one backend. Run by test_keras_callback.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris

import saver
from saver import Every
from saver.integrations.keras import SaverCallback

EPOCHS, SIZE, BATCHES = 3, 16, 5


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends training after this batch, counted in this process."""

    def __init__(self, at: int, hard: bool) -> None:
        super().__init__()
        self.left, self.hard = at, hard

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            if self.hard:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed


class Rows(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches by number, which `fit` shuffles."""

    def __init__(self, rows: Any, targets: Any) -> None:
        super().__init__()
        self.rows, self.targets = rows, targets

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, number: int) -> Any:
        part = slice(number * SIZE, (number + 1) * SIZE)
        return self.rows[part], self.targets[part]


def fit(
    folder: Path, kind: str = "arrays", kill: int = 0, own: Any = (), hard: bool = False
) -> tuple[Any, Any]:
    """The weights and the history of a training in this store."""
    rows, targets = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, targets = rows[order].astype("float32"), targets[order]
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    layers = [keras.Input((4,), name="in"), keras.layers.Dense(6, "relu"), keras.layers.Dropout(0.4, seed=1)]
    model = keras.Sequential([*layers, keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    every = Every(steps=2)
    callbacks = [SaverCallback(saver.Saver(folder), "iris", every=every, callbacks=own, progress=False)]
    if kill:
        callbacks.append(Kill(kill, hard))
    data = (
        (Rows(rows, targets),) if kind == "dataset" else (rows[: SIZE * BATCHES], targets[: SIZE * BATCHES])
    )
    options = {} if kind in ("dataset", "pipeline") else {"batch_size": SIZE}
    if kind == "pipeline":
        data = (_pipeline(*data),)
    history = model.fit(
        *data, epochs=EPOCHS, shuffle=kind not in ("ordered", "pipeline"), verbose=0, callbacks=callbacks,
        validation_data=(rows[100:], targets[100:]), **options,
    )  # fmt: skip
    weights = [keras.ops.convert_to_numpy(each).tobytes() for each in model.weights]
    return weights, (history.history, history.epoch)


def _pipeline(rows: Any, targets: Any) -> Any:
    """A pipeline of TensorFlow that shuffles once."""
    import tensorflow

    found = tensorflow.data.Dataset.from_tensor_slices((rows, targets))
    return found.shuffle(100, seed=1, reshuffle_each_iteration=False).batch(SIZE)


KINDS = (
    ["ordered", "dataset"]
    + ["pipeline"] * (keras.backend.backend() == "tensorflow")
    + ["arrays"] * (keras.backend.backend() != "tensorflow")
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any]]:
    """What a training of this kind ends with that nobody killed."""
    return cache(lambda kind: fit(tmp_path_factory.mktemp(kind), kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill", [1, 4, 5, 8, 13])
def test_it_may_be_killed_at_any_batch(
    kind: str, kill: int, tmp_path: Path, whole: Callable[[str], tuple[Any, Any]]
) -> None:
    with pytest.raises(Killed):
        fit(tmp_path / "killed", kind, kill)
    assert fit(tmp_path / "killed", kind) == whole(kind)


def test_it_may_be_killed_again_and_again(tmp_path: Path, whole: Callable[[str], tuple[Any, Any]]) -> None:
    for kill in (3, 4, 5):
        with pytest.raises(Killed):
            fit(tmp_path / "killed", "ordered", kill)
    assert fit(tmp_path / "killed", "ordered") == whole("ordered")
    assert fit(tmp_path / "killed", "ordered") == whole("ordered")  # it is finished


def test_what_other_callbacks_have_counted_goes_on(tmp_path: Path) -> None:
    def own() -> Any:
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0)
        return [stopping, keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=10.0)]

    whole = fit(tmp_path / "whole", "ordered", own=own())
    assert len(whole[1][1]) < EPOCHS
    with pytest.raises(Killed):
        fit(tmp_path / "killed", "ordered", 8, own())
    assert fit(tmp_path / "killed", "ordered", own=own()) == whole
    assert fit(tmp_path / "killed", "ordered", own=own()) == whole


def process(folder: Path, kind: str, kill: int) -> int:
    """The same in a process of its own, which is killed as by `kill -9`; its end goes to `folder/end`."""
    program = (
        "import pathlib, keras_fit, saver\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        f"saver.dump(keras_fit.fit(folder / 'store', {kind!r}, {kill}, hard=True), folder / 'end')"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, cwd=Path(__file__).parent, timeout=300, check=False).returncode


def test_a_process_that_was_killed_goes_on_in_another_one(tmp_path: Path) -> None:
    for name, kills in (("whole", (0,)), ("killed", (8, 0))):
        (tmp_path / name).mkdir()
        ends = [process(tmp_path / name, "dataset", kill) for kill in kills]
        assert ends == [-signal.SIGKILL] * (len(kills) - 1) + [0]
    assert not saver.diff(tmp_path / "whole" / "end", tmp_path / "killed" / "end")
