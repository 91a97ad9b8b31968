"""Weights are copied beside the forward and backward pass, and the optimizer's step waits for that."""

# ruff: noqa: E402  what is missing skips the file before anything imports it

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import saver
from saver import Every
from saver.staging import Snapshot, Staging
from saver.storages.memory import MemoryStorage
from saver.tensors import TensorData


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], set[str]]]:
    """For every snapshot, the names of the tensors that were copied at once, and of those copied beside."""
    found: list[tuple[set[str], set[str]]] = []
    take = Staging.take

    def recorded(self: Staging, tensors: Mapping[str, TensorData], later: Collection[str] = ()) -> Snapshot:
        found.append((set(tensors) - set(later), set(later)))
        return take(self, tensors, later)

    monkeypatch.setattr(Staging, "take", recorded)
    return found


def network() -> tuple[Any, Any]:
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.BatchNorm1d(64))
    return net, torch.optim.AdamW(net.parameters())


def train(net: Any, optimizer: Any) -> None:
    optimizer.zero_grad()
    net(torch.randn(8, 64)).square().mean().backward()
    optimizer.step()


@pytest.mark.slow
def test_what_an_optimizer_makes_at_its_first_step_is_copied_beside_as_well(
    copied: list[tuple[set[str], set[str]]],
) -> None:
    net, optimizer = network()
    store = saver.Saver(MemoryStorage())
    with store.checkpoints("r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)) as run:
        train(net, optimizer)
        run.step(0)
    ((now, later),) = copied
    assert {name for name in later if "exp_avg" in name}, "it had no state when the run began"
    assert not {name for name in now if "exp_avg" in name}
    assert {name for name in now if "running_mean" in name}, "statistics change in the forward pass"


def test_what_an_optimizer_was_given_on_resuming_is_copied_beside_as_well(
    copied: list[tuple[set[str], set[str]]],
) -> None:
    store = saver.Saver(MemoryStorage())
    for until in (1, 2):
        net, optimizer = network()
        with store.checkpoints("r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)) as run:
            for step in range(run.resume(), until):
                train(net, optimizer)
                run.step(step)
    assert copied[0] == copied[1]


def test_the_optimizer_of_an_open_run_can_be_saved_by_others(tmp_path: Path) -> None:
    net, optimizer = network()
    with saver.Saver(MemoryStorage()).checkpoints(
        "r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)
    ) as run:
        train(net, optimizer)
        run.step(0)
        saver.dump({"model": net, "optimizer": optimizer}, tmp_path / "mine.saver")
        found = saver.load(tmp_path / "mine.saver")["optimizer"]
        assert not found._optimizer_step_pre_hooks
        optimizer.register_step_pre_hook(print)
        with pytest.raises(saver.CannotSaveError, match="hook"):
            saver.dump(optimizer, tmp_path / "other.saver")


def test_frozen_weights_and_averages_are_copied_beside_as_well(
    copied: list[tuple[set[str], set[str]]],
) -> None:
    net, _ = network()
    frozen = torch.nn.Linear(64, 64).requires_grad_(False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    average = torch.optim.swa_utils.AveragedModel(net)
    objects = {"frozen": frozen, "net": net, "optimizer": optimizer, "average": average}
    with saver.Saver(MemoryStorage()).checkpoints("r", objects, every=Every(steps=1)) as run:
        train(net, optimizer)
        average.update_parameters(net)
        run.step(0)
        train(net, optimizer)
        average.update_parameters(net)
    ((now, later),) = copied
    assert {"frozen/weight", "frozen/bias", "average/module.0.weight", "net/0.weight"} <= later
    assert {name for name in now if "running_mean" in name} == {
        "net/1.running_mean",
        "average/module.1.running_mean",
    }


def test_the_moment_of_the_save_is_saved_though_the_optimizer_goes_on() -> None:
    net, optimizer = network()
    store = saver.Saver(MemoryStorage())
    with store.checkpoints("r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)) as run:
        for step in range(5):
            train(net, optimizer)
            weights = net[0].weight.detach().clone()
            run.step(step)
            train(net, optimizer)
            run.flush()
            assert torch.equal(store.load("r")["model"][0].weight, weights)
            assert run.progress.staging_bytes > weights.nbytes


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc").is_dir(), reason="for Linux")
def test_a_child_has_no_copy_of_the_staging_memory() -> None:
    own = Staging()
    snapshot = own.take({"t": TensorData("F64", (1000,), np.ones(1000))})
    snapshot.wait()
    staged = snapshot.tensors["t"].data
    assert isinstance(staged, np.ndarray)
    child = os.fork()
    if child == 0:
        os._exit(int(staged.any()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert staged.view(np.float64).sum() == 1000
    own.close()
