"""A loop with Accelerate, killed and resumed, ends with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

accelerate = pytest.importorskip("accelerate")
torch = pytest.importorskip("torch")

import saver  # noqa: E402
from saver import Every  # noqa: E402
from saver.errors import CannotSaveError  # noqa: E402
from saver.integrations.accelerate import checkpoints  # noqa: E402

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]


class Killed(BaseException):
    """Ends training as a crash would."""


def made(accumulate: int) -> tuple[Any, ...]:
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(net.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    return (accelerator, *accelerator.prepare(net, optimizer, scheduler))


def train(folder: Path, accumulate: int = 1, kill: int = -1) -> Any:
    """The weights after 12 steps."""
    accelerator, net, optimizer, scheduler = made(accumulate)
    objects = {"model": net, "optimizer": optimizer, "scheduler": scheduler}
    run = checkpoints(accelerator, saver.Saver(folder), "net", objects, every=Every(steps=1), progress=False)
    with run:
        for step in range(run.resume(), 12):
            draw = torch.Generator().manual_seed(step)
            features = torch.randn(5, 4, generator=draw)
            with accelerator.accumulate(net):
                loss = net(features).square().mean()
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            run.step(step, loss=float(loss))
            if step == kill:
                raise Killed
    return [weight.detach().clone() for weight in net.parameters()]


@pytest.mark.shows("Accelerate", "resume to the bit", "callback")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_resumed_loop_equals_the_uninterrupted_one(accumulate: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", accumulate)
    for kill in (1, 4, 9):
        with pytest.raises(Killed):
            train(tmp_path / "killed", accumulate, kill)
    assert all(map(torch.equal, whole, train(tmp_path / "killed", accumulate)))


@pytest.mark.shows("Accelerate", "save", "load")
def test_what_was_saved_loads_without_accelerate(tmp_path: Path) -> None:
    whole = train(tmp_path)
    found = saver.Saver(tmp_path).load("net", parts=["model"])["model"]
    assert type(found) is torch.nn.Sequential
    assert all(map(torch.equal, whole, found.parameters()))


def test_the_name_of_accelerates_own_part_is_refused(tmp_path: Path) -> None:
    accelerator, net, *_ = made(1)
    with pytest.raises(ValueError, match="another name"):
        checkpoints(accelerator, saver.Saver(tmp_path), "net", {"accelerator": net}, every=Every(steps=1))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator, net, *_ = made(1)
    monkeypatch.setattr(type(accelerator), "num_processes", 2)
    with pytest.raises(CannotSaveError, match="2 processes"):
        checkpoints(accelerator, saver.Saver(tmp_path), "net", {"model": net}, every=Every(steps=1))
