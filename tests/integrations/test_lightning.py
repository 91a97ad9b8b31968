"""Lightning's training, killed at any batch and resumed, ends with the same weights."""

from __future__ import annotations

import collections
import logging
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")
torch = pytest.importorskip("torch")

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint  # noqa: E402

import saver  # noqa: E402
from saver import Every  # noqa: E402
from saver.errors import CannotSaveError, DamagedError  # noqa: E402
from saver.integrations.lightning import SaverCallback, SaverCheckpointIO  # noqa: E402

pytestmark = [pytest.mark.xdist_group("lightning"), pytest.mark.filterwarnings("ignore")]

logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)

EPOCHS, BATCHES = 4, 5


class Net(LightningModule):  # type: ignore[misc]
    def __init__(self, interval: str = "epoch") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        self.interval = interval

    def training_step(self, batch: Any, number: int) -> Any:
        loss = self.net(batch[0]).square().mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, number: int) -> None:
        self.log("held", self.net(batch[0]).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.8)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}


class Killed(BaseException):
    """Ends training as a crash would."""


class Kill(Callback):  # type: ignore[misc]
    """Ends training before the step with this number."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.at:
            raise Killed


def loaders(stateful: bool = False) -> tuple[Any, Any]:
    draw = torch.Generator().manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(2 * BATCHES, 4, generator=draw))
    kind = torch.utils.data.DataLoader
    if stateful:
        kind = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    return kind(data, batch_size=2, shuffle=True), torch.utils.data.DataLoader(data, batch_size=5)


def trainer(*callbacks: Any, epochs: int = EPOCHS, **settings: Any) -> Any:
    return Trainer(
        max_epochs=epochs, callbacks=list(callbacks), logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", **{"enable_checkpointing": False, **settings},
    )  # fmt: skip


def train(
    folder: Path, kill: int = -1, interval: str = "epoch", every: int = 1, stateful: bool = False,
    more: tuple[Any, ...] = (), epochs: int = EPOCHS, **settings: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """The state of the module, and the rate, of a training in this store that is killed at a step."""
    torch.manual_seed(0)
    module = Net(interval)
    callback = SaverCallback(saver.Saver(folder), "net", every=Every(epochs=every), progress=False)
    made = trainer(callback, Kill(kill), *more, epochs=epochs, **settings)
    callback.fit(made, module, *loaders(stateful))
    rate = made.optimizers[0].param_groups[0]["lr"]
    return {name: value.clone() for name, value in module.state_dict().items()}, (rate, made.global_step)


def same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (mine, rate), (theirs, other_rate) = one, other
    return rate == other_rate and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("every", [1, 2])
def test_a_resumed_training_equals_the_uninterrupted_one(interval: str, every: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", interval=interval)
    for kill in (3, 7, 10, 19):
        with pytest.raises(Killed):
            train(tmp_path / "killed", kill, interval, every)
    assert same(whole, train(tmp_path / "killed", interval=interval, every=every))


def test_a_loader_with_a_place_of_its_own_is_warned_of(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="StatefulDataLoader shuffles otherwise"):
        train(tmp_path, stateful=True, epochs=1)


@pytest.mark.parametrize("kill", [0, 4, 5, 6, 10, 19])
def test_it_may_be_killed_at_any_batch(kill: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", accumulate_grad_batches=1)
    with pytest.raises(Killed):
        train(tmp_path / "killed", kill)
    assert same(whole, train(tmp_path / "killed"))


def test_gradients_that_accumulate_over_batches_are_whole_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", accumulate_grad_batches=2)
    with pytest.raises(Killed):
        train(tmp_path / "killed", 7, accumulate_grad_batches=2)
    assert same(whole, train(tmp_path / "killed", accumulate_grad_batches=2))


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    def more() -> tuple[Any, ...]:
        return (EarlyStopping("held", patience=1, mode="max"),)

    whole = train(tmp_path / "whole", more=more(), epochs=9)
    assert whole[1][1] < 9 * BATCHES, "it did stop"
    with pytest.raises(Killed):
        train(tmp_path / "killed", BATCHES + 1, more=more(), epochs=9)
    assert same(whole, train(tmp_path / "killed", more=more(), epochs=9))


def test_training_goes_on_with_more_epochs(tmp_path: Path) -> None:
    train(tmp_path / "some", epochs=2)
    assert same(train(tmp_path / "some"), train(tmp_path / "whole"))


class Keeps(Net):
    """Keeps in plain attributes what changes while it trains, and decides what it learns."""

    def __init__(self) -> None:
        super().__init__("epoch")
        self.draw, self.seen, self.kept = random.Random(3), collections.deque[float](maxlen=5), {"steps": 0}
        self.aside = [torch.nn.Linear(2, 2)]
        self.rule = lambda loss: loss * (1 + self.seen[-1])

    def training_step(self, batch: Any, index: int) -> Any:
        self.seen.append(self.draw.random())
        self.kept["steps"] += 1
        with torch.no_grad():
            self.aside[0].weight += self.seen[-1]
        return self.rule(super().training_step(batch, index)) + 0 * self.aside[0].weight.sum()


@pytest.mark.parametrize("kill", [4, 10])
def test_what_a_module_keeps_in_plain_attributes_goes_on_where_it_was(kill: int, tmp_path: Path) -> None:
    def fit(folder: Path, *more: Any) -> Keeps:
        torch.manual_seed(0)
        module = Keeps()
        callback = SaverCallback(saver.Saver(folder), "net", every=Every(epochs=1), progress=False)
        callback.fit(trainer(callback, *more), module, *loaders())
        return module

    whole = fit(tmp_path / "whole")
    with pytest.raises(Killed):
        fit(tmp_path / "killed", Kill(kill))
    other = fit(tmp_path / "killed")
    assert (other.kept, other.seen) == (whole.kept, whole.seen)
    assert other.draw.getstate() == whole.draw.getstate()
    assert torch.equal(other.aside[0].weight, whole.aside[0].weight)
    assert all(map(torch.equal, other.parameters(), whole.parameters()))
    found = saver.Saver(tmp_path / "whole").load("net", parts=["checkpoint"])
    assert "state_dict" not in found["checkpoint"], "the weights are saved once"


def test_what_was_saved_is_plain_data_with_a_log(tmp_path: Path) -> None:
    whole, _ = train(tmp_path)
    found = saver.Saver(tmp_path).load("net")
    weights = found["module"]
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    assert len(found["log"]["loss"][1]) == EPOCHS
    assert len(saver.Saver(tmp_path).versions("net")) == EPOCHS


def test_training_without_the_callback_is_refused(tmp_path: Path) -> None:
    callback = SaverCallback(saver.Saver(tmp_path), "net", every=Every(epochs=1))
    with pytest.raises(CannotSaveError, match=r"fit\(trainer"):
        trainer(callback).fit(Net(), *loaders())
    with pytest.raises(ValueError, match="callbacks="):
        callback.fit(trainer(), Net(), *loaders())


@pytest.mark.shows("Lightning", "save", "load", "resume to the bit", "callback")
@pytest.mark.slow
def test_a_process_that_was_really_killed_resumes(tmp_path: Path) -> None:
    program = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_lightning as test
class Kill(test.Kill):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
test.Kill = Kill
test.train(test.Path(sys.argv[2]), int(sys.argv[3]))
"""

    def run(kill: int) -> int:
        command = [sys.executable, "-W", "ignore", "-c", program, str(Path(__file__).parent),
                   str(tmp_path / "killed"), str(kill)]  # fmt: skip
        return subprocess.run(command, timeout=200, check=False, capture_output=True).returncode

    assert run(13) == -signal.SIGKILL
    assert run(-1) == 0
    found = saver.Saver(tmp_path / "killed").load("net", parts=["module"])["module"]
    whole, _ = train(tmp_path / "whole")
    assert all(torch.equal(found[name], whole[name]) for name in whole)


