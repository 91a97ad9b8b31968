"""The training of a Trainer, killed at any step and resumed, ends with the same weights and the same log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import saver  # noqa: E402
from saver import Every  # noqa: E402
from saver.errors import CannotSaveError  # noqa: E402
from saver.integrations.transformers import SaverCallback  # noqa: E402

sys.path.append(str(Path(__file__).parents[1] / "families"))

import transformers_models as small  # noqa: E402

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill(transformers.TrainerCallback):  # type: ignore[misc]
    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.at:
            raise Killed


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    yield
    transformers.logging.set_verbosity(before)


class Data(torch.utils.data.Dataset):  # type: ignore[misc]
    """Sentences of random words, and their classes."""

    def __len__(self) -> int:
        return 14

    def __getitem__(self, index: int) -> dict[str, Any]:
        draw = torch.Generator().manual_seed(index)
        return {"input_ids": torch.randint(4, 40, (8,), generator=draw), "labels": torch.tensor(index % 2)}


STEPS = 12
"""Of 14 sentences in batches of 2, that is a bit less than two epochs."""


def train(
    folder: Path, kill: int = -1, more: tuple[Any, ...] = (), every: int = 3, **settings: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """The model and the log of a training in this store that ends at step `kill`."""
    net = small.headed("bert", "classifying").train()
    callback = SaverCallback(saver.Saver(folder), "tuned", every=Every(steps=every), progress=False)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=2, max_steps=STEPS, learning_rate=0.01,
        logging_steps=2, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=3,
        warmup_steps=2, **settings,
    )  # fmt: skip
    trainer = transformers.Trainer(
        net, arguments, train_dataset=Data(), eval_dataset=Data(), callbacks=[callback, Kill(kill), *more]
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    callback.train(trainer)
    return net, [
        {name: value for name, value in line.items() if not name.endswith(("runtime", "per_second"))}
        for line in trainer.state.log_history
    ]


def same(one: Any, other: Any) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2, "max_grad_norm": 0.1},
    "evaluated": {"eval_strategy": "steps", "eval_steps": 4},
    "cosine": {"lr_scheduler_type": "cosine", "optim": "adamw_torch", "weight_decay": 0.1},
    "adafactor": {"optim": "adafactor"},
    "sgd": {"optim": "sgd", "lr_scheduler_type": "constant"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_equals_the_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    whole, logged = train(tmp_path / "whole", **KINDS[kind])
    for kill in (2, 8):
        with pytest.raises(Killed):
            train(tmp_path / "killed", kill, **KINDS[kind])
    resumed, again = train(tmp_path / "killed", **KINDS[kind])
    assert same(whole, resumed)
    assert logged == again


@pytest.mark.slow
@pytest.mark.parametrize("kill", [1, 6, 7, 8, STEPS])
def test_it_may_be_killed_at_any_step(kill: int, tmp_path: Path) -> None:
    whole, logged = train(tmp_path / "whole", every=1)
    with pytest.raises(Killed):
        train(tmp_path / "killed", kill, every=1)
    resumed, again = train(tmp_path / "killed", every=1)
    assert same(whole, resumed)
    assert logged == again


def test_the_callback_changes_nothing_of_the_training(tmp_path: Path) -> None:
    assert same(train(tmp_path / "often", every=1)[0], train(tmp_path / "never", every=100)[0])


def test_what_was_saved_last_is_the_end(tmp_path: Path) -> None:
    whole, _ = train(tmp_path)  # logs every second step
    found = saver.Saver(tmp_path).load("tuned")
    assert same(whole, found["model"])
    assert len(found["log"]) == STEPS
    assert len(saver.Saver(tmp_path).versions("tuned")) == STEPS / 3
    assert len(found["log"]["loss"][1]) == STEPS / 2
    assert same(train(tmp_path)[0], whole)


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    def more() -> tuple[Any, ...]:
        return (transformers.EarlyStoppingCallback(2),)

    settings: dict[str, Any] = {
        "eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
    }  # fmt: skip
    whole, logged = train(tmp_path / "whole", more=more(), every=1, **settings)
    with pytest.raises(Killed):
        train(tmp_path / "killed", 2, more=more(), every=1, **settings)
    resumed, again = train(tmp_path / "killed", more=more(), every=1, **settings)
    assert same(whole, resumed)
    assert logged == again
    assert logged[-1]["step"] < STEPS, "it did stop"


def test_training_without_the_callback_is_refused(tmp_path: Path) -> None:
    callback = SaverCallback(saver.Saver(tmp_path), "tuned", every=Every(steps=3))
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"), use_cpu=True, report_to=[], save_strategy="no"
    )
    trainer = transformers.Trainer(
        small.headed("bert", "classifying"), arguments, train_dataset=Data(), callbacks=[callback]
    )
    with pytest.raises(CannotSaveError, match=r"train\(trainer\)"):
        trainer.train()
    other = SaverCallback(saver.Saver(tmp_path), "tuned", every=Every(steps=3))
    with pytest.raises(ValueError, match="callbacks="):
        other.train(trainer)


@pytest.mark.shows("Transformers", "resume to the bit", "callback")
@pytest.mark.slow
def test_a_process_that_was_really_killed_resumes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_transformers_callback as test
class Kill(test.Kill):
    def on_step_end(self, args, state, control, **given):
        if state.global_step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
test.Kill = Kill
test.train(test.Path(sys.argv[2]), int(sys.argv[3]))
"""

    def run(kill: int) -> int:
        command = [sys.executable, "-W", "ignore", "-c", program, str(Path(__file__).parent),
                   str(tmp_path / "killed"), str(kill)]  # fmt: skip
        return subprocess.run(command, timeout=200, check=False, capture_output=True).returncode

    assert run(8) == -signal.SIGKILL
    assert run(-1) == 0
    found = saver.Saver(tmp_path / "killed").load("tuned", parts=["model"])["model"]
    assert same(found, train(tmp_path / "whole")[0])