class TestCheckpointIO:
    def fit(self, folder: Path, epochs: int, **arguments: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        module = Net()
        keeper = ModelCheckpoint(folder, save_last=True, save_top_k=1, monitor="held")
        made = trainer(keeper, epochs=epochs, enable_checkpointing=True, plugins=[SaverCheckpointIO()])
        made.fit(module, *loaders(), **arguments)
        return module, keeper

    def test_lightning_writes_files_of_saver_and_reads_them(self, tmp_path: Path) -> None:
        module, keeper = self.fit(tmp_path, 2)
        found = saver.load(keeper.last_model_path)
        assert torch.equal(found["state_dict"]["net.0.weight"], module.net[0].weight)
        assert len(list(tmp_path.glob("epoch*.ckpt"))) == 1, "others were removed"
        again, _ = self.fit(tmp_path, 3, ckpt_path=keeper.last_model_path)
        assert again.trainer.global_step == 3 * BATCHES

    def test_a_damaged_checkpoint_is_refused(self, tmp_path: Path) -> None:
        _, keeper = self.fit(tmp_path, 1)
        path = Path(keeper.last_model_path)
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(DamagedError):
            self.fit(tmp_path, 2, ckpt_path=str(path))

    def test_what_has_no_data_form_is_refused_before_it_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(CannotSaveError):
            SaverCheckpointIO().save_checkpoint({"hyper": lambda: 0}, tmp_path / "x.ckpt")
        with pytest.raises(TypeError, match="storage_options"):
            SaverCheckpointIO().save_checkpoint({}, tmp_path / "x.ckpt", storage_options={})
        assert not (tmp_path / "x.ckpt").exists()
        SaverCheckpointIO().remove_checkpoint(tmp_path / "x.ckpt")
